"""Plans windows ahead of the claims, for every pass: touching what is planned, never skipping, never overlapping.

An outage of any length is planned from where planning stopped. The caller holds the source's row.
"""

from __future__ import annotations

from collections.abc import Sequence

from archiver.errors import UsageError
from archiver.model import DAY_MS, Pass, Source, Window
from archiver.store import apps, watermarks, windows
from archiver.store.apps import Key, Remembered
from archiver.store.engine import Tx
from archiver.store.schema import iso
from archiver.store.windows import AUDIT, BACKFILL, LIVE, Wanted
from archiver.windows import cut, cut_back, next_span


def plan(tx: Tx, key: Key, source: Source, remembered: Remembered, wanted: Sequence[Wanted], *, ahead: int) -> None:
    """Add what is wanted and not planned yet, at most `ahead` windows of each kind before they are claimed."""
    due_ms = {(each.number, each.cause): each.due_ms for each in wanted}
    if (1, LIVE) in due_ms:
        _plan_live(tx, key, source.passes[0], remembered.origin_ms, due_ms[1, LIVE], ahead)
        audits = [each for each in source.passes if each.number > 1]
        _plan_audits(tx, key, audits, remembered.origin_ms, due_ms, ahead)
    if (1, BACKFILL) in due_ms and remembered.backfill_from_ms is not None:
        _plan_back(tx, key, source.passes[0], remembered.origin_ms, remembered.backfill_from_ms, ahead)


def _plan_live(tx: Tx, key: Key, first: Pass, origin_ms: int, due_ms: int, ahead: int) -> None:
    room = ahead - windows.waiting(tx, key, 1, LIVE)
    span_ms = _span(tx, key, 1, LIVE, DAY_MS)
    from_ms = _planned_until(tx, key, 1, origin_ms)
    windows.plan(tx, key, 1, LIVE, first.lag_ms, cut(from_ms, due_ms, span_ms, room))


def _plan_audits(
    tx: Tx, key: Key, audits: list[Pass], origin_ms: int, due_ms: dict[tuple[int, str], int], ahead: int
) -> None:
    """Of the audits due for a range only the longest is walked; the shorter are marked as skipped.

    An audit's windows span a tenth of its lag at least: what is looked at a second time may be looked at in bulk.
    """
    bound_ms = _planned_until(tx, key, 1, origin_ms)
    covered_ms, all_covered = origin_ms, True
    for audit in sorted(audits, key=lambda each: -each.lag_ms):
        from_ms = _planned_until(tx, key, audit.number, origin_ms)
        if from_ms < covered_ms:
            skipped = [Window(from_ms, covered_ms)]
            windows.plan(tx, key, audit.number, LIVE, audit.lag_ms, skipped, state="skipped")
            from_ms = covered_ms
        if not all_covered:
            continue  # a longer audit has still to be planned here
        narrowest_ms = max(1, audit.lag_ms // 10)
        room = ahead - windows.waiting(tx, key, audit.number, LIVE)
        span_ms = max(narrowest_ms, _span(tx, key, audit.number, LIVE, narrowest_ms))
        until_ms = min(due_ms[audit.number, LIVE], bound_ms)
        ranges = cut(from_ms, until_ms, span_ms, room)
        ranges = [each for each in ranges if each.hi_ms - each.lo_ms >= narrowest_ms]
        windows.plan(tx, key, audit.number, LIVE, audit.lag_ms, ranges)
        covered_ms = ranges[-1].hi_ms if ranges else from_ms
        all_covered = until_ms - covered_ms < narrowest_ms


def _plan_back(tx: Tx, key: Key, first: Pass, origin_ms: int, from_ms: int, ahead: int) -> None:
    room = ahead - windows.waiting(tx, key, 1, BACKFILL)
    planned = windows.planned(tx, key, 1)
    until_ms = origin_ms if planned is None else planned.lo_ms
    span_ms = _span(tx, key, 1, BACKFILL, DAY_MS)
    windows.plan(tx, key, 1, BACKFILL, first.lag_ms, cut_back(from_ms, until_ms, span_ms, room))


def _planned_until(tx: Tx, key: Key, number: int, origin_ms: int) -> int:
    planned = windows.planned(tx, key, number)
    return origin_ms if planned is None else max(planned.hi_ms, origin_ms)


def _span(tx: Tx, key: Key, number: int, cause: str, first_ms: int) -> int:
    walked = windows.last_walked(tx, key, number, cause)
    return first_ms if walked is None else next_span(*walked)


def want_backfill(tx: Tx, key: Key, from_ms: int, to_ms: int | None) -> None:
    """Remember how far back a backfill shall go. Raises UsageError for a range that would leave a gap."""
    remembered = apps.lock(tx, key)
    planned = windows.planned(tx, key, 1)
    edge_ms = remembered.origin_ms if planned is None else min(planned.lo_ms, remembered.origin_ms)
    if to_ms is not None and to_ms < edge_ms:
        raise UsageError(f"--to would leave a gap before {iso(edge_ms)}", hint=f"--to {iso(edge_ms)}, or none")
    if remembered.backfill_from_ms is None or from_ms < remembered.backfill_from_ms:
        apps.set_backfill(tx, key, from_ms)


def plan_audit(tx: Tx, key: Key, window: Window) -> int:
    """Plan another look at a closed range, as a pass of its own, and give its number.

    Raises UsageError for a range that is not closed as a whole.
    """
    apps.lock(tx, key)
    mark = watermarks.lock(tx, key)
    if not mark.complete_from_ms <= window.lo_ms < window.hi_ms <= mark.complete_until_ms:
        closed = f"from {iso(mark.complete_from_ms)} to {iso(mark.complete_until_ms)}"
        raise UsageError(f"an audit looks at what is closed: {closed}", hint="archiver status")
    number = windows.next_audit(tx, key)
    windows.plan(tx, key, number, AUDIT, 0, cut(window.lo_ms, window.hi_ms, DAY_MS, window.hi_ms - window.lo_ms))
    return number
