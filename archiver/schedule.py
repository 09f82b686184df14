"""The daemon: one-shot pulls on a schedule, the attachments after each, until told to stop; its memory is the database.

APScheduler keeps time only: late runs are run once, late, and never dropped; a run is never doubled.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from threading import Event

from apscheduler.schedulers.background import BackgroundScheduler

from archiver import fetching, wiring
from archiver.blobs import Blobs
from archiver.config import Settings
from archiver.errors import EXIT_DONE, EXIT_REFUSED, ArchiverError, UsageError
from archiver.model import SECOND_MS
from archiver.store.engine import Store
from archiver.wiring import Line

log = logging.getLogger("archiver.schedule")

_REFUSED_S = 15 * 60
"""Credentials that were refused are tried again no sooner: the provider bans who asks too often."""


class Round:
    """The work of one app, again and again; remembers what must not be tried too soon, and what cannot go on."""

    def __init__(self, line: Line, settings: Settings, store: Store, stop: Event) -> None:
        self._line, self._settings, self._store, self._stop = line, settings, store, stop
        self._not_before = 0.0
        self._blobs: Blobs | None = None
        self.fatal: UsageError | None = None

    def __call__(self) -> None:
        if self._stop.is_set() or time.monotonic() < self._not_before:
            return
        try:
            self._pull()
            if self._settings.attachments and not self._stop.is_set():
                self._fetch_attachments()
        except UsageError as error:
            self.fatal = error
            self._stop.set()
        except ArchiverError as error:
            log.error("%s: %s", self._line.app.name, error)
        except Exception:  # the edge of the loop: the next round may do better
            log.exception("%s: a pull broke off", self._line.app.name)

    def _pull(self) -> None:
        outcome = wiring.pull(
            self._line, self._settings, self._store, stop=self._stop, command="run", patient=True, backfill=True
        )
        if outcome.exit_code == EXIT_REFUSED:
            self._not_before = time.monotonic() + _REFUSED_S
        if not (self._stop.is_set() and outcome.exit_code != EXIT_DONE):
            wiring.tell(self._line.app, outcome)

    def _fetch_attachments(self) -> None:
        """For as long as until the next pull, so that neither holds up the other."""
        ends_at = time.monotonic() + self._settings.schedule.every_ms / SECOND_MS
        self._blobs = self._blobs or fetching.open_blobs(self._settings)
        outcome = fetching.fetch(
            *(self._line, self._settings, self._store, self._blobs),
            stop=self._stop,
            enough=lambda: time.monotonic() > ends_at,
        )
        if outcome is not None and not self._stop.is_set():
            fetching.tell(self._line, outcome)


def run(settings: Settings, store: Store, stop: Event) -> int:
    """Pull every configured app every `[schedule] every`, until `stop`. Raises UsageError for what cannot go on."""
    scheduler = BackgroundScheduler(timezone=UTC)
    rounds = []
    with ExitStack() as lines:
        for number, app in enumerate(settings.apps):
            line = lines.enter_context(wiring.line_to(app, settings, store, stop))
            rounds.append(Round(line, settings, store, stop))
            scheduler.add_job(
                rounds[-1],
                "interval",
                seconds=settings.schedule.every_ms / SECOND_MS,
                next_run_time=datetime.now(UTC),
                id=str(number),
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        scheduler.start()
        log.info("archiving", extra={"fields": {"apps": len(settings.apps)}})
        stop.wait()
        scheduler.shutdown(wait=True)
    for each in rounds:
        if each.fatal is not None:
            raise each.fatal
    log.info("stopped")
    return EXIT_DONE
