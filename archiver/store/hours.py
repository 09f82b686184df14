"""Windows that are hours of files: an hour is closed when its file and the next one have been read at their lag.

A file holds what arrived in its hour, and 07:59:59.9 may lie in file 08; so one file proves nothing about its hour.
"""

from __future__ import annotations

import sqlalchemy as sa

from archiver.model import DAY_MS, HOUR_MS, Window
from archiver.store.apps import Key
from archiver.store.engine import Tx
from archiver.store.schema import windows
from archiver.store.windows import LIVE, Claim, end, plan

w = windows.c
_GONE = ("closed", "presumed_empty", "expired", "accepted")
_ASKED_AGAIN_MS = 6 * HOUR_MS
_FILES_LOOKED_AT = 1_000


def add_before_first_contact(tx: Tx, key: Key, window: Window, lag_ms: int) -> None:
    """Note what was lost before this archive began, as one accepted row."""
    plan(tx, key, 1, "before_first_contact", lag_ms, [window], state="accepted")
    first = sa.and_(w.app_id == key.app_id, w.source == key.source, w.cause == "before_first_contact")
    tx.conn.execute(windows.update().where(first).values(reason="before_first_contact", accepted_at=tx.now_ms()))


def walked(tx: Tx, claim: Claim, *, file_sha256: str | None, shift_hours: int | None) -> None:
    """Note that an hour's file has been read to its end; the hour waits for its neighbour now. The caller holds it."""
    now_ms = tx.now_ms()
    end(tx, claim, "pending", walked_at=now_ms, file_sha256=file_sha256, shift_hours=shift_hours, next_attempt_at=None)


def close(tx: Tx, key: Key, number: int) -> None:
    """Close every hour of a pass whose neighbour has been read, too. The caller holds and moves the watermark.

    While no message has been found in the hour whose file it came in, files that hold messages of other hours wait:
    the zone may be wrong.
    """
    after = windows.alias("after")
    neighbour = sa.exists().where(
        after.c.app_id == w.app_id,
        after.c.source == w.source,
        after.c["pass"] == w["pass"],
        after.c.lo_ms == w.hi_ms,
        sa.or_(after.c.walked_at.is_not(None), after.c.state.in_(_GONE)),
    )
    sure = sa.true() if _zone_is_right(tx, key) else sa.func.coalesce(w.shift_hours, 0) == 0
    read = sa.and_(w.app_id == key.app_id, w.source == key.source, w["pass"] == number, w.state == "pending")
    tx.conn.execute(
        windows.update()
        .where(read, w.walked_at.is_not(None), neighbour, sure)
        .values(state="closed", closed_at=tx.now_ms(), reason=None)
    )


def _zone_is_right(tx: Tx, key: Key) -> bool:
    query = sa.select(w.id).where(w.app_id == key.app_id, w.source == key.source, w.shift_hours == 0)
    return tx.conn.execute(query.limit(1)).first() is not None


def shifts(tx: Tx, key: Key) -> list[tuple[int, int]]:
    """What each hour's file says of the zone: its shift in hours, and how many messages came with it."""
    if _zone_is_right(tx, key):
        return []
    query = (
        sa.select(w.shift_hours, sa.func.max(w.outside))
        .where(w.app_id == key.app_id, w.source == key.source, w.shift_hours.is_not(None))
        .group_by(w.shift_hours, w.lo_ms)
        .limit(_FILES_LOOKED_AT)
    )
    return [(int(row[0]), int(row[1])) for row in tx.conn.execute(query)]


def reopen(tx: Tx, key: Key) -> int:
    """Open everything again that was read under a wrong zone; gives how many windows that were."""
    opened = tx.conn.execute(
        windows.update()
        .where(
            w.app_id == key.app_id,
            w.source == key.source,
            w.cause == LIVE,
            sa.or_(w.walked_at.is_not(None), w.state == "presumed_empty"),
        )
        .values(
            state="pending",
            reason="read under a wrong hour_utc_offset",
            fence=w.fence + 1,
            owner=None,
            lease_until=None,
            walked_at=None,
            closed_at=None,
            shift_hours=None,
            walk0_ms=None,
            missing_at=None,
        )
        .returning(w.id)
    )
    return len(opened.all())


def presumed_empty(tx: Tx, claim: Claim) -> bool:
    """Whether an hour without a file was asked for twice, six hours apart, while a later hour's file is a day old.

    Notes the first time that the file was missing. The caller holds the window.
    """
    now_ms = tx.now_ms()
    missing_ms = tx.conn.execute(sa.select(w.missing_at).where(w.id == claim.id)).scalar_one()
    if missing_ms is None:
        tx.conn.execute(windows.update().where(w.id == claim.id).values(missing_at=now_ms))
        return False
    later = sa.select(w.id).where(
        w.app_id == claim.key.app_id,
        w.source == claim.key.source,
        w.lo_ms > claim.window.lo_ms,
        w.file_sha256.is_not(None),
        w.walked_at <= now_ms - DAY_MS,
    )
    return missing_ms <= now_ms - _ASKED_AGAIN_MS and tx.conn.execute(later.limit(1)).first() is not None
