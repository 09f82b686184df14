"""Alerts that were sent: since when they stand, when they were sent last, and when they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import alerts, iso

Key = tuple[str, str, str]
"""The alert's name, app and source."""


class News(NamedTuple):
    """An alert that somebody should hear of now; `ended` when it is over."""

    key: Key
    ended: bool
    since: str | None


def news(tx: Tx, standing: Mapping[Key, int | None], repeat_ms: int) -> list[News]:
    """What to send: alerts that are new, or stand and were sent `repeat_ms` ago, or grew, or have ended.

    `standing`: what is wrong now; with a number, only a greater one than before is news.
    """
    now_ms = tx.now_ms()
    known = {(row.name, row.app, row.source): row for row in tx.conn.execute(sa.select(alerts))}
    due = []
    for key, seen in standing.items():
        row = known.get(key)
        if row is None or row.ended_at is not None or row.told_at is None:
            fresh = True
        else:
            # A clock that was set back must not silence an alert for as long.
            rested = not row.told_at <= now_ms < row.told_at + repeat_ms
            fresh = rested and (seen is None or row.seen is None or seen > row.seen)
        if fresh:
            since = now_ms if row is None or row.ended_at is not None else row.since_at
            due.append(News(key, ended=False, since=iso(since)))
    over = (key for key, row in known.items() if key not in standing and row.ended_at is None)
    return due + [News(key, ended=True, since=iso(known[key].since_at)) for key in over]


def lock(tx: Tx) -> None:
    """One process at a time decides what is news."""
    if tx.postgres:
        tx.conn.exec_driver_sql("LOCK TABLE alerts IN SHARE ROW EXCLUSIVE MODE")


def note(tx: Tx, sent: Sequence[News], standing: Mapping[Key, int | None]) -> None:
    """Remember that these are being sent now."""
    now_ms = tx.now_ms()
    for item in sent:
        if item.ended:
            tx.conn.execute(alerts.update().where(_is(item.key)).values(ended_at=now_ms))
            continue
        name, app, source = item.key
        values = {"told_at": now_ms, "seen": standing[item.key], "ended_at": None}
        begun = {"name": name, "app": app, "source": source, "since_at": now_ms}
        since = sa.case(
            (alerts.c.ended_at.is_(None), alerts.c.since_at), else_=sa.literal(now_ms, alerts.c.since_at.type)
        )
        again = {**values, "since_at": since}
        statement = tx.insert(alerts).values(**begun, **values)
        tx.conn.execute(statement.on_conflict_do_update(index_elements=[*alerts.primary_key], set_=again))


def forget(tx: Tx, unsent: Sequence[News]) -> None:
    """These were not sent after all."""
    for item in unsent:
        undone = {"ended_at": None} if item.ended else {"told_at": None}
        tx.conn.execute(alerts.update().where(_is(item.key)).values(**undone))


def _is(key: Key) -> sa.ColumnElement[bool]:
    name, app, source = key
    return sa.and_(alerts.c.name == name, alerts.c.app == app, alerts.c.source == source)
