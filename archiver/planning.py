"""Plans windows ahead of the claims, for every pass: touching what is planned, never skipping, never overlapping.

An outage of any length is planned from where planning stopped. The caller holds the source's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from archiver.errors import UsageError
from archiver.model import DAY_MS, HOUR_MS, Pass, Source, Window
from archiver.store import apps, watermarks, windows
from archiver.store.apps import Key, Remembered
from archiver.store.engine import Tx
from archiver.store.schema import iso
from archiver.store.windows import AUDIT, BACKFILL, LIVE, Wanted
from archiver.windows import cut, cut_back, hour_floor, next_span


def plan(tx: Tx, key: Key, source: Source, remembered: Remembered, wanted: Sequence[Wanted], *, ahead: int) -> None:
    """Add what is wanted and not planned yet, at most `ahead` windows of each kind before they are claimed."""
    due_ms = {(each.number, each.cause): each.due_ms for each in wanted}
    ground = _Ground(tx, key, remembered.origin_ms, source.hour_offset_ms, ahead)
    passes = {each.number: each for each in source.passes}
    if (1, LIVE) in due_ms:
        due_of = {number: ground.floor(due_ms[number, LIVE]) for number in passes}
        ground.add(1, passes[1].lag_ms, ground.planned_until(1), due_of[1], _first_ms(ahead))
        if 0 in passes:
            _plan_early(ground, passes[0], due_of)
        _plan_audits(ground, [each for each in source.passes if each.number > 1], due_of)
    if (1, BACKFILL) in due_ms and remembered.backfill_from_ms is not None:
        _plan_back(tx, key, source.passes[0], remembered.origin_ms, remembered.backfill_from_ms, ahead)


def _first_ms(ahead: int) -> int:
    """How wide windows are while nobody knows how dense messages lie: what is planned ahead is two days."""
    return 2 * DAY_MS // ahead


class _Ground(NamedTuple):
    """What all passes are planned on."""

    tx: Tx
    key: Key
    origin_ms: int
    hour_offset_ms: int | None
    ahead: int

    def floor(self, due_ms: int) -> int:
        return due_ms if self.hour_offset_ms is None else hour_floor(due_ms, self.hour_offset_ms)

    def planned_until(self, number: int) -> int:
        planned = windows.planned(self.tx, self.key, number)
        return self.origin_ms if planned is None else max(planned.hi_ms, self.origin_ms)

    def add(self, number: int, lag_ms: int, from_ms: int, until_ms: int, first_ms: int, narrowest_ms: int = 1) -> int:
        """Plan as much of a range as may be planned now; gives up to where."""
        room = self.ahead - windows.waiting(self.tx, self.key, number, LIVE)
        if self.hour_offset_ms is not None:
            span_ms = narrowest_ms = HOUR_MS
        else:
            walked = windows.last_walked(self.tx, self.key, number, LIVE)
            span_ms = max(narrowest_ms, first_ms if walked is None else next_span(*walked))
        ranges = [each for each in cut(from_ms, until_ms, span_ms, room) if each.hi_ms - each.lo_ms >= narrowest_ms]
        windows.plan(self.tx, self.key, number, LIVE, lag_ms, ranges)
        return ranges[-1].hi_ms if ranges else from_ms

    def skip(self, number: int, lag_ms: int, until_ms: int) -> int:
        """Mark what another pass looks at as skipped; gives up to where this pass is planned now."""
        from_ms = self.planned_until(number)
        if from_ms >= until_ms:
            return from_ms
        skipped = [Window(from_ms, until_ms)]
        windows.plan(self.tx, self.key, number, LIVE, lag_ms, skipped, state="skipped")
        return until_ms


def _plan_early(ground: _Ground, early: Pass, due_of: dict[int, int]) -> None:
    """An early look is insurance against recall and retention; it is spared where pass 1 is due already."""
    windows.skip_pending(ground.tx, ground.key, 0, due_of[1])
    from_ms = ground.skip(0, early.lag_ms, min(due_of[0], due_of[1]))
    ground.add(0, early.lag_ms, from_ms, due_of[0], HOUR_MS)


def _plan_audits(ground: _Ground, audits: list[Pass], due_of: dict[int, int]) -> None:
    """Of the audits due for a range only the longest is walked; the shorter are marked as skipped.

    An audit's windows span a tenth of its lag at least: what is looked at a second time may be looked at in bulk.
    """
    bound_ms = ground.planned_until(1)
    covered_ms, all_covered = ground.origin_ms, True
    for audit in sorted(audits, key=lambda each: -each.lag_ms):
        from_ms = ground.skip(audit.number, audit.lag_ms, covered_ms)
        if not all_covered:
            continue  # a longer audit has still to be planned here
        narrowest_ms = max(1, audit.lag_ms // 10)
        until_ms = min(due_of[audit.number], bound_ms)
        covered_ms = ground.add(audit.number, audit.lag_ms, from_ms, until_ms, narrowest_ms, narrowest_ms)
        all_covered = until_ms - covered_ms < narrowest_ms


def _plan_back(tx: Tx, key: Key, first: Pass, origin_ms: int, from_ms: int, ahead: int) -> None:
    room = ahead - windows.waiting(tx, key, 1, BACKFILL)
    planned = windows.planned(tx, key, 1)
    until_ms = origin_ms if planned is None else planned.lo_ms
    walked = windows.last_walked(tx, key, 1, BACKFILL)
    span_ms = _first_ms(ahead) if walked is None else next_span(*walked)
    windows.plan(tx, key, 1, BACKFILL, first.lag_ms, cut_back(from_ms, until_ms, span_ms, room))


def want_backfill(tx: Tx, key: Key, from_ms: int, to_ms: int | None) -> bool:
    """Remember how far back a backfill shall go; False where the archive reaches back that far already.

    Raises UsageError for a range that would leave a gap.
    """
    if key.source != "cursor":
        raise UsageError("hourly files reach back no further than the archive does", hint='source = "cursor"')
    remembered = apps.lock(tx, key)
    planned = windows.planned(tx, key, 1)
    edge_ms = remembered.origin_ms if planned is None else min(planned.lo_ms, remembered.origin_ms)
    if to_ms is not None and to_ms < edge_ms:
        raise UsageError(f"--to would leave a gap before {iso(edge_ms)}", hint=f"--to {iso(edge_ms)}, or none")
    if remembered.backfill_from_ms is None or from_ms < remembered.backfill_from_ms:
        apps.set_backfill(tx, key, from_ms)
    return from_ms < edge_ms


def plan_audit(tx: Tx, key: Key, window: Window, hour_offset_ms: int | None) -> int:
    """Plan another look at a closed range, as a pass of its own, and give its number; whole hours where hours count.

    Raises UsageError for a range that is not closed as a whole.
    """
    span_ms = DAY_MS
    if hour_offset_ms is not None:
        window = Window(hour_floor(window.lo_ms, hour_offset_ms), -hour_floor(-window.hi_ms, -hour_offset_ms))
        span_ms = HOUR_MS
    apps.lock(tx, key)
    mark = watermarks.lock(tx, key)
    if not mark.complete_from_ms <= window.lo_ms < window.hi_ms <= mark.complete_until_ms:
        closed = f"from {iso(mark.complete_from_ms)} to {iso(mark.complete_until_ms)}"
        raise UsageError(f"an audit looks at what is closed: {closed}", hint="archiver status")
    number = windows.next_audit(tx, key)
    windows.plan(tx, key, number, AUDIT, 0, cut(window.lo_ms, window.hi_ms, span_ms, window.hi_ms - window.lo_ms))
    return number
