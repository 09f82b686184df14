"""Windows that are walked again: what they rested on has proved false, or is not enough any more."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from archiver.store.apps import SourceKey, of_source
from archiver.store.engine import Tx
from archiver.store.hours import HOUR_BEFORE, IS_HOUR_BEFORE, LOST, READ
from archiver.store.naming import HourReading, vouched
from archiver.store.planning import AUDIT, LIVE
from archiver.store.schema import expired_before, windows
from archiver.timeline import EPS_MS

_AS_PLANNED: dict[str, object] = {
    "state": "pending",
    "fence": windows.c.fence + 1,
    "by_order": False,
    "unproven": False,
    **dict.fromkeys(
        ("owner", "lease_until", "next_attempt_at", "walk0_ms", "progress_ms", "walked_at", "closed_at", "missing_at")
    ),
    **dict.fromkeys(("naming_ms", "zone_evidence", "shift_hours", "file_sha256")),
}
"""What a window is that nobody has walked. That a file was seen for its hour stays, as long as its name does."""


_FLOOR = sa.select(sa.func.max(expired_before.c.ms)).where(expired_before.c.app_id == windows.c.app_id)
_NOT_EXPIRED = windows.c.hi_ms > sa.func.coalesce(_FLOOR.scalar_subquery(), -(2**63))
"""What has expired would be walked for nothing: none of it is stored again."""
_REOPEN = (
    windows.update()
    .where(of_source(windows.c), _NOT_EXPIRED)
    .values(_AS_PLANNED)
    .returning(windows.c.id, windows.c["pass"])
)


def _open_again(tx: Tx, key: SourceKey, which: sa.ColumnElement[bool], reason: str, **more: object) -> list[int]:
    """Open windows again; gives their passes."""
    opened = tx.conn.execute(_REOPEN.where(which), key.bound | {"reason": reason} | more).all()
    tx.changed(row[0] for row in opened)
    return [row[1] for row in opened]


def reopen_by_order(tx: Tx, key: SourceKey, *, since_ms: int) -> int:
    """Reopen what was closed on the strength of the server's order; what is older than retention stays, unproven.

    Gives how many windows of pass 1 were reopened: the watermark falls, and the caller says so.
    """
    closed_by_order = sa.and_(windows.c.by_order, windows.c.state == "closed")
    lost = sa.and_(closed_by_order, windows.c.hi_ms <= since_ms, sa.not_(windows.c.unproven), _NOT_EXPIRED)
    tx.conn.execute(windows.update().where(of_source(windows.c), lost).values(unproven=True), key.bound)
    had = sa.and_(closed_by_order, windows.c.hi_ms > since_ms)
    return _open_again(tx, key, had, "closed by an order that proved false").count(1)


def reopen_zone(tx: Tx, key: SourceKey, naming_ms: int, *, vouching: Sequence[HourReading], reason: str) -> int:
    """Reopen what was read under a naming, but for what is vouched for; gives how many windows that were.

    What was lost stays lost: by its age, whatever it is called. The caller recomputes the watermark.
    """
    read = sa.or_(windows.c.walked_at.is_not(None), windows.c.state.in_(READ))
    named = sa.and_(windows.c.cause == LIVE, windows.c.naming_ms == naming_ms, windows.c.state.not_in(LOST))
    return len(_open_again(tx, key, sa.and_(named, read, sa.not_(vouched(vouching))), reason, file_seen_at=None))


def read_again_under(tx: Tx, key: SourceKey, naming_ms: int) -> None:
    """Hours that still wait for their neighbours, and were read under another name, are read again."""
    waits = sa.and_(windows.c.state == "pending", windows.c.walked_at.is_not(None), windows.c.naming_ms != naming_ms)
    _open_again(tx, key, waits, "read under another hour_utc_offset", file_seen_at=None)


def read_again_at(tx: Tx, key: SourceKey, pass_no: int, lag_ms: int) -> None:
    """Hours that were read at a shorter lag than is in force now, and wait for their neighbours, are read again.

    Those that were read at a longer one close by the shorter, like their neighbours: nothing has been claimed of them.
    """
    waits = sa.and_(
        windows.c["pass"] == pass_no,
        windows.c.state == "pending",
        windows.c.cause != AUDIT,
        windows.c.walked_at.is_not(None),
    )
    _open_again(tx, key, sa.and_(waits, windows.c.lag_ms < lag_ms), "settle was lengthened: to be read again")
    longer = windows.update().where(of_source(windows.c), waits, windows.c.lag_ms > lag_ms).values(lag_ms=lag_ms)
    tx.conn.execute(longer, key.bound)


_READ_TOO_SOON = sa.and_(
    windows.c["pass"] == sa.bindparam("pass_no"),
    windows.c.state == "closed",
    windows.c.cause == LIVE,
    sa.exists().where(
        IS_HOUR_BEFORE,
        HOUR_BEFORE.c.state == "pending",
        HOUR_BEFORE.c.walked_at.is_not(None),
        windows.c.lag_ms < HOUR_BEFORE.c.lag_ms,
        windows.c.walk0_ms < windows.c.hi_ms + HOUR_BEFORE.c.lag_ms + EPS_MS,
    ),
)


def read_neighbours_again(tx: Tx, key: SourceKey, pass_no: int) -> None:
    """Hours are read again that were closed by a shorter lag than the hour before them waits under.

    The watermark has not passed them, as it has not passed that one; so it does not fall.
    """
    _open_again(tx, key, _READ_TOO_SOON, "to be read again at the lag of the hour before", pass_no=pass_no)
