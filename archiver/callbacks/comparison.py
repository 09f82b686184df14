"""The hourly comparison of callbacks with the record: every app with the source of its first entry."""

from __future__ import annotations

import logging
from threading import Event

from archiver.config import Settings
from archiver.store import apps, reconciliations
from archiver.store.engine import Store

log = logging.getLogger("archiver.callbacks")

_HOURS_AT_ONCE = 200


def compare(settings: Settings, store: Store, stop: Event | None = None) -> int:
    """Compare the hours that are due, a transaction each; gives how many that were. Raises DatabaseUnavailable."""
    compared = 0
    for received in settings.callbacks.apps if settings.callbacks else ():
        source = next(app.source for app in settings.apps if app.name == received.app)
        with store.read() as tx:
            key = apps.find(tx, received.app, source)
        while key is not None and compared < _HOURS_AT_ONCE and not (stop is not None and stop.is_set()):
            with store.patient.write() as tx:
                result = reconciliations.compare_next(tx, key)
            if result is None:
                break
            compared += 1
            with store.patient.write() as tx:
                reconciliations.delete_late(tx, key)
            if result.outcome == "compared" and (result.only_callback or result.only_file):
                fields = {"app": received.app, **result._asdict()}
                log.info("an hour of callbacks was compared with the record", extra={"fields": fields})
    return compared
