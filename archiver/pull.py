"""Pulls what is due: plan windows, claim them one by one, walk each, commit each page.

What has arrived is one transaction: rows, fates, the window's progress and, with its last page, the watermark.
Whatever fails rolls back whole and is claimed again; the database is the only state. What is due is fixed by the
server's first answer, so that a pull ends.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Event, Lock
from typing import Protocol

from archiver import logs, planning
from archiver.closing import change_zone, close_hours
from archiver.errors import (
    EXIT_DONE,
    EXIT_INCOMPLETE,
    EXIT_LATER,
    EXIT_REFUSED,
    EXIT_USAGE,
    ArchiverError,
    CommitsLost,
    CredentialsRefused,
    DatabaseUnavailable,
    DiskNearlyFull,
    FileMissing,
    HourMissing,
    LeaseLost,
    OrderLost,
    RequestRefused,
    Stopped,
    TryAgainLater,
    UsageError,
    WalkFailed,
    WrongZone,
)
from archiver.ground import Ground
from archiver.model import HOUR_MS, SECOND_MS, Pass, Setup, Source, Tally
from archiver.registering import Reading, register
from archiver.setbacks import Fate
from archiver.store import apps, hours, leases, passes, rates, reopening, runs, unclosed, watermarks, windows
from archiver.store.apps import Key
from archiver.store.engine import Store, Tx
from archiver.store.windows import Claim, Terms, Wanted
from archiver.walker import Walker
from archiver.windows import TOLERATED_SKEW_MS, clock_problem, due_until, hour_floor, trusted_now

log = logging.getLogger("archiver.pull")

FAILURES_IN_A_ROW = 2
"""So many windows in a row that the provider did not answer for, and the pull ends; the next one tries again."""

_OF_A_FILE = 1 / 3
"""A file that cannot be had is more likely the file's fault: six in a row, with none had between, end a pull."""

_MANY = 50_000
"""So many new messages make what SQLite's planner knows of the tables worthless."""

SPLITS_IN_ALL = 64
"""Where some windows end well between those that are cut, a pull must end all the same."""

_OUTCOMES = {
    EXIT_DONE: "done",
    EXIT_USAGE: "failed",
    EXIT_REFUSED: "refused",
    EXIT_INCOMPLETE: "incomplete",
    EXIT_LATER: "unfinished",
}

SPLITS_IN_A_ROW = 40
"""A single bad millisecond in a day is found by 27 halvings; a server that fails everywhere must not shred the plan."""


class Watcher(Protocol):
    """Is told how a pull goes on; the progress bar is one."""

    def begun(self, complete_until_ms: int, due_ms: int) -> None: ...

    def stored(self, tally: Tally) -> None: ...

    def moved(self, complete_until_ms: int) -> None: ...


class Silent:
    """Nobody watches."""

    def begun(self, complete_until_ms: int, due_ms: int) -> None: ...

    def stored(self, tally: Tally) -> None: ...

    def moved(self, complete_until_ms: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How to pull. `patient`: respect the back-off of failed windows, as the daemon does and one shot does not."""

    command: str = "pull"
    origin_ms: int = 0
    workers: int = 1
    lease_ms: int = 180 * SECOND_MS
    patient: bool = False
    retry_stuck: bool = False
    live: bool = True
    backfill: bool = False
    ahead: bool = False
    """Fetch the next pages while these are stored."""
    audit: int | None = None
    """The pass number of an audit that was asked for: only that is walked."""


@dataclass(slots=True)
class Outcome:
    """How a pull ended: its exit code, why, and what it did."""

    exit_code: int = EXIT_DONE
    reason: str | None = None
    hint: str | None = None
    tally: Tally = field(default_factory=Tally)
    pages: int = 0


class Pull:
    """One pull of one source. `requests`: where the source's HTTP client counts its answers by status."""

    def __init__(
        self,
        store: Store,
        source: Source,
        manner: Manner,
        *,
        stop: Event,
        requests: dict[str, int] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.store, self.source, self.manner, self.stop = store, source, manner, stop
        self.outcome = Outcome()
        self._requests = {} if requests is None else requests
        self._watcher = watcher or Silent()
        self._owner = leases.me()
        self._lock = Lock()
        self._walks = Condition()
        self._walking = self._ended = 0
        self._claims = Lock()
        self._nothing_since: int | None = None
        """How many walks had ended when nothing was left to claim; until another one ends, nothing is."""
        self._tried: set[int] = set()
        self._splits = self._all_splits = self._refused = 0
        self._failures = 0.0
        self._skew_ms: int | None = None
        self._clock_problem: str | None = None
        self._due_ms: int | None = None
        self._passes: tuple[Pass, ...] = ()
        self._origin_ms = 0
        self._wanted: list[Wanted] = []
        self._key: Key
        self._run_row: runs.Run
        self._setup: Setup
        self._ground: Ground

    def run(self) -> Outcome:
        """Walk all that is due. Raises usage errors but for a wrong zone; whatever else happens is in the outcome."""
        with self.store.write() as tx:
            self._key = self._register(tx)
            self._passes = passes.numbered(tx, self._key, planning.with_looks(self.source))
            alone = self.manner.patient  # the daemon pulls a source once at a time: what it still holds, it lost
            run = runs.start(tx, self._key, self.manner.command, self._owner, alone=alone)
            if alone:
                windows.release(tx, self._key, self._owner)
        with logs.run(run.id):
            self._run(run)
        return self.outcome

    def _run(self, run: runs.Run) -> None:
        self._run_row = run
        broken: ArchiverError | None = None
        try:
            self._apply_settings()
            self._begin()
            self._work_all()
        except (TryAgainLater, CredentialsRefused, RequestRefused, WrongZone) as error:
            broken = error
        except UsageError as error:
            self._end_run("failed", str(error))
            raise
        self._conclude(broken)

    def _register(self, tx: Tx) -> Key:
        source = self.source
        facts = source.retention_ms, source.hour_offset_ms, source.first_contact
        return register(tx, Reading(source.app, source.kind, _settle_ms(source), *facts), self.manner.origin_ms)

    def _apply_settings(self) -> None:
        """What was read under other settings than those in force now: read again, or left where it is proved."""
        key, source = self._key, self.source
        audits = [each for each in self._passes if each.number >= passes.FIRST_AUDIT]
        longest = max(audits, key=lambda each: each.lag_ms, default=None)
        with self.store.write() as tx:
            before_ms = apps.hour_offset(tx, key)
            for each in self._passes:
                reopening.read_again_at(tx, key, each.number, each.lag_ms)
            watermarks.audit_by(tx, key, None if longest is None else longest.number)
            if source.hour_offset_ms is not None and before_ms != source.hour_offset_ms:
                self._change_zone(tx, before_ms, source.hour_offset_ms)
            elif source.hour_offset_ms is not None:
                reopening.read_again_under(tx, key, source.hour_offset_ms)

    def _change_zone(self, tx: Tx, before_ms: int | None, offset_ms: int) -> None:
        apps.set_hour_offset(tx, self._key, offset_ms)
        if before_ms is None:
            hours.adopt(tx, self._key, offset_ms)
            return
        opened, mark = change_zone(tx, self._key, before_ms, watermarks.lock(tx, self._key))
        reopening.read_again_under(tx, self._key, offset_ms)
        fields = {"app": self.source.app, "reopened": opened, "complete_until_ms": mark.complete_until_ms}
        log.error("hour_utc_offset was changed: what it did not vouch for is read again", extra={"fields": fields})

    def _begin(self) -> None:
        """Ask the server for its time, and fix by it what is due."""
        server_ms = self.source.fetch_now()
        with self.store.write() as tx:
            database_ms = tx.now_ms()
            self._note_clocks(tx, server_ms, database_ms)
            self._origin_ms = apps.lock(tx, self._key).origin_ms
            complete_until_ms = watermarks.lock(tx, self._key).complete_until_ms
        now_ms = trusted_now(server_ms, database_ms)
        self._setup = self._set_up(now_ms)
        self._ground = self._prepare(self._setup, server_ms - database_ms)
        settle_ms = _settle_ms(self.source)
        self._due_ms = due_until(now_ms, settle_ms)
        if self.source.hour_offset_ms is not None:
            self._due_ms = hour_floor(self._due_ms, self.source.hour_offset_ms)
        first_pass_first = sorted(self._passes, key=lambda each: (each.number != 1, each.number))
        live = [
            Wanted(each.number, windows.LIVE, due_until(now_ms, each.lag_ms), each.lag_ms) for each in first_pass_first
        ]
        back = [Wanted(1, windows.BACKFILL, self._due_ms, settle_ms)]
        self._wanted = live * self.manner.live + back * self.manner.backfill
        if self.manner.audit is not None:  # of what is closed already, whatever lag is in force by now
            self._wanted = [Wanted(self.manner.audit, windows.AUDIT, due_until(now_ms, 0))]
        self._watcher.begun(complete_until_ms, self._due_ms)

    def _note_clocks(self, tx: Tx, server_ms: int, database_ms: int) -> None:
        """Hold the server's clock against the database's, and against what both showed at the last pull."""
        self._skew_ms = server_ms - database_ms
        apps.note_skew(tx, self._key, self._skew_ms)
        fields = {"app": self.source.app, "source": self.source.kind, "skew_seconds": self._skew_ms // SECOND_MS}
        if abs(self._skew_ms) > TOLERATED_SKEW_MS:
            log.error("the server's clock and the database's differ", extra={"fields": fields})
        if self._skew_ms <= TOLERATED_SKEW_MS:  # one that is not believed says nothing of its pace, either
            self._clock_problem = clock_problem(apps.last_clocks(tx, self._key), server_ms, database_ms)
            apps.note_clocks(tx, self._key, server_ms, self._clock_problem)
        if self._clock_problem is not None:
            log.error("%s", self._clock_problem, extra={"fields": fields})

    def _set_up(self, now_ms: int) -> Setup:
        retention_ms = self.source.retention_ms
        expired_ms = None if retention_ms is None else now_ms - retention_ms
        return Setup(self._passes, self.source.hour_offset_ms, expired_ms)

    def _prepare(self, setup: Setup, skew_ms: int) -> Ground:
        return Ground(
            self.store,
            self.source,
            setup,
            self._run_row,
            self.manner.lease_ms,
            skew_ms,
            self.stop,
            self._count,
            self._watcher.moved,
            self.manner.ahead,
        )

    def _work_all(self) -> None:
        if self.manner.workers == 1:
            self._work()
            return
        with ThreadPoolExecutor(self.manner.workers, thread_name_prefix="walk", **logs.carried()) as pool:
            for done in [pool.submit(self._work) for _ in range(self.manner.workers)]:
                done.result()

    def _work(self) -> None:
        while not self._is_over() and self._work_once():
            pass

    def _is_over(self) -> bool:
        return self.stop.is_set() or self._failures >= FAILURES_IN_A_ROW

    def _work_once(self) -> bool:
        """Walk a window, or wait while others walk, as they may leave several; False when nothing is left."""
        with self._walks:
            self._walking += 1
            ended, walked = self._ended, False
        try:
            claim, trusted = self._take(ended)
            if claim is not None:
                self._walk(Walker(self._ground, claim, trusted=trusted))
                walked = True
        finally:
            with self._walks:
                self._walking -= 1
                self._ended += walked
                self._walks.notify_all()
        with self._walks:
            self._walks.wait_for(lambda: self._ended != ended or not self._walking)
            return self._ended != ended

    def _take(self, ended: int) -> tuple[Claim | None, bool]:
        """Claim a window, unless it is known that there is none; and whether the server's order is trusted.

        Workers take turns, as they would in the database, where each would wait on a connection of its own.
        """
        with self._claims:
            if self._is_over() or self._nothing_since == ended:
                return None, False
            try:
                claim, trusted = self._claim_next()
            except TryAgainLater:
                self._failures = FAILURES_IN_A_ROW  # the other workers end, too
                raise
            if claim is None:
                self._nothing_since = ended
            return claim, trusted

    def _claim_next(self) -> tuple[Claim | None, bool]:
        self.store.check_disk()
        with self.store.write() as tx:
            remembered = apps.lock(tx, self._key)
            planning.plan(tx, self._key, self._setup, remembered, self._wanted, ahead=2 * self.manner.workers)
            terms = Terms(
                self._owner,
                self.manner.lease_ms,
                dead=leases.dead(windows.owners(tx, self._key)),
                tried=frozenset(self._tried),
                patient=self.manner.patient,
                retry_stuck=self.manner.retry_stuck,
                distrusts=remembered.distrusts,
            )
            for wanted in self._wanted:
                claim = windows.claim(tx, self._key, wanted, terms)
                if claim is not None:
                    return claim, remembered.order_trusted
        return None, remembered.order_trusted

    def _walk(self, walker: Walker) -> None:
        try:
            with rates.heard(walker.queue):
                walker.walk()
            self._failures, self._splits = 0.0, 0
        except CommitsLost as error:
            self._refused += 1
            log.critical("%s", error, extra={"fields": {"app": self.source.app, "source": self.source.kind}})
            with suppress(LeaseLost):
                walker.give_back(error, may_split=False)
        except LeaseLost:
            self._refused += 1
            log.warning("a window went to another process; nothing of its page was stored")
        except DatabaseUnavailable:
            with suppress(TryAgainLater):  # or its lease runs out
                walker.give_back(Stopped(), may_split=False)
            self._failures = FAILURES_IN_A_ROW  # the other workers end, too
            raise
        except (TryAgainLater, RequestRefused) as error:
            self._give_back(walker, error)
        except CredentialsRefused as error:
            self._give_back(walker, error)
            self._failures = FAILURES_IN_A_ROW
            raise
        except WrongZone:
            self._failures = FAILURES_IN_A_ROW
            raise

    def _give_back(self, walker: Walker, error: ArchiverError) -> None:
        self.outcome.reason, self.outcome.hint = str(error), error.hint
        self._splits += isinstance(error, WalkFailed)
        self._all_splits += isinstance(error, WalkFailed)
        may_split = self._splits <= SPLITS_IN_A_ROW and self._all_splits <= SPLITS_IN_ALL
        fate = walker.give_back(error, may_split=may_split)
        if isinstance(error, FileMissing) and fate is not Fate.LOST:
            self._failures += _OF_A_FILE
        elif fate is not Fate.LOST and not isinstance(error, WalkFailed | Stopped | HourMissing | OrderLost):
            self._failures += 1
        if fate is not Fate.AGAIN:
            self._tried.add(walker.claim.id)
        if not isinstance(error, Stopped):
            fields = {"app": self.source.app, "source": self.source.kind, "lo_ms": walker.claim.window.lo_ms}
            log.warning("a window could not be walked: %s", error, extra={"fields": fields})

    def _count(self, tally: Tally) -> None:
        with self._lock:
            self.outcome.tally += tally
            self.outcome.pages += 1
        self._watcher.stored(tally)

    def _conclude(self, broken: ArchiverError | None) -> None:
        """The exit code, from what the database says and what broke the pull off."""
        outcome = self.outcome
        doubtful, missed = False, None
        try:
            if self.source.hour_offset_ms is not None and self._due_ms is not None and broken is None:
                doubtful, broken = self._close_hours()
            with self.store.read() as tx:
                self._watch_loss(tx)
                hole = self.manner.audit is None and unclosed.unaccepted_hole(tx, self._key)
                left = self._left(tx)
                missed = self._missed(tx)
        except DatabaseUnavailable as error:
            broken, hole, left = broken or error, False, True
        if isinstance(broken, CredentialsRefused):
            outcome.exit_code = EXIT_REFUSED
        elif isinstance(broken, WrongZone):
            outcome.exit_code = EXIT_USAGE
        elif hole or missed:
            outcome.exit_code = EXIT_INCOMPLETE
        elif broken is not None or left or self._clock_problem is not None:
            outcome.exit_code = EXIT_LATER
        if isinstance(broken, DiskNearlyFull):
            log.critical("%s", broken, extra={"fields": {"app": self.source.app}})
        self._explain(broken, hole=hole, missed=missed, doubtful=doubtful, left=left)
        if outcome.tally.new >= _MANY:
            with suppress(TryAgainLater):
                self.store.analyze()
        self._end_run(_OUTCOMES[outcome.exit_code], outcome.reason)

    def _explain(
        self, broken: ArchiverError | None, *, hole: bool, missed: str | None, doubtful: bool, left: bool
    ) -> None:
        outcome = self.outcome
        if broken is not None:
            outcome.reason, outcome.hint = str(broken), broken.hint
        elif hole:
            outcome.reason, outcome.hint = "there is a hole that nobody has accepted", "archiver coverage"
        elif missed:
            outcome.reason, outcome.hint = missed, "archiver status"
        elif self._clock_problem is not None:
            outcome.reason, outcome.hint = self._clock_problem, "archiver doctor"
        elif doubtful:
            outcome.reason = "hours wait, as their files hold messages of other hours: hour_utc_offset may be wrong"
            outcome.hint = "archiver doctor"
        elif left:
            outcome.reason = outcome.reason or "windows that are due are held by another process"
        else:
            outcome.reason = outcome.hint = None

    def _close_hours(self) -> tuple[bool, WrongZone | None]:
        """Close what the last look made ready, even where no walk of this pull came after it."""
        with self.store.write() as tx:
            held = watermarks.lock(tx, self._key)
            closed = close_hours(tx, self._key, self.source.app, self._setup, held)
        return closed.doubtful, closed.wrong

    def _missed(self, tx: Tx) -> str | None:
        """What an audit that somebody asked for has to say: something was missing, or could not be looked at."""
        if self.manner.audit is None:
            return None
        if self.outcome.tally.new:
            return f"{self.outcome.tally.new} messages were missing; they are stored now"
        if unclosed.missed(tx, self._key, self.manner.audit):
            return "parts of the range could not be looked at: the provider keeps them no longer"
        return None

    def _watch_loss(self, tx: Tx) -> None:
        """Alarm while there is time: at half and at 80 % of what the provider keeps."""
        retention_ms = self.source.retention_ms
        if retention_ms is None:
            return
        lag_ms = tx.now_ms() + (self._skew_ms or 0) - watermarks.read(tx, self._key).complete_until_ms
        fields = {
            "app": self.source.app,
            "source": self.source.kind,
            "left_seconds": (retention_ms - lag_ms) // SECOND_MS,
        }
        if lag_ms > retention_ms * 0.8:
            log.critical("messages will be lost soon: over 80 % of the retention has gone by", extra={"fields": fields})
        elif lag_ms > retention_ms * 0.5:
            log.error("messages are in danger: over half of the retention has gone by", extra={"fields": fields})

    def _left(self, tx: Tx) -> bool:
        """Whether anything that this pull was for has not been closed."""
        if self._due_ms is None:
            return True
        if self.manner.live:
            planned = windows.planned(tx, self._key, 1)
            if self._due_ms > (self._origin_ms if planned is None else planned.hi_ms):
                return True
            # The last hour that is due waits for its neighbour's file, which is not.
            closable_ms = self._due_ms - (0 if self.source.hour_offset_ms is None else HOUR_MS)
            if unclosed.is_due_unclosed(tx, self._key, closable_ms):
                return True
            return unclosed.is_open(tx, self._key, Wanted(1, windows.LIVE, self._due_ms))
        return any(unclosed.is_open(tx, self._key, wanted) for wanted in self._wanted)

    def _end_run(self, outcome: str, reason: str | None) -> None:
        with suppress(TryAgainLater), self.store.write() as tx:
            runs.end(
                *(tx, self._run_row, outcome),
                did=self.outcome.tally,
                pages=self.outcome.pages,
                reason=reason,
                requests=self._requests,
                skew_ms=self._skew_ms,
                refused_commits=self._refused,
            )


def _settle_ms(source: Source) -> int:
    return next(each.lag_ms for each in source.passes if each.number == 1)
