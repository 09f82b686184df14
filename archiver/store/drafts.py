"""Drafts: what commands propose where requests are made on the review page, until somebody adopts or drops them there.

Officers may add any row by SQL, so what stands in one is read with care, and what it comes to is measured anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver import entries
from archiver.errors import UsageError
from archiver.store.engine import Tx
from archiver.store.schema import request_drafts

_LISTED, _LONGEST, _MOST = 1 << 16, 1 << 23, 200
"""Characters of bodies that a list reads, and that one draft may have; how many a list has. Any officer can add rows,
and the page reads them into its memory."""
d = request_drafts.c


class RequestDraft(NamedTuple):
    """What somebody proposes. `wish`: from which the request is made; `would`: what it came to when it was drafted.

    Both are None where the body cannot be read, or is too long for a list.
    """

    id: int
    kind: str
    who: str
    at_ms: int
    wish: Mapping[str, Any] | None
    would: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """As commands call it: requests have numbers alone."""
        return f"draft-{self.id}"


def add(tx: Tx, kind: str, wish: Mapping[str, Any], would: Mapping[str, Any], who: str) -> int:
    """Store a draft; gives its number. Raises UsageError for what is too long to be read on the page."""
    body = entries.canonical({"wish": wish, "would": would}).decode("ascii")
    if len(body) > _LONGEST:
        raise UsageError("this names too many messages for one draft", hint="ask for them by a filter, or in parts")
    row = {"kind": kind, "body": body, "who": who, "at": tx.now_ms()}
    return int(tx.conn.execute(request_drafts.insert().values(row).returning(d.id)).scalar_one())


def read(tx: Tx, draft_id: int | None = None, *, most: int = _MOST) -> list[RequestDraft]:
    """Drafts, the latest first; or the one of this number, if it is there."""
    longest = _LISTED if draft_id is None else _LONGEST
    body = sa.case((sa.func.length(d.body) <= longest, d.body))
    query = sa.select(d.id, d.kind, d.who, d["at"], body).order_by(d.id.desc()).limit(most)
    if draft_id is not None:
        query = query.where(d.id == draft_id)
    return [RequestDraft(*row[:4], *_parts(row[4])) for row in tx.conn.execute(query)]


def by_items(tx: Tx, kind: str, digest: str) -> list[int]:
    """The drafts of a kind that name exactly these messages, the latest first."""
    named = d.body.contains(f'"items_sha256":"{digest}"')
    return list(tx.conn.scalars(sa.select(d.id).where(d.kind == kind, named).order_by(d.id.desc())))


def take(tx: Tx, draft_id: int) -> bool:
    """Take a draft away, as it is adopted or dropped; False where somebody was first."""
    gone = request_drafts.delete().where(d.id == draft_id).returning(d.id)
    return tx.conn.execute(gone).first() is not None


def _parts(text: str | None) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    try:
        body = json.loads(text or "")
    except (ValueError, RecursionError):
        return None, None
    wish, would = (body.get("wish"), body.get("would")) if isinstance(body, dict) else (None, None)
    return (wish, would) if isinstance(wish, dict) and isinstance(would, dict) else (None, None)
