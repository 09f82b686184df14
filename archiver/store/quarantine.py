"""Records that could not be read: listed, shown, and settled once a later program can read them."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.messages import Stored
from archiver.store.schema import apps, quarantine, windows

q = quarantine.c


class Entry(NamedTuple):
    """One record that could not be read; `raw` only where it was asked for."""

    id: int
    app: str
    app_id: int
    source: str
    window_id: int
    page_id: int
    position: int
    reason: str
    size: int
    seen: int
    seen_at_ms: int
    resolved_at_ms: int | None
    raw: bytes


def entries(
    tx: Tx, *, ids: list[int] | None = None, unresolved: bool = False, after: int = 0, most: int
) -> list[Entry]:
    """Entries in order of id, beginning after `after`."""
    query = (
        sa.select(q.id, apps.c.name, q.app_id, q.source, q.window_id, q.page_id, q.position, q.reason)
        .add_columns(sa.func.length(q.raw), q.seen, q.seen_at, q.resolved_at, q.raw)
        .join(apps)
        .where(q.id > after)
    )
    if ids:
        query = query.where(q.id.in_(ids))
    if unresolved:
        query = query.where(q.resolved_at.is_(None))
    return [Entry._make(row) for row in tx.conn.execute(query.order_by(q.id).limit(most))]


def lock(tx: Tx, entry: Entry) -> bool:
    """Hold an entry to the end of the transaction; False when it has been resolved meanwhile."""
    query = sa.select(q.id).where(q.id == entry.id, q.resolved_at.is_(None)).with_for_update()
    return tx.conn.execute(query).first() is not None


def resolve(tx: Tx, entry: Entry, stored: Stored) -> None:
    """Note that a record has left quarantine, and count it in its window: page rows stay as they were."""
    tx.conn.execute(quarantine.update().where(q.id == entry.id).values(resolved_at=tx.now_ms()))
    w = windows.c
    tx.conn.execute(
        windows.update()
        .where(w.id == entry.window_id)
        .values(
            requeued=w.requeued + len(stored.new),
            requeued_bodies=w.requeued_bodies + stored.bodies,
            requeued_changed=w.requeued_changed + len(stored.changed),
        )
    )


def explain(tx: Tx, entry: Entry, reason: str) -> None:
    """Say anew why a record cannot be read."""
    tx.conn.execute(quarantine.update().where(q.id == entry.id).values(reason=reason))
