"""Empties hashes without salt of pages and files, some at a time: in `run` every hour, some of them after a pull."""

from __future__ import annotations

import logging
from threading import Event
from typing import NamedTuple

from archiver.config import Settings
from archiver.errors import ArchiverError
from archiver.store import ledger, unsalted
from archiver.store.engine import Store

log = logging.getLogger("archiver.lifecycle")
BATCHES = 20
"""So many a pull looks at; the next one goes on behind them."""


class Emptied(NamedTuple):
    """How many hashes of pages and of files were emptied."""

    pages: int = 0
    files: int = 0


def empty(store: Store, *, sealed: bool, stop: Event, most: int | None = None) -> Emptied:
    """Empty what is over: all of it, or what `most` batches come to. `sealed`: pages keep theirs until they are sealed.

    Nothing is written where nothing is over, and nobody who pulls is waited for.
    """
    with store.read() as tx:
        began = unsalted.stands_at(tx)
        sealed = sealed or ledger.head(tx) is not None
    if began is None:
        return Emptied()
    after: int | None = began
    page_count, left = 0, most
    while after is not None and left != 0 and not stop.is_set():
        with store.read() as tx:
            looked = unsalted.hashed_pages(tx, after, sealed=sealed)
        if looked.over:
            with store.write(lock="shared") as tx:
                page_count += unsalted.empty_pages(tx, looked.over)
        after, left = looked.last, None if left is None else left - 1
    file_count = _empty_files(store, stop) if after is None else 0
    if (after or 0) != began:
        with store.write() as tx:
            unsalted.go_on_behind(tx, after or 0)
    return Emptied(page_count, file_count)


def _empty_files(store: Store, stop: Event) -> int:
    """Few have one: those of the hours that are still to be audited."""
    count = 0
    while not stop.is_set():
        with store.write(lock="shared") as tx:
            emptied = unsalted.empty_files(tx)
        count += emptied
        if emptied < unsalted.AT_ONCE:
            break
    return count


class HashJob:
    """What `run` does with hashes once an hour; an error is a line of the log, and the next hour tries again."""

    def __init__(self, settings: Settings, store: Store, stop: Event, most: int | None = None) -> None:
        self._settings, self._store, self._stop, self._most = settings, store, stop, most

    def __call__(self) -> None:
        section = self._settings.lifecycle
        if section is None or not section.deletion:
            return
        try:
            sealed = self._settings.evidence is not None
            emptied = empty(self._store, sealed=sealed, stop=self._stop, most=self._most)
        except ArchiverError as error:
            log.error("hashes without salt were not emptied: %s", error)
        except Exception:  # the edge of a job that must not end who calls it
            log.exception("hashes without salt were not emptied")
        else:
            if any(emptied):
                log.info("hashes without salt were emptied", extra={"fields": emptied._asdict()})
