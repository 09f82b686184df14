"""Keeps the index over what was said up with the archive, behind the ingest, which it never slows down.

Triggers put every stored page into `search_queue` within its own transaction. So the queue is exactly what the index
lacks, whatever commits late.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence, Set
from contextlib import nullcontext
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archiver.errors import DatabaseUnavailable
from archiver.store import troubles
from archiver.store.engine import Tx
from archiver.store.schema import (
    message_bodies,
    message_revisions,
    messages,
    pages,
    revision_bodies,
    search_queue,
    search_texts,
)
from archiver.store.search.text import bigrams, parts, searchable

QUEUED = sa.select(search_queue.c.page_id)
SEARCH_INDEX = sa.Table(
    "search_index", sa.MetaData(), sa.Column("rowid", sa.Integer), sa.Column("search_index", sa.Text)
)
"""SQLite's own; PostgreSQL has an index on search_texts."""

_TEXT_COLUMNS = ("app_id", "msg_id", "revision", "position", "part", "timestamp_ms", "text", "number")
_RACES = 10
_PAGES_AT_ONCE, _MESSAGES_AT_ONCE = 200, 2_000
_MESSAGES_ON_SQLITE = 6_000
"""Every transaction makes a part of its index, to be merged later. A pull waits for one: less than 0.1 s."""


class Lag(NamedTuple):
    """What the index has not come to yet, and since when; `since_ms` is None when that is nothing."""

    pages: int
    messages: int
    since_ms: int | None


def measure_lag(tx: Tx) -> Lag:
    query = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(pages.c.new + pages.c.changed), 0),
        sa.func.min(pages.c.fetched_at),
    )
    row = tx.conn.execute(query.where(pages.c.id.in_(QUEUED))).one()
    return Lag(row[0], int(row[1]), row[2])


def add_pages(tx: Tx) -> int | None:
    """Take the next pages into the index, all in this transaction; gives how many texts that were, None at the end."""
    claimed = _claim(tx)
    if not claimed:
        return None
    indexed = _index_pages(tx, list(dict.fromkeys(page_id for _, page_id in claimed)))
    tx.conn.execute(search_queue.delete().where(search_queue.c.id.in_([number for number, _ in claimed])))
    return indexed


def _index_pages(tx: Tx, page_ids: Sequence[int]) -> int:
    """A page may stand in the queue twice, and another process may be at work on it by its other entry: who comes
    second waits for the first one, and looks again for what the index lacks.
    """
    for _ in range(_RACES):
        texts = [text for query in (_new_bodies(page_ids), _new_revisions(page_ids)) for text in read_texts(tx, query)]
        rows = sorted(
            (app_id, msg_id, revision, position, part, timestamp_ms, piece)
            for app_id, msg_id, revision, position, timestamp_ms, text in texts
            if text
            for part, piece in enumerate(parts(text))
        )
        try:
            with tx.savepoint() if tx.postgres else nullcontext():
                _append(tx, rows)
        except DBAPIError as error:
            if not troubles.is_duplicate(error):
                raise
        else:
            return len(texts)
    raise DatabaseUnavailable("others indexed the same pages again and again between look and write")


def _claim(tx: Tx) -> list[tuple[int, int]]:
    """The oldest entries of the queue; another process that indexes passes them over."""
    count = sa.func.coalesce(pages.c.new + pages.c.changed, 0)
    size = sa.select(count).where(pages.c.id == search_queue.c.page_id).scalar_subquery()
    query = (
        sa.select(search_queue.c.id, search_queue.c.page_id, size)
        .order_by(search_queue.c.id)
        .limit(_PAGES_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    claimed: list[tuple[int, int]] = []
    most = _MESSAGES_AT_ONCE if tx.postgres else _MESSAGES_ON_SQLITE
    total = 0
    for number, page_id, count in tx.conn.execute(query):
        claimed.append((number, page_id))
        total += count
        if total >= most:
            break
    return claimed


_Text = tuple[int, str, int, int, int, str]
"""app_id, msg_id, revision, position, timestamp_ms, and what is searched."""


def _new_bodies(page_ids: Sequence[int]) -> sa.Select[Any]:
    """The bodies that came with these pages and are not indexed: a page comes again when a record was requeued."""
    known = sa.select(search_texts.c.part).where(
        search_texts.c.app_id == messages.c.app_id,
        search_texts.c.msg_id == messages.c.msg_id,
        search_texts.c.revision == 0,
    )
    return bodies_of().where(messages.c.page_id.in_(page_ids), ~known.correlate(messages).exists())


def _new_revisions(page_ids: Sequence[int]) -> sa.Select[Any]:
    """The same of revisions."""
    known = sa.select(search_texts.c.part).where(
        search_texts.c.app_id == message_revisions.c.app_id,
        search_texts.c.msg_id == message_revisions.c.msg_id,
        search_texts.c.revision == message_revisions.c.revision,
    )
    return revisions_of().where(message_revisions.c.page_id.in_(page_ids), ~known.correlate(message_revisions).exists())


def bodies_of() -> sa.Select[Any]:
    return (
        sa.select(
            messages.c.app_id,
            messages.c.msg_id,
            sa.literal_column("0"),
            message_bodies.c.position,
            messages.c.timestamp_ms,
        )
        .add_columns(
            message_bodies.c.text,
            message_bodies.c.filename,
            message_bodies.c.addr,
            sa.cast(message_bodies.c.extra, sa.Text),
        )
        .join_from(
            messages,
            message_bodies,
            sa.and_(message_bodies.c.app_id == messages.c.app_id, message_bodies.c.msg_id == messages.c.msg_id),
        )
        .where(messages.c.withheld.is_(None))
        .execution_options(yield_per=5_000)
    )


def revisions_of() -> sa.Select[Any]:
    same = (revision_bodies.c[name] == message_revisions.c[name] for name in ("app_id", "msg_id", "revision"))
    return (
        sa.select(
            message_revisions.c.app_id,
            message_revisions.c.msg_id,
            message_revisions.c.revision,
            revision_bodies.c.position,
            messages.c.timestamp_ms,
        )
        .add_columns(
            revision_bodies.c.text,
            revision_bodies.c.filename,
            revision_bodies.c.addr,
            sa.cast(revision_bodies.c.extra, sa.Text),
        )
        .join_from(
            message_revisions,
            messages,
            sa.and_(message_revisions.c.app_id == messages.c.app_id, message_revisions.c.msg_id == messages.c.msg_id),
        )
        .join(revision_bodies, sa.and_(*same))
        .where(messages.c.withheld.is_(None))
        .execution_options(yield_per=5_000)
    )


def read_texts(tx: Tx, query: sa.Select[Any]) -> Generator[_Text, None, None]:
    with tx.conn.execute(query) as result:
        for rows in result.partitions():
            for row in rows:
                yield (*row[:5], searchable(*row[5:]))


def _append(tx: Tx, rows: list[tuple[Any, ...]]) -> None:
    """Add rows of search_texts, and their entries in the index."""
    if tx.postgres:
        tx.append(search_texts, _TEXT_COLUMNS[:-1], rows)  # its index makes the bigrams
        return
    numbered = [(*row, number) for row, number in zip(rows, _numbers(tx, [row[5] for row in rows]), strict=True)]
    tx.append(search_texts, _TEXT_COLUMNS, numbered)
    # In their order: for every step back SQLite would begin another part of the index.
    pairs = sorted((number, " ".join(bigrams(text))) for *_, text, number in numbered)
    if pairs:
        tx.conn.exec_driver_sql(_ADD_PAIRS, pairs)


# A statement of one row, again and again: before one of several SQLite has FTS5 write out what it holds, in order to be
# able to take the statement back, and every such part has to be merged later. Three times as fast.
_ADD_PAIRS = "INSERT INTO search_index (rowid, bigrams) VALUES (?, ?)"


# SQLite's index knows of a text nothing but its number, and returns numbers in their order: so they follow the stamps.
_A_STAMP = 2**20
_STAMPS = 2**43 - 4
_RUN_ON_MS = 1_000
"""Where a stamp has more texts than numbers, these run on into the next stamps; so far, they are looked for there."""


def numbers_between(first_ms: int, last_ms: int) -> tuple[int, int]:
    """What the numbers of texts with these stamps lie between: from the first to before the second."""
    return _first_number(first_ms), _first_number(last_ms + _RUN_ON_MS) + 2 * _A_STAMP


def first_of_same(number: Any) -> Any:
    """The first number of the same stamp; in Python or in SQL."""
    return number - number % _A_STAMP


def _first_number(timestamp_ms: int) -> int:
    """Of a stamp; all before 1970 are one, and all from the year 2248 on."""
    return min(max(timestamp_ms, 0), _STAMPS) * _A_STAMP


def _numbers(tx: Tx, stamps_ms: Sequence[int]) -> Iterator[int]:
    """A free number for every text, by its stamp."""
    starts = list(map(_first_number, stamps_ms))
    free = _free_numbers(tx, set(starts))
    for first in starts:
        start = first
        while free[start] == start + _A_STAMP:
            start += _A_STAMP
            free = _free_numbers(tx, {start}) | free
        yield free[start]
        free[start] += 1


def _free_numbers(tx: Tx, starts: Set[int]) -> dict[int, int]:
    """The first free number of these stamps; stamps are identified by their first numbers, here and in the result."""
    highest = tx.conn.execute(_HIGHEST).scalar_one()
    free = {start: start for start in starts if start > highest}  # as nearly all are, when texts come in their order
    sought = sa.func.json_each(json.dumps(sorted(starts - free.keys()))).table_valued("value").c.value
    last = sa.select(sa.func.max(search_texts.c.number)).where(
        search_texts.c.number.between(sought, sought + (_A_STAMP - 1))
    )
    first = sa.func.coalesce(last.correlate_except(search_texts).scalar_subquery() + 1, sought)
    return free | {row[0]: row[1] for row in tx.conn.execute(sa.select(sought, first))}


_HIGHEST = sa.select(sa.func.coalesce(sa.func.max(search_texts.c.number), -1))
