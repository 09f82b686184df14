"""The first contact with a source, whichever command makes it, and the settings that are in force from then on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from archiver.model import HOUR_MS, Pass, Source, Window
from archiver.store import apps, hours, naming, passes, reopening, watermarks
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx

log = logging.getLogger("archiver.pull")


class SourceFacts(NamedTuple):
    """What of a source is remembered. `first_contact`: see `Source.first_contact`."""

    app: str
    kind: str
    settle_ms: int
    retention_ms: int | None
    hour_offset_ms: int | None
    first_contact: Callable[[int, int], int]


def register(tx: Tx, reading: SourceFacts, start_ms: int) -> SourceKey:
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


def take_settings(tx: Tx, key: SourceKey, source: Source, configured: Sequence[Pass]) -> None:
    """What was read under other settings than those in force now is read again, or left where it is proved."""
    audits = [audit for audit in configured if audit.pass_no >= passes.FIRST_AUDIT]
    longest = max(audits, key=lambda audit: audit.lag_ms, default=None)
    before_ms = apps.hour_offset(tx, key)
    for a_pass in configured:
        reopening.read_again_at(tx, key, a_pass.pass_no, a_pass.lag_ms)
    watermarks.audit_by(tx, key, None if longest is None else longest.pass_no)
    if source.hour_offset_ms is not None and before_ms != source.hour_offset_ms:
        _change_zone(tx, key, source, before_ms, source.hour_offset_ms)
    elif source.hour_offset_ms is not None:
        reopening.read_again_under(tx, key, source.hour_offset_ms)


def _change_zone(tx: Tx, key: SourceKey, source: Source, before_ms: int | None, offset_ms: int) -> None:
    """The hours have another name from now on: open again what no file under the old one vouches for."""
    apps.set_hour_offset(tx, key, offset_ms)
    if before_ms is None:
        hours.adopt(tx, key, offset_ms)
        return
    apps.note_zone(tx, key, None)
    held, files = watermarks.lock(tx, key), naming.files(tx, key, before_ms)
    reason = "read under another hour_utc_offset"
    opened = reopening.reopen_zone(tx, key, before_ms, vouching=files.vouching, reason=reason)
    mark = watermarks.recompute(tx, key, held)
    reopening.read_again_under(tx, key, offset_ms)
    fields = {"app": source.app, "reopened": opened, "complete_until_ms": mark.complete_until_ms}
    log.error("hour_utc_offset was changed: what it did not vouch for is read again", extra={"fields": fields})
