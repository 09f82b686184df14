"""What a calendar of coverage is drawn from, beside the claim: hours without a file, and what is closed ahead of it."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import Window
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.schema import windows

w = windows.c


def presumed_empty(tx: Tx, key: SourceKey, window: Window) -> list[Window]:
    """Hours within a range for which no file came, while later ones did."""
    query = sa.select(w.lo_ms, w.hi_ms).where(*_within(key, window), w.state == "presumed_empty").order_by(w.lo_ms)
    return [Window(*row) for row in tx.conn.execute(query)]


def closed(tx: Tx, key: SourceKey, window: Window) -> list[Window]:
    """What of a range is closed, neighbours drawn together by the database: beyond the claim, there may be much."""
    before = sa.func.lag(w.hi_ms).over(order_by=w.lo_ms)
    begins = sa.case((before == w.lo_ms, 0), else_=1).label("begins")
    is_closed = w.state.in_(("closed", "presumed_empty"))
    tiles = sa.select(w.lo_ms, w.hi_ms, begins).where(*_within(key, window), is_closed).subquery()
    island = sa.func.sum(tiles.c.begins).over(order_by=tiles.c.lo_ms).label("island")
    numbered = sa.select(tiles.c.lo_ms, tiles.c.hi_ms, island).subquery()
    drawn = sa.select(sa.func.min(numbered.c.lo_ms), sa.func.max(numbered.c.hi_ms)).group_by(numbered.c.island)
    return sorted(Window(*row) for row in tx.conn.execute(drawn))


class DayWindow(NamedTuple):
    """One window of a source: when it was walked, and what it brought. Instants in ms."""

    id: int
    pass_no: int
    cause: str
    state: str
    reason: str | None
    window: Window
    pages: int
    received: int
    new: int
    quarantined: int
    closed_at: int | None
    accepted_by: str | None
    accepted_at: int | None


def windows_in(tx: Tx, key: SourceKey, window: Window, most: int) -> list[DayWindow]:
    """The windows of all passes that touch a range."""
    columns = (w.id, w["pass"], w.cause, w.state, w.reason, w.lo_ms, w.hi_ms, w.pages, w.received, w.new, w.quarantined)
    query = (
        sa.select(*columns, w.closed_at, w.accepted_by, w.accepted_at)
        .where(w.app_id == key.app_id, w.source == key.source, w.lo_ms < window.hi_ms, w.hi_ms > window.lo_ms)
        .order_by(w.lo_ms, w["pass"])
        .limit(most)
    )
    rows = tx.conn.execute(query).all()
    return [DayWindow._make((*row[:5], Window(row[5], row[6]), *row[7:])) for row in rows]


def _within(key: SourceKey, window: Window) -> tuple[sa.ColumnElement[bool], ...]:
    of_first_pass = (w.app_id == key.app_id, w.source == key.source, w["pass"] == 1, w.cause != "before_first_contact")
    return *of_first_pass, w.lo_ms < window.hi_ms, w.hi_ms > window.lo_ms
