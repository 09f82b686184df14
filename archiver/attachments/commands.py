"""Puts the fetching of attachments together, as wiring does for pulls: an app's line, the store, the rate, blobs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import Event

from archiver import host
from archiver.attachments.fetch import Fetching, FetchOptions, FetchOutcome
from archiver.blobs import Blobs
from archiver.config import Attachments, Settings
from archiver.errors import EXIT_DONE, EXIT_LATER, ConfigurationError, CredentialsRefused, UsageError, worst_exit_code
from archiver.http import Adapter
from archiver.sessions import AppSession, open_session, way_to
from archiver.sources import provider_of
from archiver.store import apps, attachments, rate_limit, seals
from archiver.store.engine import Store

log = logging.getLogger("archiver.attachments.commands")

_AT_ONCE = 1_000
"""Files that one transaction looks at: other writers wait for it."""


def configured(settings: Settings) -> Attachments:
    """The settings of attachments. Raises ConfigurationError where there are none."""
    if settings.attachments is None:
        raise ConfigurationError(
            "attachments are recorded, but not fetched: no [attachments] store is configured",
            hint='in the configuration: [attachments] and store = "file:///var/lib/archiver/attachments"',
        )
    return settings.attachments


def open_blobs(settings: Settings) -> Blobs:
    """The store of attachments."""
    section = configured(settings)
    return Blobs(section.store, section.endpoint)


def fetch_each(
    settings: Settings, store: Store, blobs: Blobs, *, stop: Event, limit: int | None = None, retry: bool = False
) -> int:
    """Fetch what is due of every app, once; 0 when nothing is pending or failed any more, else 75."""
    codes = [EXIT_DONE]
    seen = set()
    for app in settings.apps:
        if app.name in seen:
            continue  # once an app, however many sources it is read by
        seen.add(app.name)
        with open_session(app, settings, store, stop) as session:
            if retry:
                retry_failed(session, settings, store)
            outcome = fetch(session, settings, store, blobs, stop=stop, limit=limit)
        if outcome is None:
            continue
        tell(session, outcome)
        if limit is not None:
            limit -= outcome.tried
        if isinstance(outcome.error, CredentialsRefused | UsageError):
            codes.append(outcome.error.exit_code)
        else:
            codes.append(EXIT_LATER if outcome.left or outcome.error else EXIT_DONE)
    return worst_exit_code(codes)


def retry_failed(session: AppSession, settings: Settings, store: Store) -> None:
    """Make due what failed or was refused, and what is foreign and by now the provider's, or allowed."""
    files = configured(settings)
    provider = provider_of(session.app)
    is_ours = partial(provider.is_ours, session.app, files)
    reasons = [provider.foreign_reason(host) for host in files.foreign_hosts]
    with store.write() as tx:
        app_id = apps.find_app(tx, session.app.name)
        if app_id is not None:
            attachments.retry_failed(tx, app_id, reasons)
    after, more = None, app_id is not None
    while more:
        with store.write() as tx:
            after = attachments.retry_foreign(tx, app_id or 0, is_ours, after, _AT_ONCE)
        more = after is not None


def fetch(
    session: AppSession,
    settings: Settings,
    store: Store,
    blobs: Blobs,
    *,
    stop: Event,
    limit: int | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> FetchOutcome | None:
    """Fetch what is due of one app; None where nothing of it was ever archived."""
    section = configured(settings)
    host.check_temporary_folder()
    with store.read() as tx:
        app_id = apps.find_app(tx, session.app.name)
    if app_id is None:
        return None
    with store.write(durable=False) as tx:
        seals.demand(tx)
    group = f"{session.app.base_url.partition('://')[2]} {session.app.name} chatfiles"

    budget = rate_limit.RateLimiter(store, group, section.rate.count, section.rate.period_ms)

    def take_turn(stop: Event) -> None:
        if wait_s := budget.take():
            stop.wait(wait_s)

    adapter = partial(Adapter, way_to(session.app, settings))
    files = session.connection.files(section, stop, rest=budget.rest, adapter=adapter)
    options = FetchOptions(workers=section.workers, lease_ms=settings.schedule.lease_ms, limit=limit, enough=enough)
    return Fetching(store, app_id, blobs, files.fetch, options, stop=stop, take_turn=take_turn).run()


def tell(session: AppSession, outcome: FetchOutcome) -> None:
    """One line of log about a run, and one that alarms before something is lost."""
    fields = {"app": session.app.name, **{name: value for name, value in outcome._asdict().items() if name != "error"}}
    if outcome.error is not None:
        hint = f" (try: {outcome.error.hint})" if outcome.error.hint else ""
        log.error("attachments could not be fetched: %s%s", outcome.error, hint, extra={"fields": fields})
    elif outcome.tried:
        log.info("attachments were fetched", extra={"fields": fields})
    if outcome.foreign:
        problem = "files lie at hosts that are not configured, and are not fetched: archiver status names the hosts"
        log.warning(problem, extra={"fields": {"app": session.app.name, "foreign": outcome.foreign}})
    if outcome.endangered:
        log.error("attachments will be lost soon: the provider drops them within two days", extra={"fields": fields})
