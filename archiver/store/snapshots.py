"""What one transaction sees, handed on to transactions of other processes: PostgreSQL alone can do that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archiver.errors import UsageError
from archiver.store.engine import Store, Tx, open_store


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Valid as long as the transaction that it was taken in is open."""

    url: str = field(repr=False)
    """Of the database; it may hold a password."""
    id: str


def demand(store: Store) -> None:
    """Raises UsageError for an archive whose snapshots cannot be handed on."""
    if store.engine.dialect.name != "postgresql":
        raise UsageError("--workers is for PostgreSQL: an SQLite archive cannot be read twice as of one moment")


def hand_on(store: Store, tx: Tx) -> Snapshot:
    """The snapshot of a transaction that reads, on PostgreSQL."""
    taken = str(tx.conn.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one())
    return Snapshot(store.engine.url.render_as_string(hide_password=False), taken)


@contextmanager
def opened(snapshot: Snapshot) -> Iterator[Tx]:
    """A transaction that sees what the other one sees."""
    store = open_store(snapshot.url)
    try:
        with store.patient.read(snapshot.id) as tx:
            yield tx
    finally:
        store.dispose()
