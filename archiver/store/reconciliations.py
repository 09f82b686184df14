"""Compares announced messages with the record, an hour at a time: a report, which changes nothing in the record.

By ids alone, which are read in bounded portions: on a cluster, messages lie elsewhere than events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import HOUR_MS, MINUTE_MS
from archiver.store import ledger, seals
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.schema import events, messages, reconciliations, watermarks

_SETTLED_MS, _GIVEN_UP_MS = 10 * MINUTE_MS, 72 * HOUR_MS
_IDS_AT_ONCE = 1_000

e, r, m = events.c, reconciliations.c, messages.c
_ANNOUNCES = sa.and_(e.kind == "message", e.signed == "signed", e.msg_id.is_not(None))


class Comparison(NamedTuple):
    """What came of an hour. `deleted`: message events that were there for this comparison alone."""

    hour_ms: int
    both: int = 0
    only_file: int = 0
    only_callback: int = 0
    recalled: int = 0
    chatroom: int = 0
    cmd: int = 0
    deleted: int = 0
    outcome: str = "compared"


def next_hour(tx: Tx, key: SourceKey) -> int | None:
    """The hour that is to be compared next; None before the first event.

    The first one is that after the first event: half an hour of callbacks would be compared with all of the record.
    """
    last: int | None = tx.conn.scalar(sa.select(sa.func.max(r.hour_ms)).where(*_of(key)))
    if last is not None:
        return last + HOUR_MS
    first: int | None = tx.conn.scalar(sa.select(sa.func.min(e.received_at)).where(e.app_id == key.app_id))
    return None if first is None else first - first % HOUR_MS + HOUR_MS


def compare_next(tx: Tx, key: SourceKey) -> Comparison | None:
    """Compare the next hour, if pass 1 has closed it; None where none is due.

    A second process that does the same waits for the watermark's row, and finds it done.
    """
    mark = sa.select(watermarks.c.complete_until_ms).where(
        watermarks.c.app_id == key.app_id, watermarks.c.source == key.source
    )
    complete_until_ms = tx.conn.scalar(mark.with_for_update() if tx.postgres else mark)
    hour_ms = next_hour(tx, key)
    if hour_ms is None or complete_until_ms is None:
        return None
    end_ms, now_ms = hour_ms + HOUR_MS, tx.now_ms()
    if complete_until_ms >= end_ms and now_ms >= end_ms + _SETTLED_MS:
        result = _compared(tx, key, hour_ms)
    elif now_ms >= end_ms + _GIVEN_UP_MS:
        deleted = _delete(tx, key.app_id, hour_ms, _in_record(tx, key.app_id, _announced(tx, key.app_id, hour_ms)))
        result = Comparison(hour_ms, deleted=deleted, outcome="not compared")
    else:
        return None
    values = result._asdict() | {"app_id": key.app_id, "source": key.source, "compared_at": now_ms}
    tx.conn.execute(reconciliations.insert().values(values))
    return result


def delete_late(tx: Tx, key: SourceKey) -> int:
    """Delete events that announced, after their hour was compared, what was in the record by then.

    What was not stays, also when its record comes later.
    """
    lately = r.hour_ms > tx.now_ms() - 2 * _GIVEN_UP_MS
    rows = tx.conn.execute(sa.select(r.hour_ms, r.compared_at).where(*_of(key), lately)).all()
    deleted = 0
    for hour_ms, compared_ms in rows:
        ids = _announced(tx, key.app_id, hour_ms)
        if there := _in_record(tx, key.app_id, ids, before_ms=compared_ms):
            count = _delete(tx, key.app_id, hour_ms, there)
            more = reconciliations.update().where(*_of(key), r.hour_ms == hour_ms)
            tx.conn.execute(more.values(deleted=r.deleted + count))
            deleted += count
    return deleted


def _of(key: SourceKey) -> tuple[sa.ColumnElement[bool], ...]:
    return r.app_id == key.app_id, r.source == key.source


def _compared(tx: Tx, key: SourceKey, hour_ms: int) -> Comparison:
    app_id, apart = key.app_id, _announced(tx, key.app_id, hour_ms)
    there = _in_record(tx, app_id, apart)
    ordinary = [msg_id for msg_id, of in apart.items() if of is None]
    missing = [msg_id for msg_id in ordinary if msg_id not in there]
    recalled = _recalled(tx, app_id, missing)
    only_callback = [msg_id for msg_id in missing if msg_id not in recalled]
    _seal(tx, app_id, hour_ms, only_callback)
    return Comparison(
        hour_ms,
        both=len(ordinary) - len(missing),
        only_file=_unannounced(tx, app_id, hour_ms),  # before events are deleted
        only_callback=len(only_callback),
        recalled=len(recalled),
        chatroom=sum(of == "chatroom" for of in apart.values()),
        cmd=sum(of == "cmd" for of in apart.values()),
        deleted=_delete(tx, app_id, hour_ms, there),
    )


def _in_hour(app_id: int, hour_ms: int) -> sa.ColumnElement[bool]:
    return sa.and_(e.app_id == app_id, _ANNOUNCES, e.at_ms >= hour_ms, e.at_ms < hour_ms + HOUR_MS)


def _announced(tx: Tx, app_id: int, hour_ms: int) -> dict[str, str | None]:
    """The ids that were announced for an hour, and as what they are counted apart."""
    query = sa.select(e.msg_id, sa.func.max(e.apart)).where(_in_hour(app_id, hour_ms)).group_by(e.msg_id)
    return {row[0]: row[1] for row in tx.conn.execute(query)}


def _in_record(tx: Tx, app_id: int, ids: Iterable[str], *, before_ms: int | None = None) -> set[str]:
    """Those that are archived, and were at that time."""
    conditions = [m.app_id == app_id] + ([] if before_ms is None else [m.archived_at <= before_ms])
    return {
        msg_id
        for some in _portions(ids)
        for msg_id in tx.conn.scalars(sa.select(m.msg_id).where(*conditions, tx.among(m.msg_id, some)))
    }


def _recalled(tx: Tx, app_id: int, ids: Iterable[str]) -> set[str]:
    recalls = sa.and_(e.app_id == app_id, e.kind == "recall", e.signed == "signed")
    return {
        msg_id
        for some in _portions(ids)
        for msg_id in tx.conn.scalars(sa.select(e.target_msg_id).where(recalls, tx.among(e.target_msg_id, some)))
        if msg_id is not None
    }


def _unannounced(tx: Tx, app_id: int, hour_ms: int) -> int:
    """How many messages of the hour no signed callback announced; rooms are left out, as they are on the other side."""
    stamped = sa.and_(m.sent_at >= hour_ms, m.sent_at < hour_ms + HOUR_MS)
    chat = sa.or_(m.chat_type.is_(None), m.chat_type != "chatroom")
    ids = tx.conn.scalars(sa.select(m.msg_id).where(m.app_id == app_id, stamped, chat)).all()
    lacking = 0
    for some in _portions(ids):
        known = sa.select(e.msg_id).where(e.app_id == app_id, _ANNOUNCES, tx.among(e.msg_id, some)).distinct()
        lacking += len(some) - len(tx.conn.scalars(known).all())
    return lacking


def _delete(tx: Tx, app_id: int, hour_ms: int, ids: Iterable[str]) -> int:
    """Delete what announced messages that are there; gives how many events that were."""
    deleted = 0
    for some in _portions(ids):
        gone = events.delete().where(_in_hour(app_id, hour_ms), tx.among(e.msg_id, some)).returning(e.id)
        deleted += len(tx.conn.scalars(gone).all())
    return deleted


def _seal(tx: Tx, app_id: int, hour_ms: int, ids: Sequence[str]) -> None:
    """What stays is sealed where there is a ledger: it proves when we had it, not who sent it."""
    if not ids or ledger.head(tx) is None:
        return
    for some in _portions(ids):
        kept = sa.select(e.id).where(_in_hour(app_id, hour_ms), tx.among(e.msg_id, some))
        for event_id in tx.conn.scalars(kept).all():
            seals.enqueue_row(tx, "events", [event_id])


def _portions(ids: Iterable[str]) -> Iterator[list[str]]:
    every = list(ids)
    for first in range(0, len(every), _IDS_AT_ONCE):
        yield every[first : first + _IDS_AT_ONCE]
