"""What of a source is planned: windows are added here, side by side, before anybody claims them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from archiver.model import Window
from archiver.store.apps import SourceKey, of_source
from archiver.store.engine import Tx
from archiver.store.schema import windows

LIVE, BACKFILL, AUDIT = "live", "backfill", "audit"

OF_PASS = sa.and_(of_source(windows.c), windows.c["pass"] == sa.bindparam("pass_no"))
OF_CAUSE = sa.and_(OF_PASS, windows.c.cause == sa.bindparam("the_cause"))
_IDLE = windows.update().where(
    OF_PASS,
    windows.c.state.in_(("pending", "not_ready")),
    windows.c.lo_ms >= sa.bindparam("from_ms"),
    windows.c.hi_ms <= sa.bindparam("until_ms"),
)
_FIRST = sa.select(windows.c.lo_ms, windows.c.hi_ms).where(OF_PASS).order_by(windows.c.lo_ms).limit(1)
_LAST = sa.select(windows.c.lo_ms, windows.c.hi_ms).where(OF_PASS).order_by(windows.c.lo_ms.desc()).limit(1)
# What was cut off at the retention's edge has no pages of its own, and says nothing of how dense messages lie.
# Pages of what lies outside the window do not get fewer when it is narrower: a list without an upper bound and without
# order is read to its end for every window, and to cut ever more of them would never end.
_PAGES_INSIDE = windows.c.pages - windows.c.pages * windows.c.outside // sa.func.coalesce(
    sa.func.nullif(windows.c.received, 0), 1
)
_WALKED = (
    sa.select(windows.c.hi_ms - windows.c.lo_ms, _PAGES_INSIDE)
    .where(OF_CAUSE, windows.c.state.in_(("closed", "expired")), windows.c.pages > 0)
    .limit(1)
)
# What was cut down to the millisecond that fails is as good as stuck, and keeps nothing else out of the plan.
_CUT_DOWN = sa.and_(windows.c.failed_at.is_not(None), windows.c.hi_ms - windows.c.lo_ms == 1)
_WAITING = sa.select(sa.func.count(), sa.func.count(windows.c.failed_at)).where(
    OF_CAUSE, windows.c.state == "pending", windows.c.walked_at.is_(None), sa.not_(_CUT_DOWN)
)
_PLAN = windows.insert()


def planned(tx: Tx, key: SourceKey, pass_no: int) -> Window | None:
    """What is planned of a pass, from its first window to its last; None before its first window."""
    first, last = (tx.conn.execute(query, key.bound | {"pass_no": pass_no}).first() for query in (_FIRST, _LAST))
    return None if first is None or last is None else Window(first.lo_ms, last.hi_ms)


def last_walked(tx: Tx, key: SourceKey, pass_no: int, cause: str) -> tuple[int, int] | None:
    """Span (ms) and pages of the newest window closed in this pass, or the furthest back for a backfill."""
    order = windows.c.lo_ms if cause == BACKFILL else windows.c.lo_ms.desc()
    row = tx.conn.execute(_WALKED.order_by(order), key.bound | {"pass_no": pass_no, "the_cause": cause}).first()
    return None if row is None else (row[0], row[1])


def waiting(tx: Tx, key: SourceKey, pass_no: int, cause: str) -> tuple[int, int]:
    """How many windows of a pass are planned and not held by anybody; and how many of them have failed before."""
    row = tx.conn.execute(_WAITING, key.bound | {"pass_no": pass_no, "the_cause": cause}).one()
    return int(row[0]), int(row[1])


def plan(
    tx: Tx,
    key: SourceKey,
    pass_no: int,
    cause: str,
    lag_ms: int,
    ranges: Sequence[Window],
    *,
    state: str = "pending",
    missed: str | None = None,
) -> None:
    """Add windows. The caller holds the source's row and sees to it that they touch what is planned.

    `missed`: why nobody can look at them any more.
    """
    now_ms = tx.now_ms()
    rows = [
        {
            "app_id": key.app_id,
            "source": key.source,
            "pass": pass_no,
            "cause": cause,
            "lo_ms": lo_ms,
            "hi_ms": hi_ms,
            "lag_ms": lag_ms,
            "state": state,
            "reason": missed,
            "unproven": missed is not None,
            "created_at": now_ms,
        }
        for lo_ms, hi_ms in ranges
    ]
    if rows and state == "pending":
        tx.conn.execute(_PLAN, rows)
    elif rows:
        tx.changed(tx.conn.scalars(_PLAN.returning(windows.c.id), rows).all())


def skip_pending(tx: Tx, key: SourceKey, pass_no: int, from_ms: int, until_ms: int) -> None:
    """Give up a pass's windows that nobody has walked yet, where another pass is due."""
    skipped = {"state": "skipped", "reason": "a later pass is due"}
    tx.conn.execute(_IDLE, key.bound | {"pass_no": pass_no, "from_ms": from_ms, "until_ms": until_ms} | skipped)


def next_audit(tx: Tx, key: SourceKey) -> int:
    """A pass number of its own for an audit that somebody asked for: far above those of the configuration."""
    query = sa.select(sa.func.max(windows.c["pass"])).where(
        windows.c.app_id == key.app_id, windows.c.source == key.source, windows.c.cause == AUDIT
    )
    return int(tx.conn.scalar(query) or 999) + 1
