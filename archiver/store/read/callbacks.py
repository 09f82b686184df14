"""How callbacks stand, by app: what came, what signed it, and how it compares with the record."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS, HOUR_MS
from archiver.store.engine import Tx
from archiver.store.schema import apps, events, reconciliations

e, r = events.c, reconciliations.c
_LEAST_MESSAGES, _TOLERATED = 100, 0.01


class Figures(NamedTuple):
    """Of one app. Counts are those of the last 24 hours, by the database's clock; `gaps`: hours that alarm."""

    last_event_ms: int | None
    unsigned: int
    wrong: int
    wrong_lately: int
    """In the last hour."""
    only_file: int
    only_callback: int
    gaps: int


class ComparedHour(NamedTuple):
    """One comparison."""

    app: str
    source: str
    hour_ms: int
    both: int
    only_file: int
    only_callback: int
    recalled: int
    chatroom: int
    cmd: int
    outcome: str

    def is_gap(self, *, partial: bool) -> bool:
        """Whether more is missing than a hundredth, of enough to say so. `partial`: callbacks lack messages anyway."""
        messages = self.both + self.only_file + self.only_callback
        missing = self.only_callback + (0 if partial else self.only_file)
        return messages >= _LEAST_MESSAGES and missing > messages * _TOLERATED


def figures(tx: Tx, app_id: int, *, partial: bool) -> Figures:
    """How the callbacks of an app stand."""
    now_ms = tx.now_ms()
    last = tx.conn.scalar(sa.select(sa.func.max(e.received_at)).where(e.app_id == app_id))
    compared = hours(tx, app_id, since_ms=now_ms - DAY_MS)
    return Figures(
        last,
        _count(tx, app_id, "unsigned", now_ms - DAY_MS),
        _count(tx, app_id, "wrong", now_ms - DAY_MS),
        _count(tx, app_id, "wrong", now_ms - HOUR_MS),
        sum(hour.only_file for hour in compared),
        sum(hour.only_callback for hour in compared),
        sum(hour.is_gap(partial=partial) for hour in compared),
    )


def _count(tx: Tx, app_id: int, signed: str, since_ms: int) -> int:
    query = sa.select(sa.func.count()).where(e.app_id == app_id, e.signed == signed, e.received_at > since_ms)
    return int(tx.conn.scalar(query) or 0)


_HOURS = sa.select(
    *(apps.c.name, r.source, r.hour_ms, r.both, r.only_file, r.only_callback, r.recalled, r.chatroom, r.cmd),
    r.outcome,
).join_from(reconciliations, apps, apps.c.id == r.app_id)


def hours(
    tx: Tx,
    app_id: int | None = None,
    *,
    since_ms: int | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> list[ComparedHour]:
    """Comparisons, the latest first: those made since a time, or those of hours within a range."""
    query = _HOURS.order_by(r.hour_ms.desc(), apps.c.name, r.source)
    if app_id is not None:
        query = query.where(r.app_id == app_id)
    if since_ms is not None:
        query = query.where(r.compared_at > since_ms)
    if from_ms is not None:
        query = query.where(r.hour_ms >= from_ms)
    if to_ms is not None:
        query = query.where(r.hour_ms < to_ms)
    return [ComparedHour._make(row) for row in tx.conn.execute(query)]


def totals(tx: Tx, *, from_ms: int | None = None, to_ms: int | None = None) -> list[tuple[str, str, str, int]]:
    """App, kind, signature and number of events that are there, by the receiver's clock."""
    query = sa.select(apps.c.name, e.kind, e.signed, sa.func.count()).join_from(events, apps, apps.c.id == e.app_id)
    conditions = [e.received_at >= from_ms] if from_ms is not None else []
    conditions += [e.received_at < to_ms] if to_ms is not None else []
    grouped = query.where(*conditions).group_by(apps.c.name, e.kind, e.signed).order_by(apps.c.name, e.kind, e.signed)
    return [tuple(row) for row in tx.conn.execute(grouped)]


def ever(tx: Tx) -> list[tuple[str, str, str, int]]:
    """The same of all that were ever stored: what was there for a comparison alone included."""
    counts: dict[tuple[str, str, str], int] = {(app, kind, signed): count for app, kind, signed, count in totals(tx)}
    gone: Any = sa.select(apps.c.name, sa.func.sum(r.deleted)).join_from(reconciliations, apps, apps.c.id == r.app_id)
    for app, deleted in tx.conn.execute(gone.group_by(apps.c.name)):
        counts[app, "message", "signed"] = counts.get((app, "message", "signed"), 0) + int(deleted)
    return [(*key, count) for key, count in sorted(counts.items())]
