"""Events as people read them: marks on messages, texts in events, and how callbacks and record compare."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.errors import UsageError
from archiver.model import Marks
from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import apps, events, iso, messages
from archiver.store.search.text import normal

MOST_READ = 100_000
"""Texts of events have no index: they are read one by one."""

e = events.c
_OF_MESSAGE = (
    sa.select(e.target_msg_id, e.kind, e.msg_id, e.id, e.actor, e.at_ms, e.received_at)
    .where(e.signed == "signed", e.kind.in_(["recall", "edit"]))
    .order_by(e.id)
)


def marks_of(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> dict[str, Marks]:
    """What signed events report of these messages; those without any are left out."""
    query = _OF_MESSAGE.where(e.app_id == app_id, tx.among(e.target_msg_id, list(msg_ids)))
    recalls: dict[str, Any] = {}
    edits: dict[str, set[object]] = {}
    for row in tx.conn.execute(query):
        if row.kind == "edit":
            edits.setdefault(row.target_msg_id, set()).add(row.msg_id or row.id)
        elif (known := recalls.get(row.target_msg_id)) is None or _when(row) < _when(known):
            recalls[row.target_msg_id] = row
    return {msg_id: Marks(*_recalled(recalls.get(msg_id)), len(edits.get(msg_id, ()))) for msg_id in {*recalls, *edits}}


def _when(row: Any) -> tuple[bool, int, int]:
    return row.at_ms is None, row.at_ms or 0, row.id


def _recalled(row: Any) -> tuple[str | None, str | None]:
    if row is None:
        return None, None
    return (None if row.at_ms is None else iso(row.at_ms)) or iso(row.received_at), row.actor


class EventHit(NamedTuple):
    """An event whose text was searched for; the names are those of the view events_readable."""

    app: str
    kind: str
    signed: str
    at: str | None
    actor: str | None
    conversation: str | None
    msg_id: str | None
    target_msg_id: str | None
    text: str
    received_at: str | None


class EventKey(NamedTuple):
    """An event's place in a list, the latest first; without a time at the end."""

    at_ms: int | None
    id: int


def find_events(
    tx: Tx,
    queries: Sequence[str],
    criteria: Filter,
    most: int | None,
    *,
    any_of: bool,
    after: EventKey | None = None,
) -> list[tuple[EventKey, EventHit]]:
    """Events that hold these normalised texts, the latest first, with their places; `after`: behind one of them.

    Raises UsageError where too many would be read.
    """
    conditions = [*_chosen(tx, criteria), e.text.is_not(None)]
    first = sa.select(e.id).where(*conditions).limit(MOST_READ + 1).subquery()
    if int(tx.conn.scalar(sa.select(sa.func.count()).select_from(first)) or 0) > MOST_READ:
        problem = f"there are more than {MOST_READ:,} events, and their texts have no index"
        raise UsageError(problem, hint="--from TIME and --to TIME")
    conditions += [] if after is None else [_behind(after)]
    with closing(_read(tx, conditions, queries, any_of=any_of)) as hits:
        return list(islice(hits, most or None))


def has_any(tx: Tx) -> bool:
    """Whether a callback has ever reported anything."""
    return tx.conn.execute(sa.select(e.id).limit(1)).first() is not None


def _behind(key: EventKey) -> sa.ColumnElement[bool]:
    if key.at_ms is None:
        return sa.and_(e.at_ms.is_(None), e.id < key.id)
    same = sa.and_(e.at_ms == key.at_ms, e.id < key.id)
    return sa.or_(e.at_ms < key.at_ms, same, e.at_ms.is_(None))


def _is_withheld(tx: Tx, row: Any) -> bool:
    """Whether an event reports of a message that is shown nowhere."""
    m, ids = messages.c, [one for one in (row.msg_id, row.target_msg_id) if one is not None]
    query = sa.select(m.msg_id).where(m.app_id == row.app_id, m.msg_id.in_(ids), m.withheld.is_not(None))
    return tx.conn.execute(query.limit(1)).first() is not None


def _chosen(tx: Tx, criteria: Filter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if criteria.app is not None:
        conditions.append(e.app_id.in_(filters.app_ids(tx, criteria.app)))
    if criteria.sender is not None:
        conditions.append(sa.func.lower(e.actor).in_(filters.user_ids(criteria.sender)))
    if criteria.conversation is not None:
        conditions.append(e.conversation.in_(filters.conversation_ids(criteria.conversation)))
    if limits := filters.range_ms(criteria):
        conditions.append(e.at_ms.between(*limits))
    return conditions


def _read(
    tx: Tx, conditions: Sequence[sa.ColumnElement[bool]], queries: Sequence[str], *, any_of: bool
) -> Generator[tuple[EventKey, EventHit], None, None]:
    columns = (e.kind, e.signed, e.at_ms, e.actor, e.conversation, e.msg_id, e.target_msg_id, e.text, e.received_at)
    query = sa.select(e.id, e.app_id, apps.c.name, *columns).join_from(events, apps, apps.c.id == e.app_id)
    latest_first = (e.at_ms.desc().nulls_last(), e.id.desc())  # or they stand first on PostgreSQL, last on SQLite
    matches = any if any_of else all
    rows = query.where(*conditions).order_by(*latest_first).execution_options(yield_per=1_000)
    with tx.conn.execute(rows) as result:
        for row in result:
            said = normal(row.text)
            if matches(one in said for one in queries) and not _is_withheld(tx, row):
                yield EventKey(row.at_ms, row.id), _hit(row)


def _hit(row: Any) -> EventHit:
    at = None if row.at_ms is None else iso(row.at_ms)
    return EventHit(
        *(row.name, row.kind, row.signed, at, row.actor, row.conversation, row.msg_id, row.target_msg_id),
        *(row.text, iso(row.received_at)),
    )


class MessageEvent(NamedTuple):
    """What a callback reported of a message. `text`: of an edit, what it was changed into."""

    kind: str
    signed: str
    at_ms: int | None
    received_at: int
    actor: str | None
    text: str | None


def of_message(tx: Tx, app_id: int, msg_id: str, most: int = 100) -> list[MessageEvent]:
    """The events about a message, whatever their signature, in the order in which they came."""
    columns = (e.kind, e.signed, e.at_ms, e.received_at, e.actor, e.text)
    of_it = sa.and_(e.app_id == app_id, sa.or_(e.target_msg_id == msg_id, e.msg_id == msg_id))
    return [MessageEvent(*row) for row in tx.conn.execute(sa.select(*columns).where(of_it).order_by(e.id).limit(most))]
