"""A marked message through the whole chain: sent as users send, read as all is read, and looked up in the archive.

What it proves no other figure does: that the provider still gives us what is sent today.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from functools import partial
from threading import Event

from archiver import connect
from archiver.config import App, Canary, Settings
from archiver.errors import ArchiverError, ConfigurationError, CredentialsRefused, ProviderUnavailable, TryAgainLater
from archiver.model import HOUR_MS, MINUTE_MS, SECOND_MS
from archiver.pull import commands
from archiver.pull.run import PullOptions
from archiver.sessions import AppSession, open_session
from archiver.store import apps, canaries
from archiver.store.apps import SourceKey
from archiver.store.engine import Store

log = logging.getLogger(__name__)

_GRACE_MS, _BETWEEN_PULLS_S = 10 * MINUTE_MS, 5.0


def configured(settings: Settings) -> tuple[Canary, App]:
    """The settings of the canary, and the app it is sent by. Raises ConfigurationError where there are none."""
    section = settings.canary
    if section is None:
        hint = 'in the configuration: [canary] and user = "..."'
        raise ConfigurationError("no canary is configured", hint=hint)
    return section, connect.chosen(settings, section.app)[0]


def within_ms(section: Canary, app: App) -> int:
    """How long one may take: what was configured, or ten minutes more than the app's settings explain."""
    if section.within_ms is not None:
        return section.within_ms
    if app.source == "cursor":
        return app.settle_ms + _GRACE_MS
    return (app.early_ms or app.settle_ms) + 2 * HOUR_MS + _GRACE_MS


def send(
    store: Store, key: SourceKey, section: Canary, session: AppSession, *, spacing_ms: int = 0
) -> canaries.SentCanary | None:
    """Send one by the app's line."""
    target = section.user or section.group or ""
    call = session.connection.send_user if section.user else session.connection.send_group
    return _post(store, key, target, partial(call, target), spacing_ms=spacing_ms)


def _post(
    store: Store, key: SourceKey, target: str, post: Callable[[str], object], *, spacing_ms: int
) -> canaries.SentCanary | None:
    """Send one, unless one was sent within `spacing_ms`; raises what `post` raises, except that nobody knows.

    After a broken connection it may have gone out; then it is waited for like any other.
    """
    with store.write() as tx:
        canary = canaries.begin(tx, key, target, f"archiver canary {secrets.token_hex(8)}", spacing_ms=spacing_ms)
    if canary is None:
        return None
    try:
        post(canary.marker)
    except ProviderUnavailable as error:
        log.warning("whether the canary was sent is unknown: %s", error)
    except Exception as error:
        with store.write() as tx:
            canaries.end(tx, canary.id, "unsent", type(error).__name__)
        raise
    return canary


def _look(store: Store, key: SourceKey, within_ms: int) -> list[canaries.SentCanary]:
    """Which of those under way have come, or are lost; one line of log per canary."""
    with store.write() as tx:
        settled = canaries.look(tx, key, within_ms)
    for canary in settled:
        if canary.archived_ms is None:
            log.error("the canary was lost: it was not archived in time", extra={"fields": {"canary": canary.id}})
        else:
            fields = {"canary": canary.id, "delay_seconds": (canary.archived_ms - canary.sent_ms) / 1000}
            log.info("the canary arrived", extra={"fields": fields})
    return settled


class CanaryJob:
    """The canaries of the daemon: sends one when it is time, and looks for those under way. The pulls bring them."""

    def __init__(self, settings: Settings, store: Store, sessions: list[AppSession], stop: Event) -> None:
        self._canary, app = configured(settings)
        self._within_ms = within_ms(self._canary, app)
        self._session = next(session for session in sessions if session.app == app)
        self._store, self._stop = store, stop

    def __call__(self) -> None:
        if self._stop.is_set():
            return
        try:
            self._look_and_send()
        except ArchiverError as error:
            log.error("no canary was sent: %s", error)
        except Exception:  # the edge of the loop, as for pulls
            log.exception("a canary ended unexpectedly")

    def _look_and_send(self) -> None:
        with self._store.read() as tx:
            key = apps.find(tx, self._session.app.name, self._session.app.source)
        if key is None:
            return  # before the first pull there is nothing to send it into
        _look(self._store, key, self._within_ms)
        send(self._store, key, self._canary, self._session, spacing_ms=self._canary.every_ms or 0)


def send_and_wait(settings: Settings, store: Store, *, stop: Event) -> canaries.SentCanary:
    """Send one, and pull until it is archived. Raises CredentialsRefused, and TryAgainLater when it did not come."""
    section, app = configured(settings)
    with open_session(app, settings, store, stop) as session:
        commands.make_contact(session, store)
        key = commands.registered(store, app)
        sent = send(store, key, section, session)
        assert sent is not None  # noqa: S101 - without spacing one is always sent
        while True:
            outcome = commands.pull(session, settings, store, PullOptions(command="canary"), stop=stop)
            for settled in _look(store, key, within_ms(section, app)):
                if settled.id == sent.id and settled.archived_ms is None:
                    raise TryAgainLater(
                        f"the canary was not archived within {within_ms(section, app) // SECOND_MS} s"
                        f"{': ' + outcome.reason if outcome.reason else ''}",
                        hint="archiver status",
                    )
                if settled.id == sent.id:
                    return settled
            if outcome.exit_code == CredentialsRefused.exit_code:
                raise CredentialsRefused(outcome.reason, hint=outcome.hint)
            if stop.wait(min(_BETWEEN_PULLS_S, app.settle_ms / SECOND_MS)):
                raise TryAgainLater("stopped before the canary arrived")
