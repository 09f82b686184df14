"""The daily sweep of a store of attachments: contents that no row names are noted, and removed a day later.

Only in a store that carries this archive's mark: in another archive's, all contents would look like that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from threading import Event
from typing import NamedTuple

from archiver.blobs import Blobs
from archiver.config import Settings
from archiver.errors import ArchiverError
from archiver.store import installation, removing, wipes
from archiver.store.engine import Store

log = logging.getLogger("archiver.lifecycle")
_AT_ONCE = 500


class Swept(NamedTuple):
    """How many contents were noted now, and how many were removed."""

    noted: int
    removed: int


def sweep(store: Store, blobs: Blobs, *, stop: Event) -> Swept | None:
    """Note what no row names, and remove what was noted a day ago; None where the store is not this archive's."""
    with store.read() as tx:
        known = installation.read(tx)
    if known is None or not _is_ours(store, blobs, known.archive_id):
        return None
    noted = sum(_note(store, some) for some in _some(blobs.contents()) if not stop.is_set())
    return Swept(noted, _remove(store, blobs, stop))


def _is_ours(store: Store, blobs: Blobs, archive_id: str) -> bool:
    """Whether the store has this archive's mark, which it gets while all that lies there is this archive's."""
    if (mark := blobs.mark()) is None:
        for some in _some(blobs.contents()):
            with store.read() as tx:
                if wipes.unnamed(tx, some):
                    log.warning("the store of attachments has no mark, and contents that no row names: it is not swept")
                    return False
        blobs.set_mark(archive_id)
        mark = blobs.mark()
    if mark != archive_id:
        log.error("the store of attachments is another archive's: it is not swept")
    return mark == archive_id


def _some(sums: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(sums, _AT_ONCE)):
        yield some


def _note(store: Store, sums: list[str]) -> int:
    with store.write() as tx:
        unnamed = wipes.unnamed(tx, sums)
        removing.wipe(tx, unnamed)
    return len(unnamed)


def _remove(store: Store, blobs: Blobs, stop: Event) -> int:
    """Remove what was noted a day ago and is there; marks of what is not there any more go a day later."""
    removed, after = 0, ""
    while not stop.is_set():
        with store.read() as tx:
            over = wipes.over(tx, after, _AT_ONCE)
        if not over:
            break
        for sha256 in (one for one in over if blobs.has(one)):
            with store.write() as tx:
                mine = wipes.begin(tx, sha256)
            if mine:
                blobs.remove(sha256)
                removed += 1
        with store.write() as tx:
            wipes.forget(tx, over)
        after = over[-1]
    return removed


class WipeJob:
    """What `run` does with contents once a day; an error is a line of the log, and the next day tries again."""

    def __init__(self, settings: Settings, store: Store, stop: Event) -> None:
        self._settings, self._store, self._stop = settings, store, stop

    def __call__(self) -> None:
        section = self._settings.attachments
        if section is None:
            return
        try:
            swept = sweep(self._store, Blobs(section.store, section.endpoint), stop=self._stop)
        except ArchiverError as error:
            log.error("contents of attachments were not swept: %s", error)
        except Exception:  # the edge of a job that must not end the daemon
            log.exception("contents of attachments were not swept")
        else:
            if swept is not None and (swept.noted or swept.removed):
                log.info("contents that no row names", extra={"fields": swept._asdict()})
