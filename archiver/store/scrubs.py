"""Verifications of the whole archive: how far the one is that goes on, and what the last whole one found."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver import __version__
from archiver.store.engine import Tx
from archiver.store.schema import scrubs


class Scrub(NamedTuple):
    """One verification. `position`: the last page that it has looked at; instants in ms."""

    id: int
    began_ms: int
    position: int
    ended_ms: int | None
    differences: int


_SCRUB = sa.select(scrubs.c.id, scrubs.c.began_at, scrubs.c.position, scrubs.c.ended_at, scrubs.c.differences)


def current(tx: Tx) -> Scrub | None:
    """The newest one, where it has not ended."""
    row = tx.conn.execute(_SCRUB.order_by(scrubs.c.id.desc()).limit(1)).first()
    return None if row is None or row.ended_at is not None else Scrub(*row)


def last(tx: Tx) -> Scrub | None:
    """The newest one that has ended."""
    row = tx.conn.execute(_SCRUB.where(scrubs.c.ended_at.is_not(None)).order_by(scrubs.c.id.desc()).limit(1)).first()
    return None if row is None else Scrub(*row)


def begin(tx: Tx) -> Scrub:
    """Begin one."""
    now_ms = tx.now_ms()
    values = {"began_at": now_ms, "position": 0, "program": __version__}
    number = tx.conn.execute(scrubs.insert().values(values).returning(scrubs.c.id)).scalar_one()
    return Scrub(int(number), now_ms, 0, None, 0)


def advance(tx: Tx, scrub: Scrub, position: int, differences: int, *, ended: bool = False) -> None:
    """Note how far it is, and what it has found so far."""
    values = {"position": position, "differences": differences, "ended_at": tx.now_ms() if ended else None}
    tx.conn.execute(scrubs.update().where(scrubs.c.id == scrub.id).values(values))
