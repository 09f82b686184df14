"""What becomes of a window whose walk did not come to its end: tried again, in halves, given up, or called stuck."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Any

from archiver.errors import (
    ArchiverError,
    FileMissing,
    HourMissing,
    LeaseLost,
    OrderLost,
    ProviderUnavailable,
    RequestRefused,
    Stopped,
    WalkFailed,
)
from archiver.model import HOUR_MS, MINUTE_MS, SECOND_MS
from archiver.pull.context import WalkContext
from archiver.store import blame, hours, quarantine, watermarks, windows
from archiver.store.engine import Tx
from archiver.store.windows import Claim, Held
from archiver.timeline import halves, is_expired, trusted_now

log = logging.getLogger("archiver.pull")

ATTEMPTS_BEFORE_BLAME, ATTEMPTS_BEFORE_SPLIT = 3, 2
"""To call a range stuck takes more than to look at its halves."""

_FIRST_BACKOFF_MS, _LONGEST_BACKOFF_MS = 5 * SECOND_MS, MINUTE_MS
_FIRST_MISSING_MS = 5 * MINUTE_MS
_FAILS_FOR_LONG_MS = 10 * MINUTE_MS
"""Cut down in a single pull, a millisecond would be called stuck by a few answers of a provider that fails often."""


class Fate(Enum):
    """What a pull may do with a window that was given back."""

    AGAIN = "again"
    """The same pull may claim it, or its parts, again."""
    CUT = "cut"
    """As AGAIN; it was cut in half, since it is to blame."""
    LATER = "later"
    LOST = "lost"
    """It will never be had, by its age: nothing that the provider could help."""


@dataclass(frozen=True, slots=True)
class Setback:
    """A walk that failed. `advanced`: it came further than any before; `in_order`: what it has seen may be resumed."""

    context: WalkContext
    claim: Claim
    advanced: bool
    in_order: bool

    def give_back(self, error: ArchiverError, *, may_split: bool, blamed: bool = False) -> Fate:
        """Put the window back after `error`. Raises LeaseLost where another process has it by now.

        `blamed`: it is a part of a window that was to blame, so one of the parts is.
        """
        with self.context.store.write() as tx:
            held = windows.hold(tx, self.claim, exact=False)
            if isinstance(error, FileMissing) and error.remains is not None:
                quarantine.keep_file(held, error.remains, f"damaged file, kept as it came: {error}")
            if isinstance(error, Stopped | LeaseLost | OrderLost):
                windows.retry(held, str(error), at_ms=None, keep_progress=True)
                # A walk that does not rest on the order may come to its end at once.
                return Fate.AGAIN if isinstance(error, OrderLost) else Fate.LATER
            if self._is_lost(tx, error):
                self._end(held, f"beyond the retention: {error}")
                return Fate.LOST
            if isinstance(error, HourMissing):
                self._miss(held, error)
                return Fate.LATER
            return self._retry(held, error, may_split=may_split, blamed=blamed)

    def _is_lost(self, tx: Tx, error: ArchiverError) -> bool:
        """Whether the provider keeps the window no longer, whatever went wrong this time."""
        context, now_ms = self.context, tx.now_ms()
        server_ms = now_ms + context.skew_ms
        if isinstance(error, HourMissing) and error.server_ms is not None:
            server_ms = error.server_ms
        by_provider = isinstance(error, HourMissing | ProviderUnavailable | RequestRefused | WalkFailed)
        hi_ms = self.claim.window.hi_ms
        return by_provider and is_expired(hi_ms, server_ms, now_ms, context.source.retention_ms) is True

    def _end(self, held: Held, reason: str) -> None:
        """Nobody will walk this window any more."""
        locked = watermarks.lock(held.tx, self.claim.key)
        self.context.say_lost(self.claim, windows.give_up(held, reason))
        self._move(held, locked)

    def _move(self, held: Held, locked: watermarks.Watermark) -> None:
        if not self._hourly:
            watermarks.move(held.tx, self.claim.key, locked)
            return
        self.context.close_hours(held, locked)

    @property
    def _hourly(self) -> bool:
        return self.context.source.hour_offset_ms is not None

    def _retry(self, held: Held, error: ArchiverError, *, may_split: bool, blamed: bool) -> Fate:
        """Try again later, in halves, or say that it cannot be walked, by what else the provider answers."""
        (tx, claim), now_ms = held, held.tx.now_ms()
        parts = None if self._hourly else halves(claim.window)
        if not self.advanced and (self._is_to_blame(tx, error) or (blamed and parts is not None)):
            if parts is not None and may_split:
                lower = windows.split(held, parts[1].lo_ms)
                suspect_ms = None if isinstance(error, WalkFailed) else now_ms
                windows.retry(lower, str(error), at_ms=None, keep_progress=False, failed_at=suspect_ms)
                return Fate.CUT
            if parts is None and self._cannot_be_walked(tx, error, now_ms):
                self._get_stuck(held, error)
                return Fate.LATER
        at_once = self.advanced and isinstance(error, WalkFailed | ProviderUnavailable | RequestRefused)
        suspect = parts is not None and claim.failed_ms is not None
        backoff_ms = min(_FIRST_BACKOFF_MS * 2 ** min(claim.attempts - 1, 8), _LONGEST_BACKOFF_MS)
        seen: dict[str, Any] = {"file_seen_at": now_ms} if isinstance(error, FileMissing) else {}
        windows.retry(
            *(held, str(error)),
            at_ms=None if at_once or suspect else now_ms + backoff_ms,
            keep_progress=self.in_order,
            failed_at=self._first_failure_ms(tx),
            **seen,
        )
        return Fate.AGAIN if at_once else Fate.LATER

    def _first_failure_ms(self, tx: Tx) -> int:
        return tx.now_ms() if self.claim.failed_ms is None else self.claim.failed_ms

    def _is_to_blame(self, tx: Tx, error: ArchiverError) -> bool:
        """Whether it is this window that cannot be had, not the provider: others of it could, meanwhile."""
        if self._hourly:
            return self._hour_is_to_blame(tx)
        if isinstance(error, WalkFailed):
            return True
        if not isinstance(error, ProviderUnavailable | RequestRefused) or self.claim.failed_ms is None:
            return False
        single = halves(self.claim.window) is None
        enough = self.claim.attempts >= (ATTEMPTS_BEFORE_BLAME if single else ATTEMPTS_BEFORE_SPLIT)
        return enough and blame.others_succeed(tx, self.claim, self.claim.failed_ms)

    def _cannot_be_walked(self, tx: Tx, error: ArchiverError, now_ms: int) -> bool:
        """Whether a window that is to blame, and cannot be cut, is no passing trouble."""
        if self._hourly:
            return True  # it has failed for hours, or it would not be to blame
        failed_ms = now_ms if self.claim.failed_ms is None else self.claim.failed_ms
        # What a whole answer shows, a loop or disorder, is no trouble of the moment.
        if not isinstance(error, WalkFailed) and now_ms - failed_ms < _FAILS_FOR_LONG_MS:
            return False
        return self.claim.failed_ms is not None and blame.others_close(tx, self.claim, failed_ms)

    def _hour_is_to_blame(self, tx: Tx, *, missing: bool = False) -> bool:
        enough = self.claim.attempts >= ATTEMPTS_BEFORE_BLAME
        return enough and blame.hour_is_to_blame(tx, self.claim, missing=missing)

    def _get_stuck(self, held: Held, error: ArchiverError) -> None:
        """Nobody waits for an audit's look, so it is missed; what moves the watermark is tried again every hour."""
        claim, source = self.claim, self.context.source
        if claim.pass_no != 1:
            self._end(held, str(error))
            return
        windows.retry(
            *(held, str(error)),
            at_ms=held.tx.now_ms() + HOUR_MS,
            keep_progress=False,
            state="stuck",
            failed_at=claim.failed_ms,
        )
        fields = {"app": source.app, "source": source.kind, "lo_ms": claim.window.lo_ms}
        log.error("stuck: a range cannot be walked, though others can", extra={"fields": fields})

    def _miss(self, held: Held, error: HourMissing) -> None:
        """Say what the missing of a file means for its hour, by the hour's age."""
        (tx, claim), source, now_ms = held, self.context.source, held.tx.now_ms()
        server_ms = now_ms if error.server_ms is None else error.server_ms
        due = trusted_now(server_ms, now_ms) - claim.window.hi_ms >= claim.lag_ms
        kept = is_expired(claim.window.hi_ms, server_ms, now_ms, source.retention_ms) is False
        gone = error.was_there or hours.had_a_file(tx, claim)
        if (gone or due) and self._hour_is_to_blame(tx, missing=not gone):
            self._get_stuck(held, error)
        elif claim.pass_no == 1 and due and kept and not gone and hours.presumed_empty(held):
            locked = watermarks.lock(tx, claim.key)
            named = {"naming_ms": source.hour_offset_ms, "closed_at": now_ms}
            windows.end(held, "presumed_empty", reason=str(error), **named)
            self._move(held, locked)
        else:
            backoff_ms = min(_FIRST_MISSING_MS * 2 ** min(claim.attempts - 1, 8), HOUR_MS)
            windows.retry(
                *(held, str(error)),
                at_ms=now_ms + backoff_ms,
                keep_progress=False,
                state="not_ready",
                failed_at=self._first_failure_ms(tx),
            )
