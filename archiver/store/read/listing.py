"""Messages of somebody or of a conversation without a text to search for, the latest first, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import Archived, Window
from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.read.conversations import ConversationKey, Thread, before, page
from archiver.store.read.filters import Filter
from archiver.store.read.messages import readable
from archiver.store.schema import apps, messages

m = messages.c
_ALL_TIME = Window(-(2**63), 2**63 - 1)


class ListKey(NamedTuple):
    """A message's place in such a list."""

    timestamp_ms: int
    app_id: int
    msg_id: str


def keys(tx: Tx, criteria: Filter, after: ListKey | None, most: int) -> list[ListKey]:
    """The next keys of the messages that fit a filter. Raises UsageError for an app that is not in the archive.

    By the indexes on senders, recipients and conversations: the filter names one of them.
    """
    msg_id = sa.collate(m.msg_id, "C") if tx.postgres else m.msg_id
    query = sa.select(m.timestamp_ms, m.app_id, m.msg_id).where(*filters.of_messages(tx, criteria))
    if after is not None:
        further = sa.tuple_(m.app_id, msg_id) > sa.tuple_(sa.literal(after.app_id), sa.literal(after.msg_id))
        query = query.where(m.timestamp_ms <= after.timestamp_ms)
        query = query.where(sa.or_(m.timestamp_ms < after.timestamp_ms, further))
    rows = tx.conn.execute(query.order_by(m.timestamp_ms.desc(), m.app_id, msg_id).limit(most))
    return [ListKey(*row) for row in rows]


def archived(tx: Tx, places: Iterable[ListKey]) -> dict[tuple[int, str], Archived]:
    """These messages for people, by app and id; one that nobody may read any more is left out."""
    names = {row.id: row.name for row in tx.conn.execute(sa.select(apps.c.id, apps.c.name))}
    ids: dict[int, dict[str, None]] = {}
    for place in places:
        ids.setdefault(place.app_id, {})[place.msg_id] = None
    return {
        (app_id, one.message.msg_id): one
        for app_id, msg_ids in ids.items()
        for one in readable(tx, app_id, names[app_id], there(tx, app_id, list(msg_ids)))
    }


def there(tx: Tx, app_id: int, msg_ids: list[str]) -> list[str]:
    """Those of these messages that may be read."""
    query = sa.select(m.msg_id).where(m.app_id == app_id, m.withheld.is_(None), tx.among(m.msg_id, msg_ids))
    known = set(tx.conn.scalars(query))
    return [msg_id for msg_id in msg_ids if msg_id in known]


def beside(tx: Tx, place: ListKey, conversation: str) -> tuple[ListKey | None, ListKey | None]:
    """The message before and the one after it in its conversation."""
    thread = Thread(place.app_id, "", conversation)
    key = ConversationKey(place.timestamp_ms, place.msg_id)
    earlier, later = before(tx, thread, _ALL_TIME, key, 1), page(tx, thread, _ALL_TIME, key, 1)
    first, last = (
        ListKey(one[0].timestamp_ms, place.app_id, one[0].msg_id) if one else None for one in (earlier, later)
    )
    return first, last
