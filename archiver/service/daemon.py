"""The daemon: one-shot pulls on a schedule, then the attachments, until it is stopped; its memory is the database.

APScheduler keeps time only: late runs are run once, late, and never dropped; a run is never doubled. It goes by the
wall clock, and with that set back it would wait for as long; so `_wait` compares the clocks every second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from threading import Event

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from archiver import connect, search, status
from archiver.attachments import commands
from archiver.blobs import Blobs
from archiver.callbacks.job import CallbackJob
from archiver.config import Settings
from archiver.errors import (
    EXIT_DONE,
    EXIT_REFUSED,
    EXIT_USAGE,
    ArchiverError,
    ConfigurationError,
    DatabaseUnavailable,
    UsageError,
)
from archiver.evidence.scrub import ScrubJob
from archiver.evidence.sinks import publisher
from archiver.lifecycle.unsalted import HashJob
from archiver.lifecycle.wipes import WipeJob
from archiver.model import SECOND_MS
from archiver.pull.commands import is_known, pull, tell
from archiver.pull.run import PullOptions
from archiver.service.canary import CanaryJob
from archiver.service.endpoint import Endpoint
from archiver.service.monitor import Watch
from archiver.service.systemd import Notifier
from archiver.sessions import AppSession, open_session
from archiver.sources import decode
from archiver.store.engine import Store

log = logging.getLogger("archiver.service.daemon")

# A round that takes longer than its interval is nothing to warn of: the next one begins when it ends.
logging.getLogger("apscheduler.scheduler").addFilter(lambda record: "maximum number of running" not in str(record.msg))

_REST_S = 15 * 60
"""Credentials that were refused are tried again no sooner: the provider bans who asks too often. So is what an operator
has to mend; a reload tries it at once."""
_LOOK_S, _CANARY_S, _DATABASE_S, _SCRUB_S, _CALLBACKS_S, _DAY_S = 10.0, 30.0, 5.0, 300.0, 30.0, 86_400.0
_HOUR_S = 3_600.0
_JUMP_S = 5.0
"""A clock that is slewed never strays so far within a second."""


class Round:
    """The work of one app, again and again; remembers what must not be tried too soon.

    What is wrong with one app's configuration is said by `misconfigured` (what, and None where it is well), and ends
    nothing: the others' messages must not be lost for it.
    """

    def __init__(
        self,
        session: AppSession,
        settings: Settings,
        store: Store,
        stop: Event,
        misconfigured: Callable[[tuple[str, str, str], str | None], None],
    ) -> None:
        self._session, self._settings, self._store, self._stop = session, settings, store, stop
        self._misconfigured = misconfigured
        self._not_before = {"pull": 0.0, "attachments": 0.0}
        self._blobs: Blobs | None = None

    def __call__(self) -> None:
        if not self._is_due("pull"):
            return
        try:
            self._try("pull", self._pull)
            if not self._stop.is_set():
                search.index(self._store, self._until_next_pull())
            if self._settings.attachments and self._is_due("attachments"):
                self._try("attachments", self._fetch_attachments)
        except ArchiverError as error:
            log.error("%s: %s", self._session.app.name, error)
        except Exception:  # the edge of the loop: the next round may do better
            log.exception("%s: a pull ended unexpectedly", self._session.app.name)

    def _is_due(self, what: str) -> bool:
        return not self._stop.is_set() and time.monotonic() >= self._not_before[what]

    def _try(self, what: str, work: Callable[[], str | None]) -> None:
        """Work, unless the configuration does not let us; `work` may say so, or raise it."""
        app = self._session.app
        try:
            wrong = work()
        except UsageError as error:
            hint = f" (try: {error.hint})" if error.hint else ""
            log.error("%s: %s%s", app.name, error, hint, extra={"fields": {"app": app.name, "source": app.source}})
            wrong = str(error)
        if wrong is not None:
            self._not_before[what] = time.monotonic() + _REST_S
        self._misconfigured((app.name, app.source, what), wrong)

    def _pull(self) -> str | None:
        options = PullOptions(command="run", patient=True, backfill=True)
        outcome = pull(self._session, self._settings, self._store, options, stop=self._stop)
        if outcome.exit_code == EXIT_REFUSED:
            self._not_before["pull"] = time.monotonic() + _REST_S
        if not (self._stop.is_set() and outcome.exit_code != EXIT_DONE):
            tell(self._session.app, outcome)
        # Of a source that is not known yet no run can say that its credentials are refused.
        is_unsaid = outcome.exit_code == EXIT_REFUSED and not is_known(self._store, self._session.app)
        return outcome.reason or "" if outcome.exit_code == EXIT_USAGE or is_unsaid else None

    def _until_next_pull(self) -> Callable[[], bool]:
        """What follows a pull goes on for as long, so that neither holds up the other."""
        ends_at = time.monotonic() + self._settings.schedule.every_ms / SECOND_MS
        return lambda: self._stop.is_set() or time.monotonic() > ends_at

    def _fetch_attachments(self) -> str | None:
        self._blobs = self._blobs or commands.open_blobs(self._settings)
        outcome = commands.fetch(
            *(self._session, self._settings, self._store, self._blobs),
            stop=self._stop,
            enough=self._until_next_pull(),
        )
        if outcome is not None and not self._stop.is_set():
            commands.tell(self._session, outcome)
        if outcome is not None and isinstance(outcome.error, UsageError):
            return str(outcome.error)
        return None


class Daemon:
    """The service from its start to its end, over reloads of its configuration.

    `reload` reads the configuration anew, and raises ConfigurationError; `hangup` is set when somebody asks for it.
    """

    def __init__(
        self,
        store: Store,
        stop: Event,
        *,
        hangup: Event | None = None,
        reload: Callable[[], Settings] | None = None,
        notifier: Notifier | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._stop, self._hangup, self._reload = store, stop, hangup or Event(), reload
        self._notifier, self._wall = notifier or Notifier(), wall

    def run(self, settings: Settings) -> int:
        """Pull every app every `[schedule] every`, until stopped. Raises UsageError where it cannot even begin."""
        self._wait_for_database(settings)
        current: Settings | None = settings
        before: Settings | None = None
        while current is not None and not self._stop.is_set():
            try:
                current, before = self._work(current), current
            except ConfigurationError as error:
                if before is None:
                    raise
                self._keep(error)
                current, before = before, None
        log.info("stopped")
        return EXIT_DONE

    def _wait_for_database(self, settings: Settings) -> None:
        """A service that starts before its database is not at fault: it answers and alarms as it would later on."""
        with ExitStack() as open_things:
            watch: Watch | None = None
            while not self._stop.is_set():
                try:
                    connect.check_schema(self._store)
                except DatabaseUnavailable as error:
                    log.error("waiting for the database: %s", error)
                    if watch is None:
                        watch = self._watch(settings, open_things)
                        self._notifier.ready()
                    watch()
                    self._notifier.status(f"waiting for the database: {error}")
                    self._stop.wait(_DATABASE_S)
                else:
                    return

    def _watch(self, settings: Settings, open_things: ExitStack) -> Watch:
        """Who looks at the archive, and answers those who ask until `open_things` are closed."""
        watch = Watch(settings, self._store, self._notifier)
        if (listen := settings.metrics) is not None:
            open_things.enter_context(Endpoint(listen.host, listen.port, watch.routes()))
        return watch

    def _work(self, settings: Settings) -> Settings | None:
        """Work by these settings until stopped, or until there are others; None: stopped."""
        halt = Event()
        with ExitStack() as open_things:
            watch = self._watch(settings, open_things)
            connect.seal(self._store, settings)
            with suppress(DatabaseUnavailable):  # or another command says so
                connect.note_restore(self._store, settings)
            sessions = [
                open_things.enter_context(open_session(app, settings, self._store, halt)) for app in settings.apps
            ]
            scheduler = self._scheduler(settings, sessions, watch, halt)
            self._notifier.ready()
            with suppress(DatabaseUnavailable):  # every job that needs it waits for it
                status.tell_moved_starts(self._store, status.configured(settings.apps))
            scheduler.start()
            log.info("archiving", extra={"fields": {"apps": len(settings.apps)}})
            reloaded = self._wait(scheduler, settings)
            if reloaded is None:
                self._notifier.stopping()
            halt.set()
            scheduler.shutdown(wait=True)
        return reloaded

    def _scheduler(
        self, settings: Settings, sessions: list[AppSession], watch: Watch, halt: Event
    ) -> BackgroundScheduler:
        # A thread per app, and some for the rest: rounds that take long must not hold up the watch.
        scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(len(sessions) + 7)})

        def again(work: Callable[[], object], seconds: float, name: str) -> None:
            scheduler.add_job(
                work,
                "interval",
                seconds=seconds,
                next_run_time=datetime.now(UTC),
                id=name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )

        for number, session in enumerate(sessions):
            round_ = Round(session, settings, self._store, halt, watch.misconfigured)
            again(round_, settings.schedule.every_ms / SECOND_MS, f"pull {number}")
        again(watch, min(_LOOK_S, (self._notifier.watchdog_s or _LOOK_S) / 3), "watch")
        if settings.evidence is not None:
            publish = publisher(self._store, settings)
            again(publish, settings.evidence.checkpoint_ms / SECOND_MS, "evidence")
            again(ScrubJob(self._store, settings, decode, halt), _SCRUB_S, "scrub")
        if settings.attachments is not None and settings.lifecycle is not None and settings.lifecycle.deletion:
            again(WipeJob(settings, self._store, halt), _DAY_S, "wipes")
        if settings.lifecycle is not None and settings.lifecycle.deletion:
            again(HashJob(settings, self._store, halt), _HOUR_S, "hashes")
        if settings.callbacks is not None:
            again(CallbackJob(settings, self._store, halt), _CALLBACKS_S, "callbacks")
        if settings.canary and settings.canary.every_ms:
            again(CanaryJob(settings, self._store, sessions, halt), _CANARY_S, "canary")
        return scheduler

    def _wait(self, scheduler: BackgroundScheduler, settings: Settings) -> Settings | None:
        """Until stopped (None), or until the configuration is another one."""
        offset = self._wall() - time.monotonic()
        while not self._stop.wait(1.0):
            moved = self._wall() - time.monotonic() - offset
            if abs(moved) > _JUMP_S:
                offset += moved
                log.warning("the wall clock was set %s by %.0f s", "ahead" if moved > 0 else "back", abs(moved))
                for job in scheduler.get_jobs():
                    job.modify(next_run_time=datetime.now(UTC))
            if self._hangup.is_set():
                self._hangup.clear()
                if (reloaded := self._reloaded(settings)) is not None:
                    return reloaded
        return None

    def _reloaded(self, settings: Settings) -> Settings | None:
        """The configuration read anew; None, with the reason in the log, where the old one remains in force."""
        if self._reload is None:
            return None
        self._notifier.reloading()
        try:
            reloaded = self._reload()
        except ConfigurationError as error:
            self._keep(error)
            return None
        if reloaded.database != settings.database:
            self._keep(ConfigurationError("[database] url is another one; that needs a restart"))
            return None
        log.info("the configuration was read again")
        return reloaded

    def _keep(self, error: ConfigurationError) -> None:
        for problem in error.problems:
            log.error("the configuration was not read again, the old one remains in force: %s", problem)
        self._notifier.ready()
