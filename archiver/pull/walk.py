"""Walks one claimed window: a transaction for what has arrived, and the window's end in whatever way it came."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from typing import Any

from archiver.errors import ArchiverError, HourMissing, OrderLost, Stopped, TryAgainLater, WalkFailed, WrongZone
from archiver.model import MINUTE_MS, SECOND_MS, Page, Step, Tally, Window
from archiver.pull.context import WalkContext
from archiver.pull.prefetch import batches
from archiver.pull.setbacks import Fate, Setback
from archiver.store import apps, hours, pages, quarantine, reopening, runs, watermarks, windows
from archiver.store.engine import Tx
from archiver.store.planning import AUDIT
from archiver.store.windows import Claim, Held
from archiver.timeline import PAGES_PER_WALK, is_expired, next_span, settled, shift_hours, trusted_now, zone_evidence

log = logging.getLogger("archiver.pull")

_RENEWAL_BYTES = 16 * 2**20
_WALK_MS = 5 * MINUTE_MS
"""A walk that is stopped and resumed may have taken so long before."""


def _one_by_one(steps: Iterator[Step]) -> Iterator[list[Step]]:
    return ([step] for step in steps)


def _prepared(steps: Iterator[Step], prepare: Callable[[Page], None]) -> Iterator[Step]:
    """The steps of a walk, their pages made ready to be stored as they arrive: in the thread that fetches them."""
    with closing(steps):  # type: ignore[type-var]  # walks are generators
        for step in steps:
            prepare(step.page)
            yield step


class WindowWalker:
    """One walk: what it has committed so far is known here, to be resumed from or thrown away at its end."""

    def __init__(self, context: WalkContext, claim: Claim, *, trusted: bool) -> None:
        self.context, self.claim, self.trusted = context, claim, trusted
        sound = claim.walk0_ms is not None and settled(claim.walk0_ms, claim.window.hi_ms, claim.lag_ms)
        # Progress counts only while order is trusted, and only from a walk that began late enough to close, and not at
        # the edge of the retention, where its first pages may have come too late.
        self.resume_ms = claim.progress_ms if trusted and sound and not self._was_at_edge() else None
        self.walk0_ms = claim.walk0_ms if self.resume_ms is not None else None
        self.progress_ms = self.resume_ms
        self.ended = False
        self._rows = 0
        self._server_ms: int | None = None
        self._evidence: Counter[int] = Counter()
        self._wrong_zone: WrongZone | None = None
        self._unrenewed = 0
        self._renewed_at = time.monotonic()
        self._turn_at = 0.0

    def _was_at_edge(self) -> bool:
        retention_ms, walk0_ms = self.context.source.retention_ms, self.claim.walk0_ms
        if retention_ms is None or walk0_ms is None:
            return False
        return self.claim.window.lo_ms < walk0_ms - retention_ms + _WALK_MS

    def walk(self) -> None:
        """Walk to the end and close, or raise what kept the walk from it; the window is still held then."""
        context, ordered = self.context, True
        steps = context.source.walk(
            self.claim.window, resume_ms=self.resume_ms, order_trusted=self.trusted, progress=self._renew
        )
        if context.store.prepare is not None:
            steps = _prepared(steps, context.store.prepare)
        with (
            batches(steps, context.store.pages_in_memory)
            if context.ahead
            else nullcontext(_one_by_one(steps)) as arriving
        ):
            for batch in arriving:
                self._commit(batch)
                ordered = batch[-1].ordered
                if batch[-1].end:
                    break
                if context.stop.is_set():
                    raise Stopped
        if not self._settled():
            raise TryAgainLater("the server's clock says that this window was walked too early")
        if not self.ended:
            with context.store.write() as tx:
                mark_ms = self._close(windows.hold(tx, self.claim), "exhausted", None)
            context.moved(mark_ms)
        if ordered and not self.trusted and self._rows > 1:  # a single row is always in order
            with context.store.write() as tx:
                apps.note_clean_walk(tx, self.claim.key)

    def _commit(self, batch: Sequence[Step]) -> None:
        last, mark_ms = batch[-1], None
        with self.context.store.write(lock="shared") as tx:
            held = windows.hold(tx, self.claim)
            if self.walk0_ms is None:
                self.walk0_ms = self._walk0(tx, batch[0])
            tallies = pages.insert(held, [step.page for step in batch], self.walk0_ms)
            whole = sum(tallies, Tally())
            self._look_at(batch)
            windows.advance(
                *(held, whole),
                pages=len(batch),
                walk0_ms=self.walk0_ms,
                progress_ms=last.progress_ms,
                lease_ms=self._lease_ms(),
            )
            runs.advance(tx, self.context.run, whole, pages=len(batch), windows=1 if last.end else 0)
            if not last.ordered and apps.distrust_order(tx, self.claim.key):
                self._reopen_by_order(tx)
            if last.end and self._settled() and (last.ordered or not self._rests_on_order(last.end)):
                mark_ms = self._end(held, last)
        self.claim = self.claim._replace(pages=self.claim.pages + len(batch))
        self.progress_ms = last.progress_ms
        self._rows += whole.received - whole.outside
        self._report(whole)
        for tally in tallies:
            self._report_expired(tally)
            self.context.count(tally)
        if mark_ms is not None:
            self.context.moved(mark_ms)
        if self._wrong_zone is not None:
            raise self._wrong_zone

    def _look_at(self, batch: Sequence[Step]) -> None:
        """Remember the server's latest time, and what a file says of the zone that its hours are named by."""
        self._server_ms = batch[-1].page.server_ms or self._server_ms
        offset_ms = self.context.source.hour_offset_ms
        if offset_ms is not None:
            # A message that a file has twice speaks once, or it would pass for several that are scattered.
            stamps = {message.msg_id: message.timestamp_ms for step in batch for message in step.page.messages}
            self._evidence += zone_evidence(self.claim.window.lo_ms, stamps.values(), offset_ms)

    def _walk0(self, tx: Tx, step: Step) -> int:
        """When this walk began, by the server's clock as far as it is believed."""
        if step.page.server_ms is None:
            raise WalkFailed("the answer does not tell the server's time")
        return trusted_now(step.page.server_ms, tx.now_ms())

    def _settled(self) -> bool:
        return self.walk0_ms is not None and settled(self.walk0_ms, self.claim.window.hi_ms, self.claim.lag_ms)

    def _end(self, held: Held, step: Step) -> int | None:
        """End the window as far as this walk proves it; gives the watermark."""
        if self.context.source.hour_offset_ms is None:
            return self._close(held, step.end, step.progress_ms)
        return self._end_hour(held, step)

    def _close(self, held: Held, how: str, progress_ms: int | None) -> int:
        self.ended = True
        (tx, claim), key = held, self.claim.key
        if how == "partial" and progress_ms is not None:
            # As dense as what was walked, the rest is a few windows' worth, which others may walk at the same time.
            span_ms = next_span(progress_ms - claim.window.lo_ms, PAGES_PER_WALK)
            held = windows.split(held, progress_ms, span_ms=span_ms)
        window = held.claim.window
        lost_until_ms = self._lost_until(tx, window)
        locked = watermarks.lock(tx, key)
        by_order = self._rests_on_order(how)
        if by_order and not apps.order_trusted(tx, key):  # asked under the lock that a reopening takes
            raise OrderLost
        if lost_until_ms is not None:
            held = self._cut_off(held, lost_until_ms)
        if lost_until_ms is None or lost_until_ms < window.hi_ms:
            windows.close(held, by_order=by_order)
        return watermarks.move(tx, key, locked).complete_until_ms

    def _rests_on_order(self, how: str) -> bool:
        """A resumed walk, too, has not seen what the order alone puts before its beginning."""
        return how != "exhausted" or self.resume_ms is not None

    def _reopen_by_order(self, tx: Tx) -> None:
        """Look again at what was closed on the strength of the server's order, in the transaction that disproves it."""
        source, key = self.context.source, self.claim.key
        locked = watermarks.lock(tx, key)
        since_ms = 0 if source.retention_ms is None else tx.now_ms() - source.retention_ms
        reopened = reopening.reopen_by_order(tx, key, since_ms=since_ms)
        mark = watermarks.recompute(tx, key, locked)
        fields = {"app": source.app, "reopened": reopened, "complete_until_ms": mark.complete_until_ms}
        log.error("the server's order is not trusted any more", extra={"fields": fields})

    def _lost_until(self, tx: Tx, window: Window) -> int | None:
        """Up to where the provider may have dropped rows before this walk could see them; None: nowhere.

        The time is that of the last page, as rows expire during a walk, too. What was walked before a resumption was
        seen in time.
        """
        source, now_ms = self.context.source, tx.now_ms()
        server_ms = self._server_ms if self._server_ms is not None else now_ms + self.context.skew_ms
        from_ms = window.lo_ms if self.resume_ms is None else self.resume_ms
        expired = is_expired(from_ms, server_ms, now_ms, source.retention_ms)
        if expired is None:
            raise TryAgainLater("the clocks disagree on whether the provider still keeps this range")
        return max(now_ms, server_ms) - (source.retention_ms or 0) if expired else None

    def _cut_off(self, held: Held, lost_until_ms: int) -> Held:
        """Give up what lies beyond the retention; gives what is left, held still, if anything is."""
        claim, rest = held.claim, held
        if lost_until_ms < claim.window.hi_ms:
            rest = windows.split_off(held, lost_until_ms)
            claim = claim._replace(window=Window(claim.window.lo_ms, lost_until_ms))
        state = windows.give_up(held, "beyond the retention when it was walked")
        self.context.say_lost(claim, state)
        return rest

    def _end_hour(self, held: Held, step: Step) -> int | None:
        """The hour's file has been read; the hour itself closes together with the reading of its neighbour."""
        (tx, claim), source = held, self.context.source
        if step.file_sha256 is None and hours.had_a_file(tx, claim):
            server_ms = step.page.server_ms
            raise HourMissing("the file of this hour was there and is gone", server_ms=server_ms, was_there=True)
        expired = is_expired(claim.window.hi_ms, self._server_ms or tx.now_ms(), tx.now_ms(), source.retention_ms)
        if expired is None:
            raise TryAgainLater("the clocks disagree on whether the provider still keeps this hour")
        self.ended = True
        now_ms = tx.now_ms()
        digest = "" if step.file_sha256 is not None and pages.has_emptied(tx, claim) else step.file_sha256
        seen: dict[str, Any] = {"naming_ms": source.hour_offset_ms, "file_sha256": digest}
        seen["zone_evidence"] = json.dumps(self._evidence) if self._evidence else None
        seen["shift_hours"] = shift_hours(self._evidence)
        seen["file_seen_at"] = None if step.file_sha256 is None else now_ms
        quarantine.file_came(held)
        locked = watermarks.lock(tx, claim.key)
        if expired:
            state = windows.give_up(held, "beyond the retention when it was read", **seen)
            self.context.say_lost(claim, state)
        elif claim.pass_no == 0 or claim.cause == AUDIT:  # claims nothing, so it need not wait for its neighbour
            windows.close(held, by_order=False, walked_at=now_ms, **seen)
        else:
            hours.walked(held, **seen)
        closed = self.context.close_hours(held, locked)
        self._wrong_zone = closed.wrong
        return closed.mark.complete_until_ms

    def _renew(self, size: int) -> None:
        """A long file renews the lease by what has come in, never by a timer: a stuck walk loses it."""
        self._unrenewed += size
        if self.context.stop.is_set():
            raise Stopped
        if self._unrenewed >= _RENEWAL_BYTES:
            self._unrenewed = 0
            with self.context.store.write() as tx:
                windows.renew(windows.hold(tx, self.claim), self._lease_ms())

    def queue(self, seconds: float) -> None:
        """The next request has its turn in so many seconds: the lease is as much longer. See `rate_limit.on_wait`."""
        self._turn_at = time.monotonic() + seconds
        if self._turn_at - self._renewed_at > self.context.lease_ms / SECOND_MS / 3:
            with self.context.store.write() as tx:
                windows.renew(windows.hold(tx, self.claim), self._lease_ms())

    def _lease_ms(self) -> int:
        """A lease from now on, or from the turn that is waited for. Asked by who holds the row, in its order."""
        self._renewed_at = time.monotonic()
        return self.context.lease_ms + int(max(0.0, self._turn_at - self._renewed_at) * SECOND_MS)

    def _report(self, tally: Tally) -> None:
        app, source = self.context.source.app, self.context.source.kind
        if tally.late:
            fields = {"app": app, "source": source, "late": tally.late, "worst_lateness_ms": tally.worst_lateness_ms}
            log.error("late arrivals: messages arrived in a range that was closed", extra={"fields": fields})
        if tally.changed:
            fields = {"app": app, "source": source, "changed": tally.changed}
            log.error("revisions: known messages arrived with other content", extra={"fields": fields})
        if tally.quarantined:
            fields = {"app": app, "source": source, "quarantined": tally.quarantined}
            log.warning("quarantined: records that could not be read", extra={"fields": fields})

    def _report_expired(self, tally: Tally) -> None:
        if tally.expired:
            source = self.context.source
            fields = {"app": source.app, "source": source.kind, "expired": tally.expired}
            log.warning("expired: messages below the floor were not stored again", extra={"fields": fields})

    def give_back(self, error: ArchiverError, *, may_split: bool, blamed: bool = False) -> Fate:
        """Put the window back after `error`; see `Setback.give_back`."""
        advanced = self.progress_ms is not None and self.progress_ms != self.resume_ms and self.trusted
        setback = Setback(self.context, self.claim, advanced=advanced, in_order=self.progress_ms is not None)
        return setback.give_back(error, may_split=may_split, blamed=blamed)
