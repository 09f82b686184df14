"""What `run` does with callbacks again and again, and `pull` once: read them in, and compare them with the record."""

from __future__ import annotations

import logging
from threading import Event

from archiver.callbacks.comparison import compare
from archiver.callbacks.ingest import ingest
from archiver.config import Settings
from archiver.errors import ArchiverError
from archiver.store.engine import Store

log = logging.getLogger("archiver.callbacks")


class CallbackJob:
    """An error is a line of the log: no pull ends with it, and what waits in the spool stays there."""

    def __init__(self, settings: Settings, store: Store, stop: Event) -> None:
        self._settings, self._store, self._stop = settings, store, stop

    def __call__(self) -> None:
        try:
            ingest(self._settings, self._store, self._stop)
            compare(self._settings, self._store, self._stop)
        except ArchiverError as error:
            hint = f" (try: {error.hint})" if error.hint else ""
            log.error("callbacks wait: %s%s", error, hint)
        except Exception:  # the edge of the loop: the next round may do better
            log.exception("reading callbacks in ended unexpectedly")
