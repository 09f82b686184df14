"""How many messages a filter lets through, and from when to when they are stamped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import LAST_MS, messages

_AT_ONCE = 5_000


class Span(NamedTuple):
    """Stamps in ms; those beyond the calendar are counted, and not among them."""

    messages: int
    first_ms: int | None
    last_ms: int | None


def span(tx: Tx, criteria: Filter) -> Span:
    """Count; reads all that the filter lets through. Raises UsageError for an app that is not archived."""
    m = messages.c
    meant = sa.case((m.sent_at.is_not(None), m.timestamp_ms))
    query = sa.select(sa.func.count(), sa.func.min(meant), sa.func.max(meant))
    return Span(*tx.conn.execute(query.select_from(messages).where(*filters.of_messages(tx, criteria))).one())


def limits(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> list[int]:
    """The first and the last stamp of these messages, some at a time (ms); those beyond the calendar are left out."""
    m, stamps = messages.c, list[int]()
    for first in range(0, len(msg_ids), _AT_ONCE):
        those = tx.among(m.msg_id, list(msg_ids[first : first + _AT_ONCE]))
        query = sa.select(sa.func.min(m.timestamp_ms), sa.func.max(m.timestamp_ms))
        row = tx.conn.execute(query.where(m.app_id == app_id, those, m.sent_at.is_not(None))).one()
        stamps += [ms for ms in row if ms is not None]
    return stamps


def has_between(tx: Tx, app_id: int, from_ms: int, to_ms: int) -> bool:
    """Whether a message of an app is there that is stamped in this half-open range of the calendar."""
    m = messages.c
    first, last = max(from_ms, 0), min(to_ms - 1, LAST_MS)
    query = sa.select(m.msg_id).where(m.app_id == app_id, m.sent_at.between(first, last), m.withheld.is_(None))
    return first <= last and tx.conn.execute(query.limit(1)).first() is not None
