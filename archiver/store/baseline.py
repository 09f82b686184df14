"""What a baseline seals: pages, windows and rows that were there before the ledger, and that nothing has sealed yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store import ledger, verifying
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.schema import seals, windows
from archiver.store.sealed_pages import PageRow
from archiver.store.sealed_rows import SealedTable, keys_behind
from archiver.store.seals import (
    WINDOWS_AT_ONCE,
    PageSeal,
    SealMade,
    Signer,
    add,
    changed_windows,
    enqueue,
    key_text,
    page_fields,
)

ENDED = ("closed", "presumed_empty", "expired", "stuck", "accepted", "skipped")


class BaselinePage(NamedTuple):
    """A page as it is to be sealed. `program`: the version whose columns these are; None where they differ."""

    row: PageRow
    made: SealMade
    program: str | None


def sealed_among(tx: Tx, ids: Sequence[int]) -> set[int]:
    """Those of these pages that have a seal."""
    return set(tx.conn.scalars(sa.select(seals.c.page_id).where(seals.c.page_id.in_(ids))))


def add_pages(tx: Tx, signer: Signer, sealed: Sequence[BaselinePage]) -> int:
    """Seal pages that nobody has sealed meanwhile; gives how many. No row of a page or a message is touched."""
    ledger.lock(tx)  # of two baselines at once one waits, and then sees what the other has sealed
    known = sealed_among(tx, [page.row.id for page in sealed])
    fresh = [page for page in sealed if page.row.id not in known]
    if not fresh:
        return 0
    places = _places(tx, [page.row.window_id for page in fresh])
    rows = [{"page_id": page.row.id, **page.made._asdict(), "made_at": tx.now_ms()} for page in fresh]
    ids = add(tx, rows)
    queued = []
    for page in fresh:
        row, key = page.row, SourceKey(page.row.app_id, page.row.source)
        where = places.get(row.window_id, (0, 0, 0))
        times = (row.outside, row.fetched_ms, row.server_ms)
        seal = PageSeal(key, row.id, row.window_id, row.fence, *where, row.counts, *times, (), page.program)
        entry = {"kind": "page", "at": tx.now_ms(), "app": row.app, "source": row.source, "baseline": True}
        queued.append((ids[row.id], signer.line(page_fields(seal, page.made, entry))))
    enqueue(tx, queued)
    return len(fresh)


def _places(tx: Tx, ids: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    """Pass and range of windows."""
    query = sa.select(windows.c.id, windows.c["pass"], windows.c.lo_ms, windows.c.hi_ms).where(windows.c.id.in_(ids))
    return {row[0]: (row[1], row[2], row[3]) for row in tx.conn.execute(query)}


def add_windows(tx: Tx, signer: Signer, after: int) -> int | None:
    """Enter some windows behind an id that have ended; gives the last of them, None at the end.

    They are locked meanwhile: an entry of a later change must come behind this one.
    """
    query = sa.select(windows.c.id).where(windows.c.id > after, windows.c["pass"] != 0, windows.c.state.in_(ENDED))
    ids = list(tx.conn.scalars(query.order_by(windows.c.id).limit(WINDOWS_AT_ONCE).with_for_update()))
    for key, listed in changed_windows(tx, ids).items():
        entry = {"kind": "window", "at": tx.now_ms(), "app": signer.app(tx, key.app_id), "source": key.source}
        enqueue(tx, [(None, signer.line({**entry, "baseline": True, "windows": listed}))])
    return ids[-1] if ids else None


def sealed_keys(tx: Tx, table: str) -> set[str]:
    """Keys of rows of a table that have a seal, or wait for one."""
    listed = tx.conn.scalars(sa.select(seals.c["keys"]).where(seals.c.table_name == table))
    sealed = {key_text(key) for text in listed for key in json.loads(text)}
    return sealed | verifying.waiting_keys(tx, table)


def add_rows(
    tx: Tx, signer: Signer, sealed: SealedTable, known: set[str], after: tuple[Any, ...] | None, most: int
) -> tuple[tuple[Any, ...] | None, int]:
    """Seal some rows behind a key that are not among the known; gives the last one looked at, None at the end."""
    keys = keys_behind(tx, sealed, after, most)
    lacking = [key for key in keys if key_text(key) not in known]
    if lacking:
        lines = ledger.seal_rows(tx, signer, sealed.name, lacking, baseline=True)
        enqueue(tx, [(line.seal_id, line.entry) for line in lines])
    return (keys[-1] if keys else None), len(lacking)
