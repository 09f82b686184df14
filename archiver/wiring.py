"""Puts the parts together; the one module that knows them all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Lock
from typing import IO

from archiver import host, logs, planning, searching, status
from archiver.config import App, Settings
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE, ArchiverError, ConfigurationError, UsageError
from archiver.http import Adapter, Client, Downloaded, Limits, SignedLink, Way, download
from archiver.http.download import Progress
from archiver.model import SECOND_MS, Source, Tally, Window
from archiver.pull import Manner, Outcome, Pull, Silent, Watcher
from archiver.registering import Reading, register
from archiver.sources import Connection, provider_of
from archiver.store import apps, migrate, rates
from archiver.store.apps import Key
from archiver.store.engine import Store, Tx, open_store

log = logging.getLogger("archiver.wiring")

_GRAVITY = (4, 2, 1, 3, 75, 0)
"""Several apps or reasons: which exit code comes first."""

_LONGEST_SILENCE_S = 55.0
"""One shot ends within a minute of its last progress."""


def gravest(codes: Sequence[int]) -> int:
    """The exit code of several apps or reasons together."""
    return min([EXIT_DONE, *codes], key=_GRAVITY.index)


@contextmanager
def opened(settings: Settings, *, at_head: bool = True) -> Iterator[Store]:
    """The archive's database; unless told otherwise only with the schema that this program works with."""
    for secret in settings.secrets():
        logs.keep_secret(secret)
    store = open_store(settings.database.sqlalchemy_url)
    try:
        if at_head:
            migrate.check(store)
        yield store
    finally:
        store.dispose()


def check_schema(store: Store) -> None:
    """Raises SchemaMismatch where `archiver migrate` is needed, and DatabaseUnavailable."""
    migrate.check(store)


class Patience:
    """Lets one shot end within a minute of its last progress, whatever the provider does; the daemon has no such end.

    Waiting for a turn of the rate budget is no silence of the provider's.
    """

    def __init__(self) -> None:
        self.ends = False
        self._since_s = 0.0

    def progress(self, waited_s: float | None = None) -> None:
        """Begin anew; or, after a wait for a turn, leave that out."""
        self._since_s = time.monotonic() if waited_s is None else self._since_s + waited_s

    def left_s(self) -> float | None:
        return max(1.0, _LONGEST_SILENCE_S - (time.monotonic() - self._since_s)) if self.ends else None


@dataclass(slots=True)
class Line:
    """The connection to one app's provider, and the count of its answers by status."""

    app: App
    connection: Connection
    requests: dict[str, int]
    patience: Patience

    @property
    def source(self) -> Source:
        return self.connection.source


@contextmanager
def line_to(app: App, settings: Settings, store: Store, stop: Event) -> Iterator[Line]:
    """Open the way to an app's provider. Its rate budget and its pinned application live in the store."""
    requests: dict[str, int] = {}
    patience = Patience()
    budget = rates.Budget(store, _rate_group(app), app.rate.count, app.rate.period_ms)
    lock = Lock()

    def heard(status: int | str) -> None:
        with lock:
            requests[str(status)] = requests.get(str(status), 0) + 1

    def take_turn(stop: Event) -> None:
        if wait_s := budget.take():
            stop.wait(wait_s)
            patience.progress(wait_s)

    def pin(application: str) -> None:
        with store.write() as tx:
            apps.pin(tx, app.name, application)

    def fetch_file(link: SignedLink, into: IO[bytes], progress: Progress) -> Downloaded:
        # Links of hourly files may be plain http, wherever the storage lies: they are signed, and carry nothing else.
        adapter = partial(Adapter, Way(way.ca_file, way.proxy))
        return download(link, into, stop=stop, progress=progress, adapter=adapter)

    def now_ms() -> int:
        with store.read() as tx:
            return tx.now_ms()

    way = way_to(app, settings)
    limits = Limits(deadline_s=settings.http.deadline_ms / SECOND_MS, give_up_s=app.give_up_ms / SECOND_MS)
    told = {"limits": limits, "take_turn": take_turn, "rest": budget.rest, "heard": heard, "way": way}
    with Client(app.base_url, stop=stop, **told) as client:  # type: ignore[arg-type]
        connection = provider_of(app).connect(
            app, client, pin=pin, download=fetch_file, clock_ms=now_ms, within_s=patience.left_s
        )
        yield Line(app, connection, requests, patience)


def way_to(app: App, settings: Settings) -> Way:
    """How an app's provider is reached from this house."""
    return Way(settings.http.ca_path, settings.http.proxy_url, app.base_url.startswith("http://"))


def way_out(settings: Settings) -> Way:
    """How those are reached whom the program tells."""
    return Way(settings.http.ca_path, settings.http.proxy_url)


def _rate_group(app: App) -> str:
    """The provider counts queries by address, and hourly files by app key."""
    host = app.base_url.partition("://")[2]
    return f"{host} {app.name} hourly" if app.source == "hourly" else host


def chosen(settings: Settings, name: str | None) -> list[App]:
    """The configured apps, or those of one name ("org#app", or its second half)."""
    found = [app for app in settings.apps if name in (None, app.name, app.app)]
    if not found:
        known = ", ".join(sorted({app.name for app in settings.apps})) or "none"
        raise ConfigurationError(f"no app named {name!r} is configured; there is: {known}")
    return found


def manner(app: App, settings: Settings, **ways: object) -> Manner:
    """How to pull an app, by its settings and the command's ways."""
    return Manner(
        origin_ms=app.start_ms,
        workers=app.workers,
        lease_ms=settings.schedule.lease_ms,
        **{"ahead": True, **ways},  # type: ignore[arg-type]
    )


def pull_each(
    settings: Settings,
    store: Store,
    name: str | None,
    *,
    stop: Event,
    watcher: Callable[[App], Watcher] | None = None,
    **ways: object,
) -> int:
    """Pull every chosen app, whatever becomes of the others; gives the gravest exit code."""
    codes = [EXIT_DONE]
    for app in chosen(settings, name):
        with line_to(app, settings, store, stop) as line:
            codes.append(_pull_one(line, settings, store, stop, watcher, ways))
        if stop.is_set():
            break
    return gravest(codes)


def moved_starts(settings: Settings, store: Store, name: str | None = None) -> list[status.MovedStart]:
    """The chosen apps whose `start` was moved back after their first pull."""
    configured = [status.Configured(app.name, app.source, app.start_ms) for app in chosen(settings, name)]
    return status.moved_starts(store, configured)


def tell_moved_starts(settings: Settings, store: Store, name: str | None = None) -> None:
    """A line of log for each of them."""
    for each in moved_starts(settings, store, name):
        log.warning("%s (%s): %s (try: %s)", *each)


def _pull_one(
    line: Line,
    settings: Settings,
    store: Store,
    stop: Event,
    watcher: Callable[[App], Watcher] | None,
    ways: dict[str, object],
) -> int:
    app = line.app
    try:
        outcome = pull(line, settings, store, stop=stop, watcher=watcher(app) if watcher else None, **ways)
    except ArchiverError as error:
        log.error("%s: %s%s", app.name, error, f" (try: {error.hint})" if error.hint else "")
        return error.exit_code
    tell(app, outcome)
    return outcome.exit_code


def pull(
    line: Line, settings: Settings, store: Store, *, stop: Event, watcher: Watcher | None = None, **ways: object
) -> Outcome:
    """One pull of one app."""
    if line.app.source == "hourly":
        host.check_temporary_folder()
    line.requests.clear()
    how = manner(line.app, settings, **ways)
    line.patience.ends = not how.patient
    line.patience.progress()
    watched = _Impatient(line.patience, watcher or Silent())
    return Pull(store, line.source, how, stop=stop, requests=line.requests, watcher=watched).run()


class _Impatient:
    """Passes on how a pull goes, and takes each page for progress."""

    def __init__(self, patience: Patience, watcher: Watcher) -> None:
        self._patience, self._watcher = patience, watcher

    def begun(self, complete_until_ms: int, due_ms: int) -> None:
        self._patience.progress()
        self._watcher.begun(complete_until_ms, due_ms)

    def stored(self, tally: Tally) -> None:
        self._patience.progress()
        self._watcher.stored(tally)

    def moved(self, complete_until_ms: int) -> None:
        self._watcher.moved(complete_until_ms)


def tell(app: App, outcome: Outcome) -> None:
    """One line of log about a pull that ended."""
    tally = outcome.tally
    fields = {
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
        hint = f" (try: {outcome.hint})" if outcome.hint else ""
        log.error("not all that was due was pulled: %s%s", outcome.reason, hint, extra={"fields": fields})


def index(store: Store, enough: Callable[[], bool] = lambda: False) -> int:
    """Bring the search index up to what is archived; gives how many texts were added."""
    return searching.index(store, enough)


def plan_backfill(settings: Settings, store: Store, name: str | None, from_ms: int, to_ms: int | None) -> bool:
    """Remember how far back the chosen apps' archives shall go; False when all of them reach back that far already."""
    wanted = False
    for app in chosen(settings, name):
        with store.write() as tx:
            wanted |= planning.want_backfill(tx, _registered(tx, app), from_ms, to_ms)
    return wanted


def audit_each(settings: Settings, store: Store, name: str | None, window: Window, *, stop: Event) -> int:
    """Walk a closed range of the chosen apps again; 3 if anything was missing."""
    codes = [EXIT_DONE]
    for app in chosen(settings, name):
        with store.write() as tx:
            key = apps.find(tx, app.name, app.source)
            if key is None:
                raise UsageError(f"{app.name}: nothing has been archived yet", hint="archiver pull")
            offset_ms = app.hour_utc_offset_ms if app.source == "hourly" else None
            number = planning.plan_audit(tx, key, window, offset_ms)
        with line_to(app, settings, store, stop) as line:
            outcome = pull(line, settings, store, stop=stop, command="audit", live=False, audit=number)
        tell(app, outcome)
        codes.append(EXIT_INCOMPLETE if outcome.tally.late else outcome.exit_code)
    return gravest(codes)


def registered(store: Store, app: App) -> Key:
    """The key of an app's source; its rows are made if this is the first contact."""
    with store.write() as tx:
        return apps.find(tx, app.name, app.source) or _registered(tx, app)


def _registered(tx: Tx, app: App) -> Key:
    provider = provider_of(app)
    zone_ms, first_contact = provider.zone_ms(app), partial(provider.first_contact, app)
    facts = app.name, app.source, app.settle_ms, app.retention_ms, zone_ms, first_contact
    return register(tx, Reading(*facts), app.start_ms)
