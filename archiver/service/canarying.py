"""Puts the canary together, as fetching does for attachments: an app's line to send by, the store to find it in."""

from __future__ import annotations

import logging
from functools import partial
from threading import Event

from archiver import connect
from archiver.config import App, Canary, Settings
from archiver.connect import AppSession
from archiver.errors import ArchiverError, ConfigurationError, CredentialsRefused, TryAgainLater
from archiver.model import HOUR_MS, MINUTE_MS, SECOND_MS
from archiver.pull import commands
from archiver.pull.run import PullOptions
from archiver.service import canary
from archiver.store import apps, canaries
from archiver.store.apps import SourceKey
from archiver.store.engine import Store

log = logging.getLogger("archiver.service.canarying")

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
) -> canaries.Canary | None:
    """Send one by the app's line."""
    target = section.user or section.group or ""
    call = session.connection.send_user if section.user else session.connection.send_group
    return canary.send(store, key, target, partial(call, target), spacing_ms=spacing_ms)


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
            log.exception("a canary broke off")

    def _look_and_send(self) -> None:
        with self._store.read() as tx:
            key = apps.find(tx, self._session.app.name, self._session.app.source)
        if key is None:
            return  # before the first pull there is nothing to send it into
        canary.look(self._store, key, self._within_ms)
        send(self._store, key, self._canary, self._session, spacing_ms=self._canary.every_ms or 0)


def send_and_wait(settings: Settings, store: Store, *, stop: Event) -> canaries.Canary:
    """Send one, and pull until it is archived. Raises CredentialsRefused, and TryAgainLater when it did not come."""
    section, app = configured(settings)
    with connect.session(app, settings, store, stop) as session:
        key = commands.registered(store, app)
        sent = send(store, key, section, session)
        assert sent is not None  # noqa: S101 - without spacing one is always sent
        while True:
            outcome = commands.pull(session, settings, store, PullOptions(command="canary"), stop=stop)
            for settled in canary.look(store, key, within_ms(section, app)):
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
            if stop.wait(_BETWEEN_PULLS_S):
                raise TryAgainLater("stopped before the canary came")
