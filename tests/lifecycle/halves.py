"""An archive of which the older half has expired, past the command: what comes after it is the subject."""

from __future__ import annotations

from archiver.store import floors, holds
from archiver.store.engine import Store
from archiver.store.expiring import MESSAGES_AT_ONCE, TermOver, expire, look, parts
from archiver.store.holds import HoldCriteria, HoldRow
from archiver.store.read.filters import Filter
from tests.fixtures.archive import Archive
from tests.fixtures.decided import approved
from tests.fixtures.store import open_database


def expire_all(store: Store, term: TermOver, request: int) -> None:
    """Let go of what is over, as the command does."""
    after: int | None = 0
    while after is not None:
        with store.read() as tx:
            looked = look(tx, term, after)
        for page_ids in parts(looked, lambda: MESSAGES_AT_ONCE):
            with store.write(lock="exclusive") as tx:
                expire(tx, term, request, page_ids)
        after = looked.last


def expire_half(archive: Archive, *, hold: str | None = None) -> int:
    """Let the older half go; gives the floor."""
    floor_ms = int(
        archive.database.value(
            "SELECT timestamp_ms FROM messages ORDER BY timestamp_ms LIMIT 1 OFFSET ?",
            int(archive.count("messages")) // 2,
        )
    )
    store = open_database(archive.database)
    with store.write(lock="exclusive") as tx:
        if hold is not None:
            row = HoldRow(holds.next_id(tx), "x", "placed", "K7", "y", "me")
            holds.place(tx, row, HoldCriteria(Filter(sender=hold)))
        request = approved(tx, "retention", {"app_id": 1, "floor_ms": floor_ms})
        floors.lower(tx, 1, floor_ms, request)
    expire_all(store, TermOver(1, floor_ms), request)
    store.dispose()
    return floor_ms
