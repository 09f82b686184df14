"""Plans windows ahead of the claims, for every pass: touching what is planned, never skipping, never overlapping.

An outage of any length is planned from where planning stopped. The caller holds the source's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from archiver.errors import UsageError
from archiver.model import DAY_MS, HOUR_MS, Pass, Setup, Source, Window
from archiver.store import apps, floors, passes, planning, watermarks
from archiver.store.apps import SourceKey, SourceState
from archiver.store.engine import Tx
from archiver.store.planning import AUDIT, BACKFILL, LIVE
from archiver.store.schema import iso
from archiver.store.windows import Target
from archiver.timeline import cut, cut_back, cut_hours, hour_floor, next_span


def with_looks(source: Source) -> tuple[Pass, ...]:
    """The passes of a source. Hours always have an early one.

    An hour's messages may lie in any file that came until its lag was over, so all of these must have been looked at
    once before the hour can close, whether or not an early look was asked for as an insurance.
    """
    if source.hour_offset_ms is None or any(a_pass.pass_no == 0 for a_pass in source.passes):
        return source.passes
    return (Pass(0, HOUR_MS), *source.passes)


def plan(
    tx: Tx,
    key: SourceKey,
    setup: Setup,
    remembered: SourceState,
    targets: Sequence[Target],
    *,
    ahead: int,
    further: bool = False,
) -> None:
    """Add what is due and not planned yet, at most `ahead` windows of a kind before they are claimed.

    `further`: some more, as those that are planned fail. Hours are what they are; other windows would cut time up.
    """
    due_ms = {(target.pass_no, target.cause): target.due_ms for target in targets}
    more = (_FAILED_HOURS if setup.hour_offset_ms is not None else _FURTHER) * further
    state = _PlanState(tx, key, remembered.origin_ms, setup, ahead + more)
    pass_of = {a_pass.pass_no: a_pass for a_pass in setup.passes}
    if (1, LIVE) in due_ms:
        due_of = {pass_no: state.floor(due_ms[pass_no, LIVE]) for pass_no in pass_of}
        state.add(1, pass_of[1].lag_ms, state.planned_until(1), due_of[1], _first_ms(ahead))
        if 0 in pass_of:
            _plan_early(state, pass_of[0], pass_of[1], due_of)
        _plan_audits(state, [a_pass for a_pass in setup.passes if a_pass.pass_no > 1], due_of)
    if (1, BACKFILL) in due_ms and remembered.backfill_from_ms is not None:
        from_ms = not_expired(tx, key, remembered.backfill_from_ms)
        _plan_back(tx, key, pass_of[1], remembered.origin_ms, from_ms, ahead)


def _first_ms(ahead: int) -> int:
    """How wide windows are while nobody knows how dense messages lie: what is planned ahead is two days."""
    return 2 * DAY_MS // ahead


_FAILED_HOURS, _FAILED, _FURTHER = 48, 8, 4
"""So many windows may fail while others are planned: some bad ones must not keep the good ones out of the plan, and a
provider that is down must not cut the time into as many windows as there are pulls."""


def _room(tx: Tx, key: SourceKey, pass_no: int, cause: str, ahead: int, *, hourly: bool) -> int:
    waiting, failed = planning.waiting(tx, key, pass_no, cause)
    return ahead - waiting + min(failed, _FAILED_HOURS if hourly else _FAILED)


class _PlanState(NamedTuple):
    """What all passes are planned on."""

    tx: Tx
    key: SourceKey
    origin_ms: int
    setup: Setup
    ahead: int

    def floor(self, due_ms: int) -> int:
        offset_ms = self.setup.hour_offset_ms
        return due_ms if offset_ms is None else hour_floor(due_ms, offset_ms)

    def planned_until(self, pass_no: int) -> int:
        planned = planning.planned(self.tx, self.key, pass_no)
        return self.origin_ms if planned is None else max(planned.hi_ms, self.origin_ms)

    def add(self, pass_no: int, lag_ms: int, from_ms: int, until_ms: int, first_ms: int, narrowest_ms: int = 1) -> int:
        """Plan as much of a range as may be planned now; gives up to where."""
        room = _room(self.tx, self.key, pass_no, LIVE, self.ahead, hourly=self.setup.hour_offset_ms is not None)
        if self.setup.hour_offset_ms is not None:
            ranges = cut_hours(from_ms, until_ms, self.setup.hour_offset_ms, room)
        else:
            walked = planning.last_walked(self.tx, self.key, pass_no, LIVE)
            span_ms = max(narrowest_ms, first_ms if walked is None else next_span(*walked))
            cuts = cut(from_ms, until_ms, span_ms, room)
            ranges = [window for window in cuts if window.hi_ms - window.lo_ms >= narrowest_ms]
        planning.plan(self.tx, self.key, pass_no, LIVE, lag_ms, ranges)
        return ranges[-1].hi_ms if ranges else from_ms

    def skip(self, pass_no: int, lag_ms: int, until_ms: int, missed: str | None = None) -> int:
        """Mark what another pass looks at as skipped, or what was `missed`; gives up to where it is planned now."""
        from_ms = self.planned_until(pass_no)
        if from_ms >= until_ms:
            return from_ms
        skipped = [Window(from_ms, until_ms)]
        planning.plan(self.tx, self.key, pass_no, LIVE, lag_ms, skipped, state="skipped", missed=missed)
        return until_ms


def _plan_early(state: _PlanState, early: Pass, first: Pass, due_of: dict[int, int]) -> None:
    """An early look is spared where pass 1 is due already.

    The file of the hour before the origin is looked at once, when it has settled: what is stamped in the origin's first
    milliseconds may have been filed before them, by another node's clock.
    """
    tx, key, origin_ms = state.tx, state.key, state.origin_ms
    before_ms = origin_ms - HOUR_MS
    expired_ms = state.setup.expired_ms
    kept = expired_ms is None or before_ms >= expired_ms
    planned = planning.planned(tx, key, 0)
    if kept and due_of[1] >= origin_ms and (planned is None or planned.lo_ms >= origin_ms):
        planning.plan(tx, key, 0, LIVE, first.lag_ms, [Window(before_ms, origin_ms)])
    planning.skip_pending(tx, key, 0, origin_ms, due_of[1])
    from_ms = state.skip(0, early.lag_ms, min(due_of[0], due_of[1]))
    if early.lag_ms < first.lag_ms:
        state.add(0, early.lag_ms, from_ms, due_of[0], HOUR_MS)


def _plan_audits(state: _PlanState, audits: list[Pass], due_of: dict[int, int]) -> None:
    """Of the audits due for a range only the longest is walked; the shorter are marked as skipped.

    An audit's windows span a tenth of its lag at least: what is looked at a second time may be looked at in bulk.
    """
    bound_ms = state.planned_until(1)
    covered_ms, all_covered = _looked_at_longer(state, audits), True
    for audit in sorted(audits, key=lambda audit: -audit.lag_ms):
        from_ms = state.skip(audit.pass_no, audit.lag_ms, covered_ms)
        if not all_covered:
            continue  # a longer audit has still to be planned here
        expired_ms = state.setup.expired_ms
        if expired_ms is not None and from_ms < (expired_ms := state.floor(expired_ms)):
            gone_ms = min(expired_ms, bound_ms, due_of[audit.pass_no])
            from_ms = state.skip(audit.pass_no, audit.lag_ms, gone_ms, missed="beyond the retention when it was due")
        narrowest_ms = max(1, audit.lag_ms // 10)
        until_ms = min(due_of[audit.pass_no], bound_ms)
        covered_ms = state.add(audit.pass_no, audit.lag_ms, from_ms, until_ms, narrowest_ms, narrowest_ms)
        all_covered = until_ms - covered_ms < narrowest_ms


def _looked_at_longer(state: _PlanState, audits: list[Pass]) -> int:
    """Up to where an audit with a longer lag than any that is configured now has looked."""
    longest_ms = max((audit.lag_ms for audit in audits), default=None)
    if longest_ms is None:
        return state.origin_ms
    longer = [audit for audit in passes.audits(state.tx, state.key) if audit.lag_ms > longest_ms]
    reached = [watermarks.looked_until(state.tx, state.key, audit.pass_no, state.origin_ms) for audit in longer]
    return max(reached, default=state.origin_ms)


def _plan_back(tx: Tx, key: SourceKey, first: Pass, origin_ms: int, from_ms: int, ahead: int) -> None:
    room = _room(tx, key, 1, BACKFILL, ahead, hourly=False)
    planned = planning.planned(tx, key, 1)
    until_ms = origin_ms if planned is None else planned.lo_ms
    walked = planning.last_walked(tx, key, 1, BACKFILL)
    span_ms = _first_ms(ahead) if walked is None else next_span(*walked)
    planning.plan(tx, key, 1, BACKFILL, first.lag_ms, cut_back(from_ms, until_ms, span_ms, room))


def not_expired(tx: Tx, key: SourceKey, from_ms: int) -> int:
    """A beginning, clipped at the floor: what is stamped below it is not stored again."""
    floor_ms = floors.of_app(tx, key.app_id)
    return from_ms if floor_ms is None else max(from_ms, floor_ms)


def request_backfill(tx: Tx, key: SourceKey, from_ms: int, to_ms: int | None) -> bool:
    """Remember how far back a backfill shall go; False where the archive reaches back that far already.

    Raises UsageError for a range that would leave a gap.
    """
    if key.source != "cursor":
        raise UsageError("hourly files reach back no further than the archive does", hint='source = "cursor"')
    remembered = apps.lock(tx, key)
    from_ms = not_expired(tx, key, from_ms)
    planned = planning.planned(tx, key, 1)
    edge_ms = remembered.origin_ms if planned is None else min(planned.lo_ms, remembered.origin_ms)
    if to_ms is not None and to_ms < edge_ms:
        raise UsageError(f"--to would leave a gap before {iso(edge_ms)}", hint=f"--to {iso(edge_ms)}, or none")
    if remembered.backfill_from_ms is None or from_ms < remembered.backfill_from_ms:
        apps.set_backfill(tx, key, from_ms)
    return from_ms < edge_ms


def plan_audit(tx: Tx, key: SourceKey, window: Window, hour_offset_ms: int | None) -> int:
    """Plan another look at a closed range, as a pass of its own, and give its pass_no; whole hours where hours count.

    Raises UsageError for a range that is not closed as a whole.
    """
    if (lo_ms := not_expired(tx, key, window.lo_ms)) >= window.hi_ms:
        raise UsageError(
            "what is stamped in this range has expired: none of it would be stored", hint="archiver status"
        )
    window = Window(lo_ms, window.hi_ms)
    if hour_offset_ms is not None:
        window = Window(hour_floor(window.lo_ms, hour_offset_ms), -hour_floor(-window.hi_ms, -hour_offset_ms))
    apps.lock(tx, key)
    mark = watermarks.lock(tx, key)
    if not mark.complete_from_ms <= window.lo_ms < window.hi_ms <= mark.complete_until_ms:
        closed = f"from {iso(mark.complete_from_ms)} to {iso(mark.complete_until_ms)}"
        raise UsageError(f"an audit covers what is closed: {closed}", hint="archiver status")
    pass_no = planning.next_audit(tx, key)
    most = window.hi_ms - window.lo_ms
    ranges = cut(window.lo_ms, window.hi_ms, DAY_MS, most)
    if hour_offset_ms is not None:
        ranges = cut_hours(window.lo_ms, window.hi_ms, hour_offset_ms, most)
    planning.plan(tx, key, pass_no, AUDIT, 0, ranges)
    return pass_no
