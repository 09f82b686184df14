"""A conversation from its first message to its last, a page of keys at a time: a million messages begin at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import Window
from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.schema import apps, messages

m = messages.c


class Thread(NamedTuple):
    """One conversation of one app."""

    app_id: int
    app: str
    conversation: str


class ConversationKey(NamedTuple):
    """A message's place in its conversation."""

    timestamp_ms: int
    msg_id: str


def find(tx: Tx, text: str, app: str | None) -> list[Thread]:
    """The conversations that somebody can mean by a group's id or by two users joined by a bar."""
    query = sa.select(apps.c.id, apps.c.name).order_by(apps.c.name)
    if app is not None:
        query = query.where(apps.c.id.in_(filters.app_ids(tx, app)))
    found = []
    for app_id, name in tx.conn.execute(query).all():
        for conversation in filters.conversation_ids(text):
            one = (
                sa.select(m.app_id)
                .where(m.app_id == app_id, m.conversation == conversation, m.withheld.is_(None))
                .limit(1)
            )
            if tx.conn.execute(one).first() is not None:
                found.append(Thread(app_id, name, conversation))
                break
    return found


def page(tx: Tx, thread: Thread, window: Window, after: ConversationKey | None, most: int) -> list[ConversationKey]:
    """The next keys within a range of time, in order of time and then of id."""
    query = _of_thread(tx, thread).where(
        m.timestamp_ms >= (window.lo_ms if after is None else after.timestamp_ms), m.timestamp_ms < window.hi_ms
    )
    by_bytes = _by_bytes(tx)
    if after is not None:
        query = query.where(sa.or_(m.timestamp_ms > after.timestamp_ms, by_bytes > after.msg_id))
    rows = tx.conn.execute(query.order_by(m.timestamp_ms, by_bytes).limit(most))
    return [ConversationKey(*row) for row in rows]


def before(tx: Tx, thread: Thread, window: Window, key: ConversationKey | None, most: int) -> list[ConversationKey]:
    """The last keys within a range of time that lie before one, or the last of all; in the same order."""
    query = _of_thread(tx, thread).where(m.timestamp_ms >= window.lo_ms, m.timestamp_ms < window.hi_ms)
    by_bytes = _by_bytes(tx)
    if key is not None:
        earlier = sa.or_(m.timestamp_ms < key.timestamp_ms, by_bytes < key.msg_id)
        query = query.where(m.timestamp_ms <= key.timestamp_ms, earlier)
    rows = tx.conn.execute(query.order_by(m.timestamp_ms.desc(), by_bytes.desc()).limit(most)).all()
    return [ConversationKey(*row) for row in reversed(rows)]


def _of_thread(tx: Tx, thread: Thread) -> sa.Select[Any]:
    if tx.postgres:
        # Without statistics, as after a bulk load, it would collect and sort the whole conversation for each page.
        tx.conn.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
    same = (m.conversation == thread.conversation, m.app_id == thread.app_id, m.withheld.is_(None))
    return sa.select(m.timestamp_ms, m.msg_id).where(*same)


def _by_bytes(tx: Tx) -> sa.ColumnElement[str]:
    return sa.collate(m.msg_id, "C") if tx.postgres else m.msg_id
