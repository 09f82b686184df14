"""The commands that pull: every chosen app in its turn, a backfill, an audit, and the daemon's single pulls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Event

from archiver import connect, host
from archiver.config import App, Settings
from archiver.errors import (
    EXIT_DONE,
    EXIT_INCOMPLETE,
    ArchiverError,
    CredentialsRefused,
    TryAgainLater,
    UsageError,
    worst_exit_code,
)
from archiver.model import Tally, Window
from archiver.pull import plan
from archiver.pull.progress import NoProgress, Phase, PullProgress
from archiver.pull.registration import SourceFacts, register
from archiver.pull.run import Outcome, Pull, PullOptions
from archiver.sessions import AppSession, IdleTimeout, open_session
from archiver.sources import provider_of
from archiver.store import apps, seals
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.schema import iso

log = logging.getLogger("archiver.pull")


def for_app(options: PullOptions, app: App, settings: Settings) -> PullOptions:
    """What a command asks for, with the settings of an app."""
    workers = app.workers if options.workers is None else options.workers
    return replace(options, origin_ms=app.start_ms, workers=workers, lease_ms=settings.schedule.lease_ms)


def pull_each(
    settings: Settings,
    store: Store,
    name: str | None,
    options: PullOptions,
    *,
    stop: Event,
    watcher: Callable[[App], PullProgress] | None = None,
) -> int:
    """Pull every chosen app, whatever becomes of the others; gives the gravest exit code."""
    codes = [EXIT_DONE]
    for app in connect.chosen(settings, name):
        with open_session(app, settings, store, stop) as session:
            codes.append(_pull_one(session, settings, store, options, stop, watcher))
        if stop.is_set():
            break
    return worst_exit_code(codes)


def _pull_one(
    session: AppSession,
    settings: Settings,
    store: Store,
    options: PullOptions,
    stop: Event,
    watcher: Callable[[App], PullProgress] | None,
) -> int:
    app = session.app
    try:
        outcome = pull(session, settings, store, options, stop=stop, watcher=watcher(app) if watcher else None)
    except ArchiverError as error:
        log.error("%s: %s%s", app.name, error, f" (try: {error.hint})" if error.hint else "")
        return error.exit_code
    tell(app, outcome)
    return outcome.exit_code


def pull(
    session: AppSession,
    settings: Settings,
    store: Store,
    options: PullOptions,
    *,
    stop: Event,
    watcher: PullProgress | None = None,
) -> Outcome:
    """One pull of one app, by its settings and what the command asks for."""
    if session.app.source == "hourly":
        host.check_temporary_folder()
    session.requests.clear()
    options = for_app(options, session.app, settings)
    session.idle.ends = not options.patient
    session.idle.progress()
    try:
        make_contact(session, store)
    except (TryAgainLater, CredentialsRefused) as error:
        return Outcome(exit_code=error.exit_code, reason=str(error), hint=error.hint)
    watched = _ProgressRelay(session.idle, watcher or NoProgress())
    return Pull(store, session.source, options, stop=stop, requests=session.requests, watcher=watched).run()


def make_contact(session: AppSession, store: Store) -> None:
    """Ask for a token before anything is kept of a source: a mistyped name must not stay, nor fix an origin.

    Raises what the provider says, for a source that is not known yet.
    """
    if not is_known(store, session.app):
        session.connection.sign_in()


def is_known(store: Store, app: App) -> bool:
    """Whether the archive has rows of a source."""
    with store.read() as tx:
        return apps.find(tx, app.name, app.source) is not None


class _ProgressRelay:
    """Passes on how a pull goes, and counts every page as progress."""

    def __init__(self, idle: IdleTimeout, watcher: PullProgress) -> None:
        self._idle, self._watcher = idle, watcher

    def begun(self, complete_until_ms: int, due_ms: int) -> None:
        self._idle.progress()
        self._watcher.begun(complete_until_ms, due_ms)

    def stored(self, tally: Tally) -> None:
        self._idle.progress()
        self._watcher.stored(tally)

    def moved(self, complete_until_ms: int) -> None:
        self._watcher.moved(complete_until_ms)

    def walking(self, phase: Phase) -> None:
        self._watcher.walking(phase)


def tell(app: App, outcome: Outcome) -> None:
    """One line of log about a pull that ended."""
    tally = outcome.tally
    fields: dict[str, object] = {
        "app": app.name,
        "source": app.source,
        "pages": outcome.pages,
        "new": tally.new,
        "known": tally.known,
        "changed": tally.changed,
        "quarantined": tally.quarantined,
    }
    if outcome.exit_code == EXIT_DONE:
        log.info("pulled all that was due", extra={"fields": fields})
    else:
        if outcome.since_ms is not None:
            fields["since"] = iso(outcome.since_ms)
        hint = f" (try: {outcome.hint})" if outcome.hint else ""
        log.error("not all that was due was pulled: %s%s", outcome.reason, hint, extra={"fields": fields})


def plan_backfill(
    settings: Settings, store: Store, name: str | None, from_ms: int, to_ms: int | None, *, stop: Event
) -> bool:
    """Remember how far back the chosen apps' archives shall go; False when all of them reach back that far already."""
    goes_further = False
    for app in connect.chosen(settings, name):
        with open_session(app, settings, store, stop) as session:
            make_contact(session, store)
        with store.write() as tx:
            goes_further |= plan.request_backfill(tx, _registered(tx, app), from_ms, to_ms)
    return goes_further


def audit_each(settings: Settings, store: Store, name: str | None, window: Window, *, stop: Event) -> int:
    """Walk a closed range of the chosen apps again; 3 if anything was missing."""
    codes = [EXIT_DONE]
    for app in connect.chosen(settings, name):
        with store.write() as tx:
            key = apps.find(tx, app.name, app.source)
            if key is None:
                raise UsageError(f"{app.name}: nothing has been archived yet", hint="archiver pull")
            seals.demand(tx)
            offset_ms = app.hour_utc_offset_ms if app.source == "hourly" else None
            pass_no = plan.plan_audit(tx, key, window, offset_ms)
        options = PullOptions(command="audit", live=False, audit=pass_no)
        with open_session(app, settings, store, stop) as session:
            outcome = pull(session, settings, store, options, stop=stop)
        tell(app, outcome)
        codes.append(EXIT_INCOMPLETE if outcome.tally.late else outcome.exit_code)
    return worst_exit_code(codes)


def registered(store: Store, app: App) -> SourceKey:
    """The key of an app's source; its rows are made if this is the first contact."""
    with store.write() as tx:
        return apps.find(tx, app.name, app.source) or _registered(tx, app)


def _registered(tx: Tx, app: App) -> SourceKey:
    seals.demand(tx)
    provider = provider_of(app)
    zone_ms, first_contact = provider.zone_ms(app), partial(provider.first_contact, app)
    facts = app.name, app.source, app.settle_ms, app.retention_ms, zone_ms, first_contact
    return register(tx, SourceFacts(*facts), app.start_ms)
