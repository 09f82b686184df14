"""Who has the review page open, by the hash of a token that the browser alone has."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import HOUR_MS, MINUTE_MS
from archiver.store.engine import Tx
from archiver.store.schema import review_sessions

IDLE_MS, LONGEST_MS = 30 * MINUTE_MS, 10 * HOUR_MS
SEEN_EVERY_MS = MINUTE_MS
"""How often it is noted that a session is in use."""
_KEPT_MS = 30 * 24 * HOUR_MS

s = review_sessions.c


class SessionRow(NamedTuple):
    """A session that is open. `role`: all roles of the person, parted by commas."""

    token_sha256: str
    who: str
    role: str
    csrf: str
    case_id: str | None
    reason: str | None
    created_at: int
    seen_at: int
    ended_at: int | None


def add(tx: Tx, row: SessionRow) -> None:
    """Begin a session, and forget those that ended long ago."""
    tx.conn.execute(review_sessions.delete().where(s.created_at < tx.now_ms() - _KEPT_MS))
    tx.conn.execute(review_sessions.insert().inline(), row._asdict())


def find(tx: Tx, token_sha256: str) -> SessionRow | None:
    """The session of a token, unless it has ended: by its person, by half an hour of silence, or after ten hours."""
    row = tx.conn.execute(sa.select(review_sessions).where(s.token_sha256 == token_sha256)).first()
    if row is None or row.ended_at is not None:
        return None
    now_ms = tx.now_ms()
    if now_ms - row.seen_at > IDLE_MS or now_ms - row.created_at > LONGEST_MS:
        return None
    return SessionRow(*row)


def note_seen(tx: Tx, token_sha256: str) -> None:
    """Note that it is in use."""
    tx.conn.execute(review_sessions.update().where(s.token_sha256 == token_sha256).values(seen_at=tx.now_ms()))


def set_case(tx: Tx, token_sha256: str, case_id: str, reason: str) -> None:
    """Note for which case this person reads from now on."""
    same = s.token_sha256 == token_sha256
    tx.conn.execute(review_sessions.update().where(same).values(case_id=case_id, reason=reason))


def end(tx: Tx, token_sha256: str) -> None:
    """End a session; nobody opens it again."""
    is_open = sa.and_(s.token_sha256 == token_sha256, s.ended_at.is_(None))
    tx.conn.execute(review_sessions.update().where(is_open).values(ended_at=tx.now_ms()))
