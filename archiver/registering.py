"""The first contact with a source, whichever command makes it: one origin, and what lies before it on record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from archiver.model import HOUR_MS, Window
from archiver.store import apps, hours
from archiver.store.apps import Key
from archiver.store.engine import Tx

log = logging.getLogger("archiver.pull")


class Reading(NamedTuple):
    """What of a source is remembered. `first_contact`: see `Source.first_contact`."""

    app: str
    kind: str
    settle_ms: int
    retention_ms: int | None
    hour_offset_ms: int | None
    first_contact: Callable[[int, int], int]


def register(tx: Tx, reading: Reading, start_ms: int) -> Key:
    """The key of a source; the first time its origin is fixed for good, where the source can begin after `start_ms`."""
    now_ms = tx.now_ms()
    first = apps.is_first_contact(tx, reading.app, reading.kind)
    origin_ms = reading.first_contact(start_ms, now_ms)
    key = apps.register(
        tx,
        reading.app,
        reading.kind,
        origin_ms,
        settle_ms=reading.settle_ms,
        retention_ms=reading.retention_ms,
        # An hour closes when the next one's file is read, and until then the watermark stands at its beginning.
        grain_ms=0 if reading.hour_offset_ms is None else 2 * HOUR_MS,
    )
    if first and start_ms < origin_ms <= now_ms:
        hours.add_before_first_contact(tx, key, Window(start_ms, origin_ms), reading.settle_ms)
        fields = {"app": reading.app, "source": reading.kind, "from_ms": start_ms, "to_ms": origin_ms}
        log.warning("what the provider kept no longer before the first contact is lost", extra={"fields": fields})
    return key
