"""Is everything in place? Everything a pull needs is tried once, for real, and reported in a line with its remedy."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from threading import Event

from archiver import connect, host
from archiver.config import Settings, shortcomings
from archiver.doctor import attachments, callbacks, database, evidence
from archiver.doctor.finding import Finding, Findings, tried
from archiver.doctor.provider import app_findings
from archiver.errors import EXIT_USAGE, ArchiverError, worst_exit_code
from archiver.service import alerts, outlet
from archiver.sessions import way_out
from archiver.store.engine import Store


def examine(settings: Settings, *, stop: Event, test_alert: bool = False) -> Iterator[Finding]:
    """Try everything, a thing after those that it needs, whatever fails beside it.

    Of what needs a database that cannot be used, `not tried` says so.
    """
    yield from tried("configuration", lambda: _configuration(settings))
    yield from tried("disk", lambda: database.room(settings))
    yield from tried("database", lambda: database.files_in_place(settings))
    with ExitStack() as open_things:
        store = yield from _opened(settings, open_things)
        is_usable = store is not None and (yield from _archive(settings, store))
        if store is not None and is_usable:
            for app in settings.apps:
                yield from app_findings(app, settings, store, stop)
        else:
            yield from _untried(settings)
    if settings.attachments or any(app.source == "hourly" for app in settings.apps):
        yield from tried("temporary files", _temporary)
    if settings.attachments:
        yield from tried("attachments", lambda: attachments.findings(settings))
    if settings.evidence:
        yield from evidence.findings(settings.evidence, way_out(settings))
    if settings.callbacks:
        yield from callbacks.findings(settings.callbacks)
    if test_alert:
        yield from tried("alerts", lambda: _alert(settings))


def _opened(settings: Settings, open_things: ExitStack) -> Generator[Finding, None, Store | None]:
    """The database, for reading alone where this account may do no more; None where it cannot be opened."""
    reading = not connect.is_writable(settings)
    try:
        return open_things.enter_context(connect.opened(settings, at_head=False, reading=reading))
    except ArchiverError as error:
        yield Finding("failed", "database", str(error), error.hint, error.exit_code)
        return None


def _archive(settings: Settings, store: Store) -> Findings:
    """Gives whether a pull may write there."""
    if not (yield from tried("database", lambda: database.version_and_schema(store))):
        return False
    may_write = yield from tried("rights", lambda: database.rights(store))
    yield from tried("durability", lambda: database.durability(store))
    yield from tried("disk", lambda: database.disk(store))
    yield from tried("clock", lambda: database.clock(store))
    yield from tried("text search", lambda: database.search(store))
    yield from tried("guards", lambda: database.guards(store))
    yield from tried("decisions", lambda: database.place(settings, store))
    yield from tried("start", lambda: database.starts(settings, store))
    return may_write


def _untried(settings: Settings) -> Iterator[Finding]:
    """Tokens and requests are counted in the database, so no provider is asked without it."""
    for app in settings.apps:
        text = "not tried: requests are counted in the database, and it cannot be written"
        yield Finding("warning", f"{app.name} ({app.source})", text)


def _configuration(settings: Settings) -> Iterator[Finding]:
    for warning in settings.warnings:
        yield Finding("warning", "configuration", warning)
    if settings.evidence:
        for warning in shortcomings(settings.evidence, settings.database.sqlalchemy_url):
            yield Finding("warning", "evidence", warning)
    if settings.metrics and importlib.util.find_spec("prometheus_client") is None:
        remedy = "pip install prometheus-client"
        yield Finding("failed", "configuration", "[metrics] needs prometheus-client", remedy, EXIT_USAGE)
    if settings.alerts is None:
        yield Finding("warning", "alerts", "none are configured: nobody learns that it fails", "[alerts] in the file")
    count = len(settings.apps)
    yield Finding("ok", "configuration", f"{count} source{'' if count == 1 else 's'} of apps")


def _temporary() -> Iterator[Finding]:
    host.check_temporary_folder()
    yield Finding("ok", "temporary files", f"can be made in {tempfile.gettempdir()}")


def _alert(settings: Settings) -> Iterator[Finding]:
    outlet.post(settings, alerts.test_message(outlet.style(settings)))
    yield Finding("ok", "alerts", "the webhook took a test; look whether it arrived")


def gravest(findings: list[Finding]) -> int:
    """The exit code of all of them together."""
    return worst_exit_code(finding.code for finding in findings)
