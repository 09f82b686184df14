"""The watermark: the end of the contiguous run of closed windows that contains the origin.

It is kept in step inside the transaction that closes a window. The row is locked before the window is closed and the
interval computed in a later statement: without that, two workers that close neighbours at once leave it short.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import Window
from archiver.store.apps import SourceKey, of_source
from archiver.store.engine import Tx
from archiver.store.passes import FIRST_AUDIT
from archiver.store.schema import TILING_STATES, sources, watermarks, windows
from archiver.timeline import reach, reach_back

_CHUNK = 1_000
_READ = sa.select(
    watermarks.c.complete_from_ms,
    watermarks.c.complete_until_ms,
    watermarks.c.audited_until_ms,
    watermarks.c.audited_pass,
).where(of_source(watermarks.c))
_LOCK = _READ.with_for_update()
_SAVE = watermarks.update().where(of_source(watermarks.c))
_TILES = (
    sa.select(windows.c.lo_ms, windows.c.hi_ms)
    .where(of_source(windows.c), windows.c["pass"] == sa.bindparam("pass_no"))
    # An audit goes on behind what it could not look at: that is listed, and would stop it for ever otherwise.
    .where(
        sa.or_(
            windows.c.state.in_(TILING_STATES), sa.and_(windows.c["pass"] >= FIRST_AUDIT, windows.c.state == "skipped")
        )
    )
    .where(windows.c.cause != "before_first_contact")
    .limit(_CHUNK)
)
_TILES_ABOVE = _TILES.where(windows.c.lo_ms >= sa.bindparam("edge_ms")).order_by(windows.c.lo_ms)
_TILES_BELOW = _TILES.where(windows.c.lo_ms < sa.bindparam("edge_ms")).order_by(windows.c.lo_ms.desc())


class Watermark(NamedTuple):
    """Complete over `[complete_from_ms, complete_until_ms)`; looked at twice up to `audited_until_ms`.

    `audited_pass`: the audit that says so, the longest that is configured.
    """

    complete_from_ms: int
    complete_until_ms: int
    audited_until_ms: int
    audited_pass: int | None = None


def lock(tx: Tx, key: SourceKey) -> Watermark:
    """Hold the watermark to the end of the transaction."""
    return Watermark(*tx.conn.execute(_LOCK, key.bound).one())


def read(tx: Tx, key: SourceKey) -> Watermark:
    """The watermark as it stands."""
    return Watermark(*tx.conn.execute(_READ, key.bound).one())


def move(tx: Tx, key: SourceKey, held: Watermark) -> Watermark:
    """Extend a held watermark over what is closed now; it only grows."""
    audited_until_ms = held.audited_until_ms
    if held.audited_pass is not None:
        audited_until_ms = _up(tx, key, held.audited_pass, audited_until_ms)
    moved = Watermark(
        _back(tx, key, held.complete_from_ms),
        _up(tx, key, 1, held.complete_until_ms),
        audited_until_ms,
        held.audited_pass,
    )
    if moved != held:
        _save(tx, key, moved)
    return moved


def recompute(tx: Tx, key: SourceKey, held: Watermark) -> Watermark:
    """Compute a held watermark from the origin again: after a reopening it may be lower than it was."""
    origin_ms = _origin_ms(tx, key)
    pass_no = held.audited_pass
    audited_until_ms = held.audited_until_ms if pass_no is None else _up(tx, key, pass_no, origin_ms)
    fresh = Watermark(_back(tx, key, origin_ms), _up(tx, key, 1, origin_ms), audited_until_ms, pass_no)
    if fresh != held:
        _save(tx, key, fresh)
    return fresh


def audit_by(tx: Tx, key: SourceKey, pass_no: int | None) -> None:
    """Say which audit counts from now on; another one counts from the origin, by what it has looked at itself."""
    held = lock(tx, key)
    if pass_no is None or pass_no == held.audited_pass:
        return
    audited_until_ms = _up(tx, key, pass_no, _origin_ms(tx, key))
    _save(tx, key, held._replace(audited_until_ms=audited_until_ms, audited_pass=pass_no))


def looked_until(tx: Tx, key: SourceKey, pass_no: int, origin_ms: int) -> int:
    """Up to where an audit has looked at everything, or listed what it could not look at."""
    return _up(tx, key, pass_no, origin_ms)


def _origin_ms(tx: Tx, key: SourceKey) -> int:
    query = sa.select(sources.c.origin_ms).where(sources.c.app_id == key.app_id, sources.c.source == key.source)
    return int(tx.conn.execute(query).scalar_one())


def _save(tx: Tx, key: SourceKey, mark: Watermark) -> None:
    tx.conn.execute(_SAVE, key.bound | mark._asdict() | {"updated_at": tx.now_ms()})


def _up(tx: Tx, key: SourceKey, pass_no: int, until_ms: int) -> int:
    while True:
        rows = tx.conn.execute(_TILES_ABOVE, key.bound | {"pass_no": pass_no, "edge_ms": until_ms}).all()
        reached_ms = reach(until_ms, (Window(*row) for row in rows))
        if not rows or reached_ms != rows[-1].hi_ms or len(rows) < _CHUNK:
            return reached_ms
        until_ms = reached_ms


def _back(tx: Tx, key: SourceKey, from_ms: int) -> int:
    while True:
        rows = tx.conn.execute(_TILES_BELOW, key.bound | {"pass_no": 1, "edge_ms": from_ms}).all()
        reached_ms = reach_back(from_ms, (Window(*row) for row in rows))
        if not rows or reached_ms != rows[-1].lo_ms or len(rows) < _CHUNK:
            return reached_ms
        from_ms = reached_ms
