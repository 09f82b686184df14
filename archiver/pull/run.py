"""Pulls what is due: plan windows, claim them one by one, walk them, commit every page.

What has arrived is one transaction: rows, fates, the window's progress and, with its last page, the watermark.
Whatever fails rolls back whole and is claimed again; the database is the only state. What is due is fixed by the
server's first answer, so that a pull ends.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from archiver import logs
from archiver.errors import (
    EXIT_DONE,
    ArchiverError,
    CommitsLost,
    CredentialsRefused,
    DatabaseRefused,
    DatabaseUnavailable,
    DiskNearlyFull,
    LeaseLost,
    RequestRefused,
    Stopped,
    TryAgainLater,
    UsageError,
    WrongZone,
)
from archiver.http import haste
from archiver.model import HOUR_MS, SECOND_MS, Pass, Setup, Source, Tally
from archiver.pull import clocks, plan
from archiver.pull.clocks import Clocks
from archiver.pull.closing import close_hours
from archiver.pull.context import WalkContext
from archiver.pull.outcome import OUTCOMES, Findings, Outcome, OutcomeCounts, warn_of_loss
from archiver.pull.progress import NoProgress, Phase, PullProgress
from archiver.pull.registration import SourceFacts, register, take_settings
from archiver.pull.walk import WindowWalker
from archiver.pull.workers import Tried, Workers
from archiver.store import apps, owner, passes, planning, rate_limit, runs, seals, unclosed, watermarks, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.windows import ClaimOptions, Target
from archiver.timeline import due_until, hour_floor, trusted_now

log = logging.getLogger("archiver.pull")

__all__ = ["Outcome", "Pull", "PullOptions"]

_FOR_EVER_MS = 2**62


@dataclass(frozen=True, slots=True)
class PullOptions:
    """How to pull: what a command asks for, and what the app's settings say.

    `patient`: respect the back-off of failed windows, as the daemon does and one shot does not. `workers`: None where
    the command leaves it to the settings.
    """

    command: str = "pull"
    origin_ms: int = 0
    workers: int | None = None
    lease_ms: int = 180 * SECOND_MS
    patient: bool = False
    retry_stuck: bool = False
    live: bool = True
    backfill: bool = False
    ahead: bool = True
    """Fetch the next pages while these are stored."""
    audit: int | None = None
    """The pass_no of an audit that was asked for: only that is walked."""
    analyze_after: int = 50_000
    """So many new messages make what SQLite's planner knows of the tables worthless."""


class Pull:
    """One pull of one source. `requests`: where the source's HTTP client counts its answers by status."""

    def __init__(
        self,
        store: Store,
        source: Source,
        options: PullOptions,
        *,
        stop: Event,
        requests: dict[str, int] | None = None,
        watcher: PullProgress | None = None,
    ) -> None:
        self.store, self.source, self.options, self.stop = store, source, options, stop
        self._counts = OutcomeCounts()
        self.outcome = self._counts.outcome
        self._requests = {} if requests is None else requests
        self._watcher = watcher or NoProgress()
        self._owner = owner.me()
        self._tried = Tried()
        self._clocks: Clocks | None = None
        self._worker_count = options.workers or 1
        self._workers = Workers(self._worker_count, stop, self._claim_next, self._walk)
        self._failures = self._workers.failures
        self._due_ms: int | None = None
        self._passes: tuple[Pass, ...] = ()
        self._origin_ms = 0
        self._targets: list[Target] = []
        self._key: SourceKey
        self._run_row: runs.Run
        self._setup: Setup
        self._context: WalkContext

    def run(self) -> Outcome:
        """Walk all that is due. Raises usage errors but for a wrong zone; whatever else happens is in the outcome."""
        with self.store.write() as tx:
            self._key = self._register(tx)
            self._passes = passes.numbered(tx, self._key, plan.with_looks(self.source))
            alone = self.options.patient  # the daemon pulls a source once at a time: what it still holds, it lost
            run = runs.start(tx, self._key, self.options.command, self._owner, alone=alone)
            seals.demand(tx)  # behind the row of the run, which waits for `evidence init`
            if alone:
                windows.release(tx, self._key, self._owner)
        with logs.run(run.id):
            self._run(run)
        return self.outcome

    def _run(self, run: runs.Run) -> None:
        self._run_row = run
        broken: ArchiverError | None = None
        try:
            with self.store.write() as tx:
                take_settings(tx, self._key, self.source, self._passes)
            self._begin()
            self._workers.run()
        except (TryAgainLater, CredentialsRefused, RequestRefused, WrongZone) as error:
            broken = error
        except UsageError as error:
            self._end_run("failed", str(error))
            raise
        self._conclude(broken)

    def _register(self, tx: Tx) -> SourceKey:
        source = self.source
        facts = source.retention_ms, source.hour_offset_ms, source.first_contact
        return register(tx, SourceFacts(source.app, source.kind, _settle_ms(source), *facts), self.options.origin_ms)

    def _begin(self) -> None:
        """Ask the server for its time, and fix by it what is due."""
        server_ms, source = self.source.fetch_now(), self.source
        with self.store.write() as tx:
            database_ms = tx.now_ms()
            self._clocks = clocks.compare(tx, self._key, source, server_ms, database_ms)
            self._origin_ms = apps.lock(tx, self._key).origin_ms
            complete_until_ms = watermarks.lock(tx, self._key).complete_until_ms
        now_ms, settle_ms = trusted_now(server_ms, database_ms), _settle_ms(source)
        expired_ms = None if source.retention_ms is None else now_ms - source.retention_ms
        self._setup = Setup(self._passes, source.hour_offset_ms, expired_ms)
        self._due_ms = due_until(now_ms, settle_ms)
        if source.hour_offset_ms is not None:
            self._due_ms = hour_floor(self._due_ms, source.hour_offset_ms)
        self._targets = self._kinds(now_ms, self._due_ms, settle_ms)
        self._context = WalkContext(
            *(self.store, source, self._setup, self._run_row),
            lease_ms=self.options.lease_ms,
            skew_ms=self._clocks.skew_ms,
            stop=self.stop,
            count=self._count,
            moved=self._watcher.moved,
            ahead=self.options.ahead,
        )
        self._watcher.begun(complete_until_ms, self._due_ms)

    def _kinds(self, now_ms: int, due_ms: int, settle_ms: int) -> list[Target]:
        """The kinds of windows that this pull is for, in the order of their claims."""
        if self.options.audit is not None:  # of what is closed already, whatever lag is in force by now
            return [Target(self.options.audit, planning.AUDIT, due_until(now_ms, 0))]
        in_turn = sorted(self._passes, key=lambda a_pass: (a_pass.pass_no != 1, a_pass.pass_no))
        live = [
            Target(a_pass.pass_no, planning.LIVE, due_until(now_ms, a_pass.lag_ms), a_pass.lag_ms) for a_pass in in_turn
        ]
        back = [Target(1, planning.BACKFILL, due_ms, settle_ms)]
        return live * self.options.live + back * self.options.backfill

    def _claim_next(self) -> WindowWalker | None:
        self.store.check_disk()
        with self.store.write() as tx:
            remembered = apps.lock(tx, self._key)
            ahead, afar = 2 * self._worker_count, self._failures.afar
            plan.plan(tx, self._key, self._setup, remembered, self._targets, ahead=ahead, further=afar)
            claim_options = ClaimOptions(
                self._owner,
                self.options.lease_ms,
                dead=owner.dead(windows.owners(tx, self._key)),
                tried=self._tried.ids,
                patient=self.options.patient,
                retry_stuck=self.options.retry_stuck,
                afar=afar,
                distrusts=remembered.distrusts,
            )
            claims = ((kind, windows.claim(tx, self._key, kind, claim_options)) for kind in self._targets)
            kind, claim = next(((kind, claim) for kind, claim in claims if claim is not None), (None, None))
        if kind is None or claim is None:
            return None
        self._watcher.walking(Phase(claim.cause, claim.pass_no, claim.lag_ms, claim.window.lo_ms, kind.due_ms))
        return WindowWalker(self._context, claim, trusted=remembered.order_trusted)

    def _walk(self, walker: WindowWalker) -> None:
        try:
            hasty = self._failures.in_doubt or self._tried.suspects(walker.claim)
            with rate_limit.on_wait(walker.queue), haste(hasty):
                walker.walk()
            self._failures.succeeded()
            if self.source.hour_offset_ms is None:
                self._tried.allow_second_looks()
        except CommitsLost as error:
            self._counts.refused()
            log.critical("%s", error, extra={"fields": {"app": self.source.app, "source": self.source.kind}})
            with suppress(LeaseLost):
                walker.give_back(error, may_split=False)
        except LeaseLost:
            self._counts.refused()
            log.warning("a window was taken over by another process; nothing of its page was stored")
        except (DatabaseUnavailable, DatabaseRefused):
            with suppress(TryAgainLater, DatabaseRefused):  # or its lease runs out
                walker.give_back(Stopped(), may_split=False)
            self._workers.give_up()
            raise
        except (TryAgainLater, RequestRefused) as error:
            self._give_back(walker, error)
        except CredentialsRefused as error:
            self._give_back(walker, error)
            self._workers.give_up()
            raise
        except WrongZone:
            self._workers.give_up()
            raise

    def _give_back(self, walker: WindowWalker, error: ArchiverError) -> None:
        self._counts.failed(error)
        blamed = self._failures.may_blame and self._tried.was_cut(walker.claim)
        fate = walker.give_back(error, may_split=self._failures.may_split(error), blamed=blamed)
        self._failures.failed(error, fate)
        self._tried.note(walker.claim, error, fate)
        if not isinstance(error, Stopped):
            fields = {"app": self.source.app, "source": self.source.kind, "lo_ms": walker.claim.window.lo_ms}
            log.warning("a window could not be walked: %s", error, extra={"fields": fields})

    def _count(self, tally: Tally) -> None:
        self._counts.stored(tally)
        self._watcher.stored(tally)

    def _conclude(self, broken: ArchiverError | None) -> None:
        outcome = self.outcome
        problem = None if self._clocks is None else self._clocks.problem
        findings = Findings(broken, clock_problem=problem)
        try:
            self._look(findings)
        except DatabaseUnavailable as error:
            findings.broken = broken or error
        except DatabaseRefused as error:
            self._end_run("failed", str(error))
            raise
        outcome.exit_code = findings.exit_code()
        outcome.reason, outcome.hint = findings.explain((outcome.reason, outcome.hint))
        if isinstance(findings.broken, DiskNearlyFull):
            log.critical("%s", findings.broken, extra={"fields": {"app": self.source.app}})
        if outcome.tally.new >= self.options.analyze_after:
            with suppress(TryAgainLater, DatabaseRefused):
                self.store.analyze()
        self._end_run(OUTCOMES[outcome.exit_code], outcome.reason)

    def _look(self, findings: Findings) -> None:
        """What the database says of this pull's end."""
        key, source = self._key, self.source
        if source.hour_offset_ms is not None and self._due_ms is not None and findings.broken is None:
            with self.store.write() as tx:  # the last look may have made hours ready that no walk came after
                closed = close_hours(tx, key, source.app, self._setup, watermarks.lock(tx, key))
            findings.doubtful, findings.broken = closed.doubtful, closed.wrong
        with self.store.read() as tx:
            skew_ms = 0 if self._clocks is None else self._clocks.skew_ms
            warn_of_loss(source, tx.now_ms() + skew_ms - watermarks.read(tx, key).complete_until_ms)
            findings.hole = self.options.audit is None and unclosed.unaccepted_hole(tx, key)
            findings.missed = self._missed(tx)
            findings.left = self._left(tx)

    def _left(self, tx: Tx) -> bool:
        """Whether anything that this pull was for has not been closed."""
        if self._due_ms is None:
            return True
        if not self.options.live:
            # What was asked for is left even where a false clock says that it is not due yet.
            asked = [
                kind._replace(due_ms=_FOR_EVER_MS) if kind.cause == planning.AUDIT else kind for kind in self._targets
            ]
            return any(unclosed.is_open(tx, self._key, kind) for kind in asked)
        planned = planning.planned(tx, self._key, 1)
        if self._due_ms > (self._origin_ms if planned is None else planned.hi_ms):
            return True
        # The last hour that is due waits for its neighbour's file, which is not.
        closable_ms = self._due_ms - (0 if self.source.hour_offset_ms is None else HOUR_MS)
        kind = Target(1, planning.LIVE, self._due_ms)
        return unclosed.is_due_unclosed(tx, self._key, closable_ms) or unclosed.is_open(tx, self._key, kind)

    def _missed(self, tx: Tx) -> str | None:
        """What an audit that somebody asked for has to say: something was missing, or could not be looked at."""
        if self.options.audit is None:
            return None
        if self.outcome.tally.new:
            return f"{self.outcome.tally.new} messages were missing; they are stored now"
        if unclosed.missed(tx, self._key, self.options.audit):
            return "parts of the range could not be looked at: the provider keeps them no longer"
        return None

    def _end_run(self, outcome: str, reason: str | None) -> None:
        with suppress(TryAgainLater, DatabaseRefused), self.store.write() as tx:
            runs.end(
                *(tx, self._run_row, outcome),
                did=self.outcome.tally,
                pages=self.outcome.pages,
                reason=reason,
                requests=self._requests,
                skew_ms=None if self._clocks is None else self._clocks.skew_ms,
                refused_commits=self._counts.refused_commits,
            )
            if outcome != OUTCOMES[EXIT_DONE]:
                self.outcome.since_ms = runs.failing_since(tx, self._key)


def _settle_ms(source: Source) -> int:
    return next(a_pass.lag_ms for a_pass in source.passes if a_pass.pass_no == 1)
