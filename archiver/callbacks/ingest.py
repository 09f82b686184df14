"""Reads the spool into `events`: a segment is taken by rename, stored in small transactions, and deleted then.

Killed at any moment, the next process takes the segment again, and the same bytes are stored once.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from threading import Event
from typing import NamedTuple
from urllib.parse import quote, unquote

from archiver import host, logs
from archiver.callbacks import secrets, spool
from archiver.callbacks.spool import Received
from archiver.config import Callbacks, Settings
from archiver.errors import ArchiverError, ConfigurationError, UsageError
from archiver.sources import read_event
from archiver.store import apps, events, owner
from archiver.store.engine import Store
from archiver.store.events import Arrival

log = logging.getLogger("archiver.callbacks")

_AT_ONCE = 500
_CALL = "~"
"""Between the owner's line and what tells its calls apart."""
_LARGEST = 16 * 2**20
"""Bytes of bodies in one transaction."""


class KnownAlias(NamedTuple):
    """What callbacks of an alias belong to, and what signs them."""

    app: str
    app_id: int
    secrets: tuple[bytes, ...]


class Ingested(NamedTuple):
    """What a round did: events by kind and signature, those known before, wrong ones dropped, segments left."""

    counts: Counter[tuple[str, str]]
    known: int
    dropped: int
    left: int
    damaged: int = 0
    """Bytes behind the first bad record of a segment."""
    erased: int = 0
    """Dropped, as they are about an erased message."""


def ingest(settings: Settings, store: Store, stop: Event | None = None) -> Ingested | None:
    """Read in what is ready; None where no callbacks are configured here, or no receiver has been at work.

    Raises UsageError where the spool cannot be used, and DatabaseUnavailable: what was taken is taken again.
    """
    section = settings.callbacks
    if section is None or not (section.spool / spool.READY).is_dir():
        return None
    counts: Counter[tuple[str, str]] = Counter()
    known = dropped = left = damaged = erased = 0
    oldest_ms: int | None = None
    try:
        aliases = _known(section, store)
        for segment in _taken(section.spool):
            if stop is not None and stop.is_set():
                break
            oldest_ms = spool.begun_ms(segment) if oldest_ms is None else oldest_ms  # they come in their order
            one = _read_in(store, segment, aliases)
            counts += one.counts
            known, dropped, left = known + one.known, dropped + one.dropped, left + one.left
            damaged, erased = damaged + one.damaged, erased + one.erased
            _finish(section.spool, segment, one)
        if oldest_ms is not None:
            _forget(store, aliases.values(), oldest_ms)
    except OSError as error:
        problem = f"{section.spool}: the spool cannot be read in: {error.strerror or type(error).__name__}"
        raise UsageError(problem, hint="run it with an account that may write in that folder") from None
    result = Ingested(counts, known, dropped, left, damaged, erased)
    _tell(result)
    return result


def _forget(store: Store, aliases: Iterable[KnownAlias], received_ms: int) -> None:
    for app_id in {one.app_id for one in aliases}:
        with store.write() as tx:
            events.forget_signatures(tx, app_id, received_ms)


def _finish(folder: Path, segment: Path, result: Ingested) -> None:
    """A segment goes when all of it is stored."""
    if result.damaged:
        host.make_folder(folder / "damaged", exist_ok=True)
        segment.rename(folder / "damaged" / segment.name)
        fields = {"segment": segment.name, "bytes": result.damaged}
        log.error("a segment of the spool is damaged, and was put aside", extra={"fields": fields})
    elif result.left:
        segment.rename(folder / spool.READY / segment.name)
    else:
        segment.unlink()


def _known(section: Callbacks, store: Store) -> Mapping[str, KnownAlias]:
    """The aliases whose events can be stored. Others wait: for their app's first pull, or for their secrets."""
    aliases = {}
    for app in section.apps:
        with store.read() as tx:
            app_id = apps.find_app(tx, app.app)
        if app_id is None:
            log.warning("callbacks wait for the first pull of their app", extra={"fields": {"app": app.app}})
            continue
        try:
            aliases[app.alias] = KnownAlias(app.app, app_id, secrets.secrets(app))
        except ConfigurationError as error:
            log.error("callbacks of %s wait: %s", app.app, error)
    return aliases


def _taken(folder: Path) -> Iterator[Path]:
    """Segments that are this call's now: those of the dead first, then what is ready, in the order of receipt."""
    taken = folder / spool.TAKEN
    mine = taken / f"{quote(owner.me(), safe=' ')}{_CALL}{token_hex(4)}"
    holders = {path: unquote(path.name.partition(_CALL)[0]) for path in taken.iterdir()}
    dead = set(owner.dead(holders.values()))
    orphaned = [path for path, holder in holders.items() if holder in dead]
    waiting = [segment for place in (*orphaned, folder / spool.READY) for segment in place.glob("*.segment")]
    host.make_folder(mine, exist_ok=True)
    try:
        for segment in sorted(waiting, key=lambda path: path.name):
            try:
                segment.rename(mine / segment.name)
            except FileNotFoundError:
                continue  # another process was faster
            yield mine / segment.name
    finally:
        for segment in mine.iterdir():  # what could not be stored now
            segment.rename(folder / spool.READY / segment.name)
        for place in (*orphaned, mine):
            _remove(place)


def _remove(folder: Path) -> None:
    """An empty folder; one that is not is left for the next time."""
    try:
        folder.rmdir()
    except OSError:
        return


def _read_in(store: Store, segment: Path, aliases: Mapping[str, KnownAlias]) -> Ingested:
    """Store a segment. A record of an alias that is not known here stays, and the segment with it."""
    counts: Counter[tuple[str, str]] = Counter()
    known = dropped = left = read = erased = 0
    for batch, end in _batches(segment):
        for alias in dict.fromkeys(received.alias for received in batch):
            its = [received for received in batch if received.alias == alias]
            if alias not in aliases:
                left += len(its)
                log.error("callbacks stay in the spool: no app here has their alias", extra=_fields(alias, len(its)))
                continue
            stored = _store(store, aliases[alias], its)
            counts.update(stored.counts)
            known, dropped, erased = known + stored.known, dropped + stored.dropped, erased + stored.erased
        read = end
    return Ingested(counts, known, dropped, left, segment.stat().st_size - read, erased)


def _fields(alias: str, count: int) -> dict[str, object]:
    return {"fields": {"alias": logs.visible(alias), "callbacks": count}}


def _batches(segment: Path) -> Iterator[tuple[Sequence[Received], int]]:
    """Records for one transaction each, and where the last of them ends."""
    batch: list[Received] = []
    size = end = 0
    for received, ends in spool.records(segment):
        batch.append(received)
        size, end = size + len(received.body), ends
        if len(batch) == _AT_ONCE or size >= _LARGEST:
            yield batch, end
            batch, size = [], 0
    yield batch, end


def _store(store: Store, known: KnownAlias, batch: Sequence[Received]) -> events.EventsStored:
    arrivals = [
        Arrival(
            read_event(received.body, known.app, known.secrets),
            received.received_ms,
            received.body,
            hashlib.sha256(received.body).digest(),
        )
        for received in batch
    ]
    with store.write(lock="shared") as tx:
        return events.store(tx, known.app_id, arrivals)


def _tell(result: Ingested) -> None:
    """Figures only; nothing where nothing came."""
    total = sum(result.counts.values())
    if total or result.known or result.dropped or result.erased:
        signed = Counter[str]()
        for (_, judged), count in result.counts.items():
            signed[judged] += count
        fields = {"events": total, **signed, "known": result.known, "dropped": result.dropped, "erased": result.erased}
        log.info("callbacks were read in", extra={"fields": fields})


def ingest_or_tell(settings: Settings, store: Store, stop: Event | None = None) -> None:
    """As `ingest`, for those whose own work must not end with it: an error is a line of the log."""
    try:
        ingest(settings, store, stop)
    except ArchiverError as error:
        log.error("callbacks wait in the spool: %s", error)
