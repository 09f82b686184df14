"""What a calendar of coverage is drawn from, beside the claim: hours without a file, and what is closed ahead of it."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import Window
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.schema import windows
from archiver.timeline import without

w = windows.c


def presumed_empty(tx: Tx, key: SourceKey, window: Window) -> list[Window]:
    """Hours within a range for which no file came, while later ones did."""
    query = sa.select(w.lo_ms, w.hi_ms).where(*_within(key, window), w.state == "presumed_empty").order_by(w.lo_ms)
    return [Window(*row) for row in tx.conn.execute(query)]


def closed(tx: Tx, key: SourceKey, window: Window) -> list[Window]:
    """What of a range is closed, as far as windows were planned: all but the windows that are not.

    Beyond the claim there may be a year of closed windows, and few that keep it from going on. What no window covers is
    a hole of the claim, and is not looked for here.
    """
    ends_ms = tx.conn.scalar(sa.select(sa.func.max(w.hi_ms)).where(*_within(key, window)))
    if ends_ms is None:
        return []
    is_open = w.state.not_in(("closed", "presumed_empty"))
    query = sa.select(w.lo_ms, w.hi_ms).where(*_within(key, window), is_open).order_by(w.lo_ms)
    others = [Window(*row) for row in tx.conn.execute(query)]
    return list(without(Window(window.lo_ms, min(window.hi_ms, ends_ms)), others))


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
