"""Sessions: a browser has a token of 256 bits, the archive its hash, and every form a second one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from archiver.errors import TryAgainLater
from archiver.page.access import Right, rights
from archiver.store import review_sessions
from archiver.store.engine import AnswerLimits, Store
from archiver.store.review_sessions import SEEN_EVERY_MS, SessionRow

_AT_ONCE = AnswerLimits(writer_s=0.1)
"""Or not at all: the look that follows waits for the writer as well, and there is somebody waiting for both."""


@dataclass(frozen=True, slots=True)
class PageSession:
    """A person who has signed in."""

    row: SessionRow

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(self.row.role.split(","))

    @property
    def has_case(self) -> bool:
        return bool(self.row.case_id and self.row.reason)

    def may(self, right: Right) -> bool:
        return right in rights(self.roles)


def hashed(token: str) -> str:
    """What the archive knows a token by."""
    return hashlib.sha256(token.encode()).hexdigest()


def begin(store: Store, who: str, roles: Iterable[str]) -> str:
    """Sign a person in; gives the token."""
    token = secrets.token_urlsafe(32)
    with store.write() as tx:
        now_ms = tx.now_ms()
        role = ",".join(sorted(roles))
        row = SessionRow(hashed(token), who, role, secrets.token_urlsafe(32), None, None, now_ms, now_ms, None)
        review_sessions.add(tx, row)
    return token


def find(store: Store, token: str) -> PageSession | None:
    """The session of a token, if it has one that is open."""
    digest = hashed(token)
    with store.read() as tx:
        row, now_ms = review_sessions.find(tx, digest), tx.now_ms()
    if row is None:
        return None
    if now_ms - row.seen_at >= SEEN_EVERY_MS:
        _note_seen(store, digest)
    return PageSession(row)


def _note_seen(store: Store, digest: str) -> None:
    """Who reads beside a pull that holds the writer, or a slow disk, is not kept waiting for this alone."""
    try:
        with store.answering(_AT_ONCE).write(durable=False) as tx:
            review_sessions.note_seen(tx, digest)
    except TryAgainLater:
        pass


def set_case(store: Store, session: PageSession, case_id: str, reason: str) -> None:
    """Note what a person reads for from now on."""
    with store.write() as tx:
        review_sessions.set_case(tx, session.row.token_sha256, case_id, reason)


def end(store: Store, session: PageSession) -> None:
    """Sign a person out."""
    with store.write() as tx:
        review_sessions.end(tx, session.row.token_sha256)
