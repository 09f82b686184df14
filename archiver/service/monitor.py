"""Watches the archive while it is at work: one look at the database, for systemd, for those who ask, for the alerts."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import NamedTuple

from archiver import status
from archiver.callbacks import report as callback_report
from archiver.callbacks.report import CallbackReport
from archiver.config import Settings
from archiver.errors import DatabaseRefused, TryAgainLater
from archiver.evidence import report
from archiver.http import call
from archiver.lifecycle import contradictions
from archiver.lifecycle.contradictions import Contradiction
from archiver.model import SECOND_MS
from archiver.service import alerts, metrics, outlet
from archiver.service.endpoint import EXPOSITION, Reply
from archiver.service.systemd import Notifier
from archiver.sessions import way_out
from archiver.store import installation
from archiver.store.admin import health
from archiver.store.engine import Store
from archiver.store.schema import iso

log = logging.getLogger("archiver.service.monitor")

_FRESH_S = 2.0
"""Several who ask at once share a look."""
_OTHERS_LOOK_S = 5.0
"""So long somebody who asks waits for a look that another has begun."""
_REST_S = 60.0
"""Between two heartbeats, and before a webhook that failed is tried again."""
_ANSWERS_WITHIN_S = 60.0
_DATABASE_S = 120.0
"""A database that is restarted is back by then."""


class Look(NamedTuple):
    """What the database said, or why it said nothing."""

    entries: Sequence[status.SourceReport]
    disk: Mapping[str, int | None]
    error: str | None = None
    evidence: report.Report | None = None
    callbacks: CallbackReport | None = None
    reapply_since_ms: int | None = None
    """Since when erasures wait for `archiver erase reapply`, after a restore."""
    contradictions: Sequence[Contradiction] = ()
    """Of terms: messages are due, and have to stay."""


@dataclass(slots=True)
class Pace:
    """When the heartbeat beat last, and until when a webhook that failed is left alone."""

    heartbeat_at: float = -math.inf
    webhook_rests_until: float = -math.inf


class Watch:
    """Looks again and again. `beat` is the time of the scheduler's last sign of life, as `time.monotonic` has it."""

    def __init__(self, settings: Settings, store: Store, notifier: Notifier) -> None:
        self._settings, self._store, self._notifier = settings, store.hurried, notifier
        self._lock = Lock()
        self._last = Look([], {}, "nobody has looked yet")
        self._looked_at = self._well_at = self._database_at = time.monotonic()
        self._worst_s = 0.0
        self._before: object = None
        self._pace = Pace()
        self._alarmed_at: float | None = None
        self._refused_at: float | None = None
        self._wrong: dict[tuple[str, str, str], str] = {}
        self.beat = time.monotonic()

    def __call__(self) -> None:
        """One look of the daemon's own; whatever fails here must not end it."""
        self.beat = time.monotonic()
        look = self.look()
        self._notifier.status(sentence(look, self.late(look)))
        if self._may_say_alive(look):
            self._notifier.alive()
        if self._settings.alerts:
            self._raise_alerts(look)

    def misconfigured(self, what: tuple[str, str, str], text: str | None) -> None:
        """What of an app's configuration does not let us work: app, source and part; None: it does."""
        with self._lock:
            if text is None:
                self._wrong.pop(what, None)
            else:
                self._wrong[what] = text

    def look(self, fresh_s: float = 0.0) -> Look:
        """Ask the database, unless somebody did just now."""
        if not self._lock.acquire(timeout=_OTHERS_LOOK_S):
            return Look([], {}, f"the database has not answered for {_OTHERS_LOOK_S:.0f} s")
        try:
            if time.monotonic() - self._looked_at >= fresh_s or self._last.error:
                self._last = look(self._settings, self._store)
                self._looked_at = time.monotonic()
            return self._last
        finally:
            self._lock.release()

    def late(self, look: Look) -> list[str]:
        """Which configured sources are overdue by more than is tolerated."""
        return late(look, self._settings.schedule.overdue_ms)

    def _may_say_alive(self, look: Look) -> bool:
        """Not while the archive is overdue and stands still: then a new start is worth a try."""
        now = time.monotonic()
        limit_s = self._settings.schedule.overdue_ms / SECOND_MS
        if look.error:
            return self._worst_s + now - self._well_at <= limit_s
        self._worst_s, self._well_at = worst_s(look), now
        progress = [(entry.complete_until_ms, entry.messages, entry.windows) for entry in look.entries]
        before, self._before = self._before, progress
        return not self.late(look) or before not in (None, progress)

    def _raise_alerts(self, look: Look) -> None:
        now = time.monotonic()
        if look.error is None:
            self._database_at = now
            if self._alarmed_at is not None:
                self._alarmed_at = None
                self._send_unkept("ArchiverDatabaseDown", None)
        elif now - self._database_at > _DATABASE_S and self._is_rested(now, self._alarmed_at):
            self._alarmed_at = now
            self._send_unkept("ArchiverDatabaseDown", look.error)
        elif look.error:
            return
        try:
            with self._lock:
                wrong = [alerts.misconfigured(*key, text) for key, text in self._wrong.items()]
            raise_alerts(self._settings, self._store, look, self._pace, wrong)
            if look.error is None:
                outlet.end_reminders(self._settings)
        except DatabaseRefused as error:
            log.error("alerts cannot be remembered: %s", error)
            if self._is_rested(now, self._refused_at):
                self._refused_at = now
                outlet.tell_unopened(self._settings, error)
        except TryAgainLater as error:
            log.warning("alerts wait: %s", error)

    def _is_rested(self, now: float, sent_at: float | None) -> bool:
        repeat_ms = self._settings.alerts.repeat_ms if self._settings.alerts else 0
        return sent_at is None or now - sent_at > repeat_ms / SECOND_MS

    def _send_unkept(self, name: str, text: str | None) -> None:
        outlet.send_unkept(self._settings, name, text)

    def routes(self) -> Mapping[str, Callable[[], Reply]]:
        """What `run` answers to those who ask."""
        return {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}

    def _metrics(self) -> Reply:
        look = self.look(_FRESH_S)
        return Reply(200, exposition(self._settings, self._with_totals(look)), EXPOSITION)

    def _with_totals(self, look: Look) -> Look:
        """Events are counted when somebody asks: of many that takes a second."""
        try:
            totals = callback_report.event_totals(self._store) if look.callbacks else ()
        except (TryAgainLater, DatabaseRefused):
            totals = ()
        return look._replace(callbacks=look.callbacks and replace(look.callbacks, totals=totals))

    def _healthz(self) -> Reply:
        """Alive: the scheduler works. Nothing that a new start would not mend."""
        silent_s = time.monotonic() - self.beat
        if silent_s < _ANSWERS_WITHIN_S + self._settings.http.deadline_ms / SECOND_MS:
            return Reply(200, b"alive\n")
        return Reply(503, f"the scheduler has been silent for {silent_s:.0f} s\n".encode())

    def _readyz(self) -> Reply:
        look = self.look(_FRESH_S)
        late = self.late(look)
        return Reply(503 if look.error or late else 200, (sentence(look, late) + "\n").encode())


def look(settings: Settings, store: Store) -> Look:
    """One look at the database."""
    configured = status.configured(settings.apps)
    try:
        reports = status.report(store, configured, every_ms=settings.schedule.every_ms)
        with store.read() as tx:
            closed = health.read_only(tx)  # reports work all the same, and nothing that is wrong could be noted
            known = installation.read(tx)
        if closed is not None:
            return Look([], {}, f"{closed.text} (try: {closed.remedy})")
        evidence, callbacks = report.report(store, settings.evidence), callback_report.report(store, settings)
        since_ms = None if known is None else known.reapply_since_ms
        return Look(
            reports,
            store.disk(),
            evidence=evidence,
            callbacks=callbacks,
            reapply_since_ms=since_ms,
            contradictions=contradictions.find(store),
        )
    except (TryAgainLater, DatabaseRefused) as error:
        return Look([], {}, outlet.with_hint(error))


def late(look: Look, overdue_ms: int) -> list[str]:
    """Which configured sources are overdue by more than is tolerated, in words."""
    return [
        f"{entry.app} ({entry.source}) is overdue by {entry.overdue_seconds:.0f} s"
        for entry in look.entries
        if entry.configured and entry.overdue_seconds * SECOND_MS > overdue_ms
    ]


def worst_s(look: Look) -> float:
    """How far the latest of the configured sources is overdue."""
    return max((entry.overdue_seconds for entry in look.entries if entry.configured), default=0.0)


def sentence(look: Look, late: list[str]) -> str:
    """How it stands, in one line."""
    if look.error:
        return look.error
    sources = [
        f"{entry.app} ({entry.source}) complete until {iso(entry.complete_until_ms)}, lag {entry.lag_seconds:.0f} s"
        for entry in look.entries
        if entry.configured
    ]
    return "; ".join([*late, *sources])


def exposition(settings: Settings, look: Look) -> bytes:
    """What Prometheus reads."""
    if look.error:
        return metrics.without_database()
    schedule = settings.schedule
    return metrics.render(
        look.entries,
        look.disk,
        every_ms=schedule.every_ms,
        overdue_ms=schedule.overdue_ms,
        evidence=look.evidence,
        callbacks=look.callbacks,
        reapply_since_ms=look.reapply_since_ms,
        contradictions=look.contradictions,
    )


def raise_alerts(
    settings: Settings, store: Store, look: Look, pace: Pace, more: Sequence[alerts.Condition] = ()
) -> None:
    """Send the webhook what is new, and the heartbeat if all is well, that is, if nothing critical stands.

    `more`: what the database does not know of.
    """
    configured = settings.alerts
    if configured is None or look.error:
        return
    now = time.monotonic()
    overdue_ms, files = settings.schedule.overdue_ms, settings.attachments is not None
    chosen = outlet.language_of(settings)
    known = alerts.findings(look.entries, look.disk, overdue_ms=overdue_ms, files=files, language=chosen)
    wrong = [*known, *more]
    wrong += [*alerts.of_evidence(look.evidence), *alerts.of_callbacks(look.callbacks)]
    wrong += [*alerts.of_restore(look.reapply_since_ms, chosen), *alerts.of_terms(look.contradictions, chosen)]
    if configured.webhook is not None and now >= pace.webhook_rests_until:
        was_sent = alerts.tell(
            *(store, wrong, partial(outlet.post, settings)),
            style=outlet.style(settings),
            repeat_ms=configured.repeat_ms,
        )
        pace.webhook_rests_until = now if was_sent else now + _REST_S
    critical = any(finding.severity == "critical" for finding in wrong)
    if configured.heartbeat is None or critical or now - pace.heartbeat_at < _REST_S:
        return
    pace.heartbeat_at = now
    try:
        call(configured.heartbeat.get_secret_value(), way=way_out(settings))
    except TryAgainLater as error:
        log.warning("the heartbeat was not taken: %s", error)


def tell_after_pull(settings: Settings, store: Store) -> None:
    """Alerts for those who pull by cron: one look at the end of every pull."""
    if settings.alerts is None:
        return
    seen = look(settings, store)
    if seen.error is not None:
        outlet.remind(settings, "ArchiverDatabaseDown", seen.error)
        return
    try:
        raise_alerts(settings, store, seen, Pace())
        outlet.end_reminders(settings)
    except DatabaseRefused as error:
        outlet.tell_unopened(settings, error)
    except TryAgainLater as error:
        log.warning("alerts wait: %s", error)
