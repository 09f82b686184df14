"""What a pull needs of each app's provider."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

from archiver import http
from archiver.config import App, Settings
from archiver.doctor.finding import Finding, Findings, tried
from archiver.errors import EXIT_FAILED, EXIT_USAGE
from archiver.model import HOUR_MS, SECOND_MS
from archiver.sessions import AppSession, open_session
from archiver.store import apps, naming
from archiver.store.engine import Store
from archiver.store.schema import iso
from archiver.timeline import TOLERATED_SKEW_MS, offset_text


def app_findings(app: App, settings: Settings, store: Store, stop: Event) -> Findings:
    """One source, from its credentials to what a pull asks first; a host that refuses is asked for a second at most."""
    name = f"{app.name} ({app.source})"
    with open_session(app, settings, store, stop) as session, http.haste():
        is_well = yield from tried(f"{name}: credentials", lambda: _credentials(session, name))
        if is_well:
            is_well = yield from tried(f"{name}: provider", lambda: _provider(session, store, name))
    if app.source == "hourly":
        is_well = (yield from tried(f"{name}: hour zone", lambda: _zone(app, store, name))) and is_well
    return is_well


def _credentials(session: AppSession, name: str) -> Iterator[Finding]:
    session.connection.sign_in()
    yield Finding("ok", f"{name}: credentials", f"{session.app.base_url.partition('://')[2]} gave a token")


def _provider(session: AppSession, store: Store, name: str) -> Iterator[Finding]:
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
        files = naming.files(tx, key, offset_ms) if key else None
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
