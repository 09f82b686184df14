"""Is everything in place? Everything a pull needs is tried once, for real, and reported in a line with its remedy."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Literal, NamedTuple

from archiver import connect, host, status
from archiver.blobs import Blobs
from archiver.config import App, Settings, shortcomings
from archiver.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_LATER,
    EXIT_USAGE,
    ArchiverError,
    ConfigurationError,
    worst_exit_code,
)
from archiver.http import call
from archiver.model import HOUR_MS, SECOND_MS
from archiver.service import alerts
from archiver.store import apps, hours
from archiver.store.admin import health
from archiver.store.engine import Store
from archiver.store.schema import iso
from archiver.timeline import TOLERATED_SKEW_MS, offset_text

_CLOCK_MS = 5_000


class Finding(NamedTuple):
    """One thing that was tried. `code`: how a command would end for it."""

    state: Literal["ok", "warning", "failed"]
    what: str
    text: str
    remedy: str | None = None
    code: int = EXIT_DONE


Check = Callable[[], Iterator[Finding]]


def examine(settings: Settings, *, stop: Event, test_alert: bool = False) -> Iterator[Finding]:
    """Try everything, a thing after those that it needs; what cannot be tried then is left out."""
    yield from _tried("configuration", lambda: _configuration(settings))
    with ExitStack() as open_things:
        try:
            store = open_things.enter_context(connect.opened(settings, at_head=False))
        except ArchiverError as error:
            yield Finding("failed", "database", str(error), error.hint, error.exit_code)
            return
        findings = list(_tried("database", lambda: _database(store)))
        yield from findings
        if all(finding.state != "failed" for finding in findings):
            yield from _tried("rights", lambda: _rights(store))
            yield from _tried("durability", lambda: _durability(store))
            yield from _tried("disk", lambda: _disk(store))
            yield from _open_to_all("database", health.files(store), "0600")
            yield from _tried("clock", lambda: _clock(store))
            yield from _tried("text search", lambda: _search(store))
            yield from _tried("start", lambda: _starts(settings, store))
            for app in settings.apps:
                yield from _app(app, settings, store, stop)
    if settings.attachments or any(app.source == "hourly" for app in settings.apps):
        yield from _tried("temporary files", _temporary)
    if settings.attachments:
        yield from _tried("attachments", lambda: _attachments(settings))
    if test_alert:
        yield from _tried("alerts", lambda: _alert(settings))


def _tried(what: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except ArchiverError as error:
        yield Finding("failed", what, str(error), error.hint, error.exit_code)


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


def _database(store: Store) -> Iterator[Finding]:
    with store.read() as tx:
        version = health.version(tx)
    yield Finding("ok", "database", version)
    connect.check_schema(store)
    yield Finding("ok", "schema", "at the revision that this program works with")


def _rights(store: Store) -> Iterator[Finding]:
    missing = health.missing_rights(store)
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        remedy = "archiver migrate --roles, then GRANT archive_writer TO this login"
        yield Finding("failed", "rights", f"this login may not: {named}", remedy, EXIT_USAGE)
    else:
        yield Finding("ok", "rights", "this login may do what a pull does")
    with store.read() as tx:
        if (risk := health.read_only(tx)) is not None:
            yield Finding("failed", "rights", *risk, EXIT_LATER)
    if problem := health.journal(store):
        yield Finding("failed", "rights", problem, "put the file on a local disk", EXIT_FAILED)


def _durability(store: Store) -> Iterator[Finding]:
    with store.read() as tx:
        risks = health.risks(tx)
    for risk in risks:
        yield Finding("warning", "durability", *risk)
    if not risks:
        yield Finding("ok", "durability", "the database keeps what it has committed, as far as its settings say")


def _open_to_all(what: str, paths: Sequence[Path], mode: str) -> Iterator[Finding]:
    """What was made before the program saw to it, or by another one, under a umask that lets everybody read."""
    open_ones = [str(path) for path in paths if host.is_open_to_all(path)]
    if open_ones:
        remedy = f"chmod {mode} {' '.join(map(shlex.quote, open_ones))}"
        yield Finding("warning", what, f"everybody on this machine may read {', '.join(open_ones)}", remedy)


def _disk(store: Store) -> Iterator[Finding]:
    store.check_disk()
    disk = store.disk()
    size, free = disk["database_bytes"] or 0, disk["disk_free_bytes"]
    text = f"the database has {size / 2**20:,.0f} MiB"
    yield Finding("ok", "disk", text if free is None else f"{text}, {free / 2**30:,.1f} GiB are free beside it")


def _clock(store: Store) -> Iterator[Finding]:
    with store.read() as tx:
        skew_ms = int(time.time() * SECOND_MS) - tx.now_ms()
    text = f"this machine is {abs(skew_ms) / SECOND_MS:.1f} s {'ahead of' if skew_ms > 0 else 'behind'} the database"
    if abs(skew_ms) > _CLOCK_MS:
        yield Finding("warning", "clock", text, "let NTP set both; only the database's clock counts")
    else:
        yield Finding("ok", "clock", text)


def _search(store: Store) -> Iterator[Finding]:
    with store.read() as tx:
        problem = health.search_problem(tx)
    if problem:
        yield Finding("warning", "text search", problem, "create the database with --encoding=UTF8, or use PostgreSQL")
    else:
        yield Finding("ok", "text search", "the database has what it needs")


def _starts(settings: Settings, store: Store) -> Iterator[Finding]:
    for start in status.moved_starts(store, status.configured(settings.apps)):
        yield Finding("warning", f"{start.app} ({start.source}): start", start.text, start.remedy)


def _app(app: App, settings: Settings, store: Store, stop: Event) -> Iterator[Finding]:
    name = f"{app.name} ({app.source})"
    with connect.session(app, settings, store, stop) as session:
        findings = list(_tried(f"{name}: credentials", lambda: _credentials(session, name)))
        yield from findings
        if all(finding.state == "ok" for finding in findings):
            yield from _tried(f"{name}: provider", lambda: _provider(session, store, name))
    if app.source == "hourly":
        yield from _tried(f"{name}: hour zone", lambda: _zone(app, store, name))


def _credentials(session: connect.AppSession, name: str) -> Iterator[Finding]:
    session.connection.sign_in()
    yield Finding("ok", f"{name}: credentials", f"{session.app.base_url.partition('://')[2]} gave a token")


def _provider(session: connect.AppSession, store: Store, name: str) -> Iterator[Finding]:
    began = time.monotonic()
    server_ms = session.source.fetch_now()
    took_s = time.monotonic() - began
    with store.read() as tx:
        skew_ms = server_ms - tx.now_ms()
    yield Finding("ok", f"{name}: provider", f"answers what a pull asks first, after {took_s:.1f} s")
    text = f"the server is {abs(skew_ms) / SECOND_MS:.1f} s {'ahead of' if skew_ms > 0 else 'behind'} the database"
    if abs(skew_ms) > TOLERATED_SKEW_MS:
        remedy = "look at NTP on the database's machine"
        yield Finding("failed", f"{name}: clock", text, remedy, EXIT_FAILED)
    else:
        yield Finding("ok", f"{name}: clock", text)


def _zone(app: App, store: Store, name: str) -> Iterator[Finding]:
    offset_ms = app.hour_utc_offset_ms
    with store.read() as tx:
        key = apps.find(tx, app.name, app.source)
        files = hours.files(tx, key, offset_ms) if key else None
        proved = apps.zone_problem(tx, key) if key and apps.hour_offset(tx, key) == offset_ms else None
    if proved is not None:
        yield Finding("failed", f"{name}: hour zone", proved, "set hour_utc_offset as the console shows it", EXIT_USAGE)
    elif files is None or (files.agreed_ms is None and files.against_ms is None):
        yield Finding(
            "ok", f"{name}: hour zone", "no file with messages has been read yet; the first ones will show it"
        )
    elif files.zone.shift_ms is not None or files.zone.doubtful:
        shift_ms = files.zone.shift_ms
        by = "" if shift_ms is None else f", by {shift_ms / HOUR_MS:+g} h"
        remedy = "set hour_utc_offset as the console shows it"
        if shift_ms is not None:
            remedy = f'hour_utc_offset = "{offset_text(offset_ms - shift_ms)}"'
        text = f"the files since {iso(files.against_ms or 0)} hold messages of other hours{by}"
        yield Finding("failed", f"{name}: hour zone", text, remedy, EXIT_USAGE)
    else:
        newest = iso(files.agreed_ms) if files.agreed_ms is not None else None
        text = f"the file of {newest} holds the hour it is named for" if newest else "nothing speaks against it"
        yield Finding("ok", f"{name}: hour zone", text)


def _temporary() -> Iterator[Finding]:
    host.check_temporary_folder()
    yield Finding("ok", "temporary files", f"can be made in {tempfile.gettempdir()}")


def _attachments(settings: Settings) -> Iterator[Finding]:
    """An empty content is stored and read back: it is a content like any other, and stays."""
    section = settings.attachments
    if section is None:
        return
    blobs = Blobs(section.store, section.endpoint)
    yield from _open_to_all("attachments", [blobs.folder] if blobs.folder else [], "0700")
    digest = hashlib.sha256(b"").hexdigest()
    blobs.save(io.BytesIO(), digest, 0)
    if blobs.digest(digest) != (digest, 0):
        yield Finding("failed", "attachments", "the store does not give back what was stored", None, EXIT_FAILED)
    else:
        yield Finding("ok", "attachments", "the store takes a content and gives it back")


def _alert(settings: Settings) -> Iterator[Finding]:
    section = settings.alerts
    if section is None or section.webhook is None:
        raise ConfigurationError("no webhook is configured", hint="[alerts] webhook_file in the configuration")
    call(section.webhook.get_secret_value(), alerts.test_message(section.form), connect.way_out(settings))
    yield Finding("ok", "alerts", "the webhook took a test; look whether it arrived")


def gravest(findings: list[Finding]) -> int:
    """The exit code of all of them together."""
    return worst_exit_code(finding.code for finding in findings)
