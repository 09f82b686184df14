"""The configured sinks, as publishing and verification use them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from archiver import signing
from archiver.config import Settings
from archiver.config.evidence import Sink, WebhookSink
from archiver.errors import ArchiverError
from archiver.evidence import beginning
from archiver.evidence.anchors import calls
from archiver.evidence.publish import Publisher
from archiver.http import Way
from archiver.sessions import way_out
from archiver.store.engine import Store

log = logging.getLogger("archiver.evidence")


class Reached:
    """A sink under its name, and the way to it."""

    def __init__(self, name: str, sink: Sink, way: Way) -> None:
        self.name, self.every_ms, self.readable = name, sink.every_ms, sink.readable
        self.configured, self._way = sink, way

    def put(self, note: bytes, *, within_s: float) -> calls.AnchorOutcome:
        return calls.put(self.configured, note, self._way, within_s)

    def newer(self, size: int, *, within_s: float) -> list[bytes]:
        """As many as come in time, oldest first: a single one that the ledger does not bear out is enough."""
        read, deadline = list[bytes](), time.monotonic() + within_s
        for note in calls.newer(self.configured, size, within_s):
            read.append(note)
            if time.monotonic() > deadline:
                log.warning("%s: only the first %d notes after size %d were read", self.name, len(read), size)
                break
        return read


def reached(settings: Settings) -> list[Reached]:
    """The sinks of a configuration; without chats whose addresses this account may not read."""
    section, way = beginning.section(settings), way_out(settings)
    return [
        Reached(name, sink, way)
        for name, sink in section.sinks.items()
        if not (isinstance(sink, WebhookSink) and sink.webhook is None)
    ]


def publisher(store: Store, settings: Settings) -> Publisher:
    """What publishes the ledger of this archive. Raises ConfigurationError without [evidence] or its key."""
    section = beginning.section(settings)
    return Publisher(store, section, signing.load(section.key_file), reached(settings))


def anchored(sink: Reached) -> Iterator[bytes]:
    """All notes that a readable sink has. Raises ArchiverError where it cannot be read."""
    return calls.newer(sink.configured, 0, calls.LIMIT_S)


def note_erasures(settings: Settings, lines: bytes) -> bool:
    """Give lines on erasures to every sink that can be read again; whether all of them have these."""
    well = True
    for sink in (one for one in reached(settings) if one.readable and lines):
        try:
            calls.note(sink.configured, lines)
        except ArchiverError as error:
            log.error("%s has not taken the lines on erasures: %s", sink.name, error)
            well = False
    return well


def noted_erasures(settings: Settings) -> Iterator[str]:
    """The lines on erasures that the readable sinks have. Raises ArchiverError where one of them cannot be read."""
    for sink in (one for one in reached(settings) if one.readable):
        for some in calls.noted(sink.configured):
            yield from some.decode("ascii", "replace").splitlines()
