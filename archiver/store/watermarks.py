"""The watermark: the end of the contiguous run of closed windows that contains the origin.

It is kept in step inside the transaction that closes a window. The row is locked before the window is closed and the
interval computed in a later statement: without that, two workers that close neighbours at once leave it short.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import Window
from archiver.store.apps import Key
from archiver.store.engine import Tx
from archiver.store.schema import TILING_STATES, sources, watermarks, windows
from archiver.windows import reach, reach_back

w, m = windows.c, watermarks.c
_CHUNK = 1_000


class Watermark(NamedTuple):
    """Complete over `[complete_from_ms, complete_until_ms)`; looked at twice up to `audited_until_ms`."""

    complete_from_ms: int
    complete_until_ms: int
    audited_until_ms: int


def lock(tx: Tx, key: Key) -> Watermark:
    """Hold the watermark to the end of the transaction."""
    query = sa.select(m.complete_from_ms, m.complete_until_ms, m.audited_until_ms).where(_is(key))
    return Watermark(*tx.conn.execute(query.with_for_update()).one())


def read(tx: Tx, key: Key) -> Watermark:
    """The watermark as it stands."""
    query = sa.select(m.complete_from_ms, m.complete_until_ms, m.audited_until_ms).where(_is(key))
    return Watermark(*tx.conn.execute(query).one())


def move(tx: Tx, key: Key, held: Watermark, *, longest_audit: int | None) -> Watermark:
    """Extend a held watermark over what is closed now; it only grows. `longest_audit`: that audit's pass number."""
    moved = Watermark(
        _back(tx, key, held.complete_from_ms),
        _up(tx, key, 1, held.complete_until_ms),
        held.audited_until_ms if longest_audit is None else _up(tx, key, longest_audit, held.audited_until_ms),
    )
    if moved != held:
        _save(tx, key, moved)
    return moved


def recompute(tx: Tx, key: Key, held: Watermark, *, longest_audit: int | None) -> Watermark:
    """Compute a held watermark from the origin again: after a reopening it may be lower than it was."""
    origin_ms = tx.conn.execute(
        sa.select(sources.c.origin_ms).where(sources.c.app_id == key.app_id, sources.c.source == key.source)
    ).scalar_one()
    audited_until_ms = held.audited_until_ms if longest_audit is None else _up(tx, key, longest_audit, origin_ms)
    fresh = Watermark(_back(tx, key, origin_ms), _up(tx, key, 1, origin_ms), audited_until_ms)
    if fresh != held:
        _save(tx, key, fresh)
    return fresh


def _save(tx: Tx, key: Key, mark: Watermark) -> None:
    tx.conn.execute(watermarks.update().where(_is(key)).values(**mark._asdict(), updated_at=tx.now_ms()))


def _is(key: Key) -> sa.ColumnElement[bool]:
    return sa.and_(m.app_id == key.app_id, m.source == key.source)


def _tiles(key: Key, number: int) -> sa.ColumnElement[bool]:
    of_pass = sa.and_(w.app_id == key.app_id, w.source == key.source, w["pass"] == number)
    return sa.and_(of_pass, w.state.in_(TILING_STATES))


def _up(tx: Tx, key: Key, number: int, until_ms: int) -> int:
    while True:
        query = sa.select(w.lo_ms, w.hi_ms).where(_tiles(key, number), w.lo_ms >= until_ms)
        rows = tx.conn.execute(query.order_by(w.lo_ms).limit(_CHUNK)).all()
        reached_ms = reach(until_ms, (Window(*row) for row in rows))
        if not rows or reached_ms != rows[-1].hi_ms or len(rows) < _CHUNK:
            return reached_ms
        until_ms = reached_ms


def _back(tx: Tx, key: Key, from_ms: int) -> int:
    while True:
        query = sa.select(w.lo_ms, w.hi_ms).where(_tiles(key, 1), w.lo_ms < from_ms)
        rows = tx.conn.execute(query.order_by(w.lo_ms.desc()).limit(_CHUNK)).all()
        reached_ms = reach_back(from_ms, (Window(*row) for row in rows))
        if not rows or reached_ms != rows[-1].lo_ms or len(rows) < _CHUNK:
            return reached_ms
        from_ms = reached_ms
