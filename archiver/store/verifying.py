"""What verification reads of the ledger and beside it: seals of rows, what waits, subtrees, and windows as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import apps, ledger, ledger_nodes, ledger_queue, seals, watermarks, windows


class SealOfRows(NamedTuple):
    """A seal over rows of another table, or over a page where `page_id` says so."""

    id: int
    page_id: int | None
    table: str
    leaves: int
    root: bytes
    seeds: bytes | None
    keys: str | None


def seals_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, SealOfRows]:
    """Seals with these ids, as far as they are there; the roots and seeds of pages are left to who reads the pages."""
    s = seals.c
    query = sa.select(s.id, s.page_id, s.table_name, s.leaves, s.root, s.seeds, s["keys"]).where(s.id.in_(ids))
    return {
        row[0]: SealOfRows(row[0], row[1], row[2] or "", row[3], bytes(row[4]), row[5] and bytes(row[5]), row[6])
        for row in tx.conn.execute(query)
    }


def seals_without_entry(tx: Tx) -> list[int]:
    """Seals whose root neither the ledger nor the queue carries; some of them."""
    entered = sa.exists().where(ledger.c.seal_id == seals.c.id)
    queued = sa.exists().where(ledger_queue.c.seal_id == seals.c.id)
    query = sa.select(seals.c.id).where(~entered, ~queued, seals.c.page_id.is_(None))
    return list(tx.conn.scalars(query.order_by(seals.c.id).limit(1_000)))


def waiting_keys(tx: Tx, table: str) -> set[str]:
    """Keys of rows of a table that wait for their seal."""
    return set(tx.conn.scalars(sa.select(ledger_queue.c.key).where(ledger_queue.c.table_name == table)))


def waiting_entries(tx: Tx) -> list[tuple[int, str]]:
    """Ids and texts of all entries that wait for their place, in order."""
    query = sa.select(ledger_queue.c.id, ledger_queue.c.entry).where(ledger_queue.c.entry.is_not(None))
    return [(row[0], row[1]) for row in tx.conn.execute(query.order_by(ledger_queue.c.id))]


def nodes_of(tx: Tx, level: int, first: int, last: int) -> dict[int, bytes]:
    """Stored roots of subtrees of a level, by their number, `last` included."""
    n = ledger_nodes.c
    query = sa.select(n.n, n.hash).where(n.level == level, n.n >= first, n.n <= last)
    return {row[0]: bytes(row[1]) for row in tx.conn.execute(query)}


def count_nodes(tx: Tx) -> int:
    """How many roots of subtrees are stored."""
    return int(tx.conn.scalar(sa.select(sa.func.count()).select_from(ledger_nodes)) or 0)


_WINDOW = ("pass", "cause", "lo_ms", "hi_ms", "lag_ms", "walk0_ms", "state", "by_order", "fence", "closed_at")


def window_rows(tx: Tx) -> Iterator[tuple[str, str, int, Sequence[Any]]]:
    """App, source, id and what entries tell of each window but early looks, and when it was closed (ms)."""
    columns = [windows.c[name] for name in _WINDOW]
    query = sa.select(apps.c.name, windows.c.source, windows.c.id, *columns).select_from(windows.join(apps))
    query = query.where(windows.c["pass"] != 0).order_by(windows.c.id).limit(1_000)
    after = 0
    while rows := tx.conn.execute(query.where(windows.c.id > after)).all():
        for row in rows:
            yield row[0], row[1], row[2], row[3:]
        after = rows[-1][2]


def watermark_rows(tx: Tx) -> list[tuple[str, str, int, int, int]]:
    """App, source, and from when until when each is complete, and until when audited."""
    w = watermarks.c
    query = sa.select(apps.c.name, w.source, w.complete_from_ms, w.complete_until_ms, w.audited_until_ms)
    rows = tx.conn.execute(query.select_from(watermarks.join(apps)).order_by(apps.c.name, w.source))
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
