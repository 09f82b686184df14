"""Walks one claimed window: a transaction for what has arrived, and the window's end in whatever way it came."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Event

from archiver.ahead import lots
from archiver.errors import (
    ArchiverError,
    ConfigurationError,
    HourMissing,
    ProviderUnavailable,
    RequestRefused,
    Stopped,
    TryAgainLater,
    WalkFailed,
)
from archiver.model import HOUR_MS, MINUTE_MS, SECOND_MS, Source, Step, Tally
from archiver.store import apps, hours, pages, runs, watermarks, windows
from archiver.store.engine import Store, Tx
from archiver.store.windows import AUDIT, Claim
from archiver.windows import (
    PAGES_PER_WALK,
    file_shift,
    halves,
    hour_shift,
    missing_hour,
    next_span,
    offset_text,
    settled,
    trusted_now,
    zone_shift,
)

log = logging.getLogger("archiver.pull")

_ATTEMPTS_BEFORE_SPLIT = 3
_FIRST_BACKOFF_MS, _LONGEST_BACKOFF_MS = 5 * SECOND_MS, MINUTE_MS
_FIRST_MISSING_MS = 5 * MINUTE_MS
_RENEWAL_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Ground:
    """What all walks of one pull have in common."""

    store: Store
    source: Source
    run_id: int
    lease_ms: int
    longest_audit: int | None
    stop: Event
    count: Callable[[Tally], None]
    """Told about each stored page."""
    moved: Callable[[int], None]
    """Told where the watermark is after a window was closed."""
    ahead: bool
    """Fetch and decode the next pages while these are stored."""


def _one_by_one(steps: Iterator[Step]) -> Iterator[list[Step]]:
    return ([step] for step in steps)


class Walker:
    """One walk: what it has committed so far is known here, to be resumed from or thrown away at its end."""

    def __init__(self, ground: Ground, claim: Claim, *, trusted: bool) -> None:
        self.ground, self.claim, self.trusted = ground, claim, trusted
        sound = claim.walk0_ms is not None and settled(claim.walk0_ms, claim.window.hi_ms, claim.lag_ms)
        # Progress counts only while order is trusted, and only from a walk that began late enough to close.
        self.resume_ms = claim.progress_ms if trusted and sound else None
        self.walk0_ms = claim.walk0_ms if self.resume_ms is not None else None
        self.progress_ms = self.resume_ms
        self.ended = False
        self._rows = 0
        self._shifts: set[int] = set()
        self._wrong_zone: ConfigurationError | None = None
        self._unrenewed = 0

    def walk(self) -> None:
        """Walk to the end and close, or raise what kept the walk from it; the window is still held then."""
        ground, ordered = self.ground, True
        steps = ground.source.walk(
            self.claim.window, resume_ms=self.resume_ms, order_trusted=self.trusted, progress=self._renew
        )
        with lots(steps, ground.store.pages_in_memory) if ground.ahead else nullcontext(_one_by_one(steps)) as arriving:
            for lot in arriving:
                self._commit(lot)
                ordered = lot[-1].ordered
                if lot[-1].end:
                    break
                if ground.stop.is_set():
                    raise Stopped
        if not self._settled():
            raise TryAgainLater("the server's clock says that this window was walked too early")
        if not self.ended:
            with ground.store.write() as tx:
                windows.hold(tx, self.claim)
                mark_ms = self._close(tx, "exhausted", None)
            ground.moved(mark_ms)
        if not ordered or (not self.trusted and self._rows > 1):  # a single row is always in order
            self._note_order(ordered)

    def _commit(self, lot: Sequence[Step]) -> None:
        last, mark_ms = lot[-1], None
        with self.ground.store.write() as tx:
            windows.hold(tx, self.claim)
            if self.walk0_ms is None:
                self.walk0_ms = self._walk0(tx, lot[0])
            tallies = pages.insert(tx, self.claim, [step.page for step in lot], self.walk0_ms)
            whole = sum(tallies, Tally())
            self._note_shifts(lot)
            windows.advance(
                *(tx, self.claim, whole),
                pages=len(lot),
                walk0_ms=self.walk0_ms,
                progress_ms=last.progress_ms,
                lease_ms=self.ground.lease_ms,
            )
            runs.advance(tx, self.ground.run_id, whole, pages=len(lot), windows=1 if last.end else 0)
            if last.end and self._settled():
                mark_ms = self._end(tx, last)
        self.progress_ms = last.progress_ms
        self._rows += whole.received - whole.outside
        self._report(whole)
        for tally in tallies:
            self.ground.count(tally)
        if mark_ms is not None:
            self.ground.moved(mark_ms)
        if self._wrong_zone is not None:
            raise self._wrong_zone

    def _note_shifts(self, lot: Sequence[Step]) -> None:
        offset_ms = self.ground.source.hour_offset_ms
        if offset_ms is not None and 0 not in self._shifts:
            messages = (message for step in lot for message in step.page.messages)
            found = {hour_shift(self.claim.window, each.timestamp_ms, offset_ms) for each in messages}
            self._shifts |= {hours for hours in found if hours is not None}

    def _walk0(self, tx: Tx, step: Step) -> int:
        """When this walk began, by the server's clock as far as it is believed."""
        if step.page.server_ms is None:
            raise WalkFailed("the answer does not tell the server's time")
        return trusted_now(step.page.server_ms, tx.now_ms())

    def _settled(self) -> bool:
        return self.walk0_ms is not None and settled(self.walk0_ms, self.claim.window.hi_ms, self.claim.lag_ms)

    def _end(self, tx: Tx, step: Step) -> int | None:
        """End the window as far as this walk proves it; gives the watermark. The caller holds the window."""
        if self.ground.source.hour_offset_ms is None:
            return self._close(tx, step.end, step.progress_ms)
        return self._end_hour(tx, step)

    def _close(self, tx: Tx, how: str, progress_ms: int | None) -> int:
        self.ended = True
        claim, key = self.claim, self.claim.key
        if how == "partial" and progress_ms is not None:
            # As dense as what was walked, the rest is a few windows' worth, which others may walk at the same time.
            span_ms = next_span(progress_ms - claim.window.lo_ms, PAGES_PER_WALK)
            claim = windows.split(tx, claim, progress_ms, span_ms=span_ms)
        held = watermarks.lock(tx, key)
        # A resumed walk, too, has not seen what the order alone puts before its beginning.
        by_order = how != "exhausted" or self.resume_ms is not None
        if by_order and not apps.order_trusted(tx, key):  # asked under the lock that a reopening takes
            raise TryAgainLater("the server's order lost our trust during this walk")
        windows.close(tx, claim, by_order=by_order)
        return watermarks.move(tx, key, held, longest_audit=self.ground.longest_audit).complete_until_ms

    def _end_hour(self, tx: Tx, step: Step) -> int | None:
        """The hour's file has been read; the hour itself closes together with the reading of its neighbour."""
        self.ended = True
        claim, key = self.claim, self.claim.key
        if claim.number == 0 or claim.cause == AUDIT:  # claims nothing, so it need not wait for its neighbour
            windows.close(tx, claim, by_order=False, walked_at=tx.now_ms(), file_sha256=step.file_sha256)
            return None
        hours.walked(tx, claim, file_sha256=step.file_sha256, shift_hours=file_shift(self._shifts))
        held = watermarks.lock(tx, key)
        self._wrong_zone = self._proof_of_wrong_zone(tx)
        if self._wrong_zone is not None:
            hours.reopen(tx, key)
            mark = watermarks.recompute(tx, key, held, longest_audit=self.ground.longest_audit)
            return mark.complete_until_ms
        hours.close(tx, key, claim.number)
        return watermarks.move(tx, key, held, longest_audit=self.ground.longest_audit).complete_until_ms

    def _proof_of_wrong_zone(self, tx: Tx) -> ConfigurationError | None:
        files = hours.shifts(tx, self.claim.key)
        shift = zone_shift(files)
        if shift is None:
            return None
        offset_ms = self.ground.source.hour_offset_ms or 0
        messages = sum(count for _, count in files)
        return ConfigurationError(
            f"{self.ground.source.app}: the hours are not those of hour_utc_offset: all {messages} messages of"
            f" {len(files)} files are stamped {shift:+d} h beside their file's hour",
            hint=f'hour_utc_offset = "{offset_text(offset_ms - shift * HOUR_MS)}"',
        )

    def _renew(self, size: int) -> None:
        """A long file renews the lease by what has come in, never by a timer: a stuck walk loses it."""
        self._unrenewed += size
        if self.ground.stop.is_set():
            raise Stopped
        if self._unrenewed >= _RENEWAL_BYTES:
            self._unrenewed = 0
            with self.ground.store.write() as tx:
                windows.hold(tx, self.claim)
                windows.renew(tx, self.claim, self.ground.lease_ms)

    def _report(self, tally: Tally) -> None:
        app, source = self.ground.source.app, self.ground.source.kind
        if tally.late:
            fields = {"app": app, "source": source, "late": tally.late, "worst_lateness_ms": tally.worst_lateness_ms}
            log.error("late arrivals: messages came into a range that was closed", extra={"fields": fields})
        if tally.changed:
            fields = {"app": app, "source": source, "changed": tally.changed}
            log.error("revisions: known messages came with other content", extra={"fields": fields})
        if tally.quarantined:
            fields = {"app": app, "source": source, "quarantined": tally.quarantined}
            log.warning("quarantined: records that could not be read", extra={"fields": fields})

    def _note_order(self, ordered: bool) -> None:
        """Remember how the server sorted; what was closed on the strength of its order is looked at again."""
        ground, key = self.ground, self.claim.key
        with ground.store.write() as tx:
            if not apps.note_order(tx, key, ordered=ordered):
                return
            held = watermarks.lock(tx, key)
            retention_ms = ground.source.retention_ms
            since_ms = 0 if retention_ms is None else tx.now_ms() - retention_ms
            windows.forget_progress(tx, key)
            reopened = windows.reopen_by_order(tx, key, since_ms=since_ms)
            mark = watermarks.recompute(tx, key, held, longest_audit=ground.longest_audit)
        fields = {"app": ground.source.app, "reopened": reopened, "complete_until_ms": mark.complete_until_ms}
        log.error("the server's order is not trusted any more", extra={"fields": fields})

    def give_back(self, error: ArchiverError, *, may_split: bool) -> bool:
        """Put the window back after `error`; True when the same pull may claim it, or its parts, again."""
        if isinstance(error, HourMissing):
            self._give_back_missing(error)
            return False
        advanced = self.progress_ms is not None and self.progress_ms != self.resume_ms and self.trusted
        walked = isinstance(error, WalkFailed)
        refused = isinstance(error, ProviderUnavailable | RequestRefused)
        poisoned = walked or (refused and self.claim.attempts >= _ATTEMPTS_BEFORE_SPLIT)
        parts = None if self.ground.source.hour_offset_ms is not None else halves(self.claim.window)
        whole = self.ground.source.hour_offset_ms is not None or (parts is not None and not may_split)
        with self.ground.store.write() as tx:
            windows.hold(tx, self.claim)
            now_ms = tx.now_ms()
            backoff_ms = min(_FIRST_BACKOFF_MS * 2 ** min(self.claim.attempts - 1, 8), _LONGEST_BACKOFF_MS)
            if advanced or not poisoned or whole:
                again = walked and advanced
                at_ms = None if again or isinstance(error, Stopped) else now_ms + backoff_ms
                windows.retry(tx, self.claim, str(error), at_ms=at_ms, keep_progress=self.progress_ms is not None)
                return again
            if parts is not None:
                lower = windows.split(tx, self.claim, parts[1].lo_ms)
                windows.retry(tx, lower, str(error), at_ms=None, keep_progress=False)
                return True
            windows.retry(tx, self.claim, str(error), at_ms=now_ms + HOUR_MS, keep_progress=False, state="stuck")
        fields = {"app": self.ground.source.app, "source": self.ground.source.kind, "lo_ms": self.claim.window.lo_ms}
        log.error("stuck: a single millisecond cannot be walked", extra={"fields": fields})
        return False

    def _give_back_missing(self, error: HourMissing) -> None:
        """Say what the missing of a file means for its hour, by the hour's age."""
        claim, key, source = self.claim, self.claim.key, self.ground.source
        with self.ground.store.write() as tx:
            windows.hold(tx, claim)
            now_ms = tx.now_ms()
            age_ms = trusted_now(now_ms if error.server_ms is None else error.server_ms, now_ms) - claim.window.hi_ms
            state = missing_hour(
                age_ms,
                number=claim.number,
                retention_ms=source.retention_ms,
                presumed=age_ms >= claim.lag_ms and hours.presumed_empty(tx, claim),
            )
            if state == "not_ready":
                backoff_ms = min(_FIRST_MISSING_MS * 2 ** min(claim.attempts - 1, 8), HOUR_MS)
                windows.retry(tx, claim, str(error), at_ms=now_ms + backoff_ms, keep_progress=False, state=state)
                return
            held = watermarks.lock(tx, key)
            windows.end(tx, claim, state, reason=str(error), closed_at=now_ms)
            hours.close(tx, key, claim.number)
            watermarks.move(tx, key, held, longest_audit=self.ground.longest_audit)
        if state == "expired":
            fields = {"app": source.app, "source": source.kind, **claim.window._asdict()}
            log.error("expired: an hour was lost before it was archived", extra={"fields": fields})
