"""The way out for alerts: to the webhook, signed; and those that the database cannot remember, from every process."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from archiver.config import Settings
from archiver.errors import ArchiverError, ConfigurationError, TryAgainLater
from archiver.http import call, signed
from archiver.language import Language, language, of_environment
from archiver.model import SECOND_MS
from archiver.service import alerts
from archiver.service.reminders import Reminders
from archiver.sessions import way_out
from archiver.store.alerts import News

log = logging.getLogger("archiver.service.outlet")


def with_hint(error: ArchiverError) -> str:
    return f"{error} (try: {error.hint})" if error.hint else str(error)


def language_of(settings: Settings) -> Language:
    """The language of those who read alerts."""
    return language(settings.display.language or of_environment(os.environ))


def style(settings: Settings) -> alerts.Style:
    """How alerts are written. Raises ConfigurationError where there is no webhook for them."""
    configured = settings.alerts
    if configured is None or configured.webhook is None:
        raise ConfigurationError("no webhook is configured", hint="[alerts] webhook_file in the configuration")
    return alerts.Style(configured.form, language_of(settings), configured.runbook_url)


def post(settings: Settings, payload: dict[str, Any]) -> None:
    """Send a message to the webhook, signed where its robot demands that. Raises ProviderUnavailable."""
    configured = settings.alerts
    if configured is None or configured.webhook is None:
        return
    url = configured.webhook.get_secret_value()
    if configured.sign_secret is not None:
        secret = configured.sign_secret.get_secret_value()
        url, payload = signed(url, payload, configured.form, secret, time.time())
    call(url, payload, way_out(settings))


def send_unkept(settings: Settings, name: str, text: str | None) -> bool:
    """About the database itself: what it cannot remember for us. `text`: None where it has passed. False: not sent."""
    configured = settings.alerts
    if configured is None or configured.webhook is None:
        return False
    key = (name, "", "")
    finding = {} if text is None else {key: alerts.Condition(*key, "critical", text)}
    news = [News(key, ended=text is None, since=None)]
    try:
        post(settings, alerts.message(news, finding, style(settings)))
    except ArchiverError as error:
        log.error("an alert could not be sent: %s", error)
        return False
    return True


def tell_unopened(settings: Settings, error: ArchiverError) -> None:
    """The alert of those who could not work with the database: from many processes as often as [alerts] repeat says."""
    waits = isinstance(error, TryAgainLater)
    remind(settings, "ArchiverDatabaseDown" if waits else "ArchiverMisconfigured", with_hint(error))


def remind(settings: Settings, name: str, text: str) -> None:
    if settings.alerts is None:
        return
    kept, now = Reminders.of(settings, os.environ), time.time()
    if kept.is_due(name, settings.alerts.repeat_ms / SECOND_MS, now) and send_unkept(settings, name, text):
        kept.note(name, now)


def end_reminders(settings: Settings) -> None:
    """The database works: say so where somebody was alarmed by a process that is gone."""
    if settings.alerts is not None:
        for name in Reminders.of(settings, os.environ).end():
            send_unkept(settings, name, None)
