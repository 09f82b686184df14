"""What somebody asks for, and what others say to it: rows that are only added, under rules that triggers enforce."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver import entries
from archiver.store.engine import Tx
from archiver.store.schema import approvals, requests

_NONCE = "nonce"


class Decided(NamedTuple):
    """What somebody said to a request. `login`: the database's own word, where it has one."""

    decision: str
    who: str
    login: str | None
    at_ms: int


class Asked(NamedTuple):
    """A request, and what was said to it, in the order of time. `body`: what it is about, without its nonce."""

    id: int
    kind: str
    body: Mapping[str, Any]
    body_sha256: str
    who: str
    at_ms: int
    decided: tuple[Decided, ...] = ()

    @property
    def state(self) -> str:
        """`waiting`, or the last that was said."""
        return self.decided[-1].decision if self.decided else "waiting"

    def when(self, decision: str) -> int | None:
        """When this was said (ms), if it was."""
        return next((one.at_ms for one in self.decided if one.decision == decision), None)


_LOGIN = sa.text("""
SELECT session_user, EXISTS (
    SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
    WHERE r.rolname = 'archive_page' AND u.rolname = session_user)
""")


def person(tx: Tx, account: str) -> str:
    """Who asks or approves: the login where the database knows it, which its triggers insist on, else the account.

    The login of the review page stands for whoever has signed in there.
    """
    if not tx.postgres:
        return account
    login, is_page = tx.conn.execute(_LOGIN).one()
    return account if is_page else str(login)


def may_be_page(tx: Tx) -> bool:
    """Whether this login is the review page's; a file knows none, so there anybody's is."""
    return not tx.postgres or bool(tx.conn.execute(_LOGIN).one()[1])


def add(tx: Tx, kind: str, body: Mapping[str, Any], who: str) -> int:
    """Store a request; gives its number. A random nonce in the body keeps its hash from telling what it is about."""
    text = entries.canonical({**body, _NONCE: secrets.token_hex(16)}).decode("ascii")
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    row = {"kind": kind, "body": text, "body_sha256": digest, "who": who, "at": tx.now_ms()}
    return int(tx.conn.execute(requests.insert().values(row).returning(requests.c.id)).scalar_one())


def decide(tx: Tx, asked: Asked, decision: str, who: str) -> None:
    """Say something to a request, by the hash of what was seen of it."""
    row = {"request_id": asked.id, "decision": decision, "body_sha256": asked.body_sha256}
    tx.conn.execute(approvals.insert().inline(), row | {"who": who, "at": tx.now_ms()})


def read(tx: Tx, request_id: int | None = None, *, most: int = 1_000) -> list[Asked]:
    """Requests, the latest first; or the one of this number, if it is there."""
    query = sa.select(requests).order_by(requests.c.id.desc()).limit(most)
    if request_id is not None:
        query = query.where(requests.c.id == request_id)
    rows = tx.conn.execute(query).all()
    said: dict[int, list[Decided]] = {}
    of_these = sa.select(approvals).where(approvals.c.request_id.in_([row.id for row in rows])).order_by(approvals.c.id)
    for one in tx.conn.execute(of_these):
        said.setdefault(one.request_id, []).append(Decided(one.decision, one.who, one.login, one.at))
    return [
        Asked(row.id, row.kind, _body(row.body), row.body_sha256, row.who, row.at, tuple(said.get(row.id, ())))
        for row in rows
    ]


def waiting(tx: Tx) -> int:
    """To how many requests nobody has said anything."""
    nothing = ~sa.exists().where(approvals.c.request_id == requests.c.id)
    return int(tx.conn.scalar(sa.select(sa.func.count()).select_from(requests).where(nothing)) or 0)


def is_as_it_was(tx: Tx, asked: Asked) -> bool:
    """Whether the body still has the hash that was approved."""
    text: str = tx.conn.execute(sa.select(requests.c.body).where(requests.c.id == asked.id)).scalar_one()
    return hashlib.sha256(text.encode()).hexdigest() == asked.body_sha256


def _body(text: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(text)
    return {name: value for name, value in body.items() if name != _NONCE}
