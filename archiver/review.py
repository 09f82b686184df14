"""What people decide about the record: quarantine looked through and requeued, losses accepted. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from archiver.errors import UsageError
from archiver.model import Message, Reject, Window
from archiver.store import hours, messages, pages, quarantine, seals, unclosed, watermarks
from archiver.store.appending import Provenance
from archiver.store.engine import Store, Tx
from archiver.store.quarantine import QuarantineEntry
from archiver.store.read import status

Decode = Callable[[bytes, int], Message | Reject]
"""Reads a record's stored bytes; the second argument is its place in its page."""

_BATCH = 500


class Requeued(NamedTuple):
    """How many records were looked at again, and how many of them are settled now."""

    looked_at: int
    resolved: int


def quarantined(
    store: Store, ids: Sequence[int] = (), *, unresolved: bool = True, most: int = 1000
) -> list[QuarantineEntry]:
    """Records that could not be read. Raises UsageError for an id that is not there."""
    with store.read() as tx:
        entries = quarantine.entries(tx, ids=list(ids) or None, unresolved=unresolved, most=most)
    missing = set(ids) - {entry.id for entry in entries}
    if missing:
        raise UsageError(f"not in quarantine: {', '.join(map(str, sorted(missing)))}", hint="archiver quarantine list")
    return entries


Salvage = Callable[[bytes], Iterator[Message]]
"""Reads the records of a damaged file that can be read."""


def requeue(
    store: Store, decode: Decode, ids: Sequence[int] = (), *, salvage: Salvage = lambda _: iter(())
) -> Requeued:
    """Read stored records again, offline; what can be read moves into `messages` with its first page.

    Of damaged files too; whether their hour is had stays as it was, since nobody knows what else they held.
    """
    if ids:
        quarantined(store, ids, unresolved=False)
    looked_at = resolved = after = 0
    while True:
        with store.read() as tx:
            batch = quarantine.entries(tx, ids=list(ids) or None, unresolved=True, after=after, most=_BATCH)
        if not batch:
            return Requeued(looked_at, resolved)
        for entry in batch:
            resolved += _requeue_file(store, salvage, entry) if entry.is_file else _requeue_one(store, decode, entry)
        looked_at += len(batch)
        after = batch[-1].id


def _requeue_one(store: Store, decode: Decode, entry: QuarantineEntry) -> bool:
    record = decode(entry.raw, entry.position)
    with store.write(lock="shared") as tx:
        if not quarantine.lock(tx, entry):
            return False
        if isinstance(record, Reject):
            quarantine.explain(tx, entry, record.reason)
            return False
        origin, batch = (
            Provenance(entry.app_id, tx.now_ms(), of_stored_pages=True),
            messages.Batch(entry.page_id, [record]),
        )
        seals.demand(tx)
        (stored,) = messages.insert(tx, origin, [batch])
        if stored.refused or stored.expired:
            reason = stored.refused[0].reason if stored.refused else "it is stamped before what has expired"
            quarantine.explain(tx, entry, reason)
            return False
        quarantine.resolve(tx, entry, stored)
    return True


def _requeue_file(store: Store, salvage: Salvage, entry: QuarantineEntry) -> bool:
    records = list(salvage(entry.raw))
    if not records:
        return False
    with store.write(lock="shared") as tx:
        if not quarantine.lock(tx, entry):
            return False
        seals.demand(tx)
        batch = messages.Batch(quarantine.add_page(tx, entry), records)
        (stored,) = messages.insert(tx, Provenance(entry.app_id, tx.now_ms(), of_stored_pages=True), [batch])
        pages.seal_requeued(tx, entry, batch.page_id, stored)
        quarantine.resolve(tx, entry, stored)
    return True


def accept(
    store: Store,
    window: Window,
    reason: str,
    who: str,
    *,
    app: str | None = None,
    begin: Callable[[Tx], None] = lambda _: None,
) -> int:
    """Accept what is lost or stuck within a range, so that the watermark goes on; gives how many windows that were.

    The holes stay in every claim. Raises UsageError when a hole is cut by the range, or none lies in it; one that was
    accepted before is no error: with a lost file go parts of the hours beside it. `begin` is called in the transaction.
    """
    accepted, before = 0, False
    with store.write() as tx:
        begin(tx)
        seals.demand(tx)
        for source in status.read(tx):
            if app not in (None, source.app):
                continue
            lost = unclosed.lost(tx, source.key, window)
            for lo_ms, hi_ms in lost:
                if lo_ms < window.lo_ms or hi_ms > window.hi_ms:
                    raise UsageError(f"the range cuts the hole from {lo_ms} to {hi_ms}; give its whole range")
            before |= unclosed.has_accepted(tx, source.key, window)
            held = watermarks.lock(tx, source.key)
            accepted += unclosed.accept(tx, source.key, window, reason=reason, who=who)
            hours.cut_heads(tx, source.key)
            watermarks.move(tx, source.key, held)
        if not accepted and not before:
            raise UsageError("no hole lies in this range", hint="archiver coverage lists them")
    return accepted
