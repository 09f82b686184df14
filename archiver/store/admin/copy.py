"""Moves rows from one archive's database to another's, and says by count and digest whether both hold the same.

What is derived (the search index) is not moved: the target builds it anew, as pages and quarantine say.

A statement reads some rows behind those that it knows: none takes long, however large a table is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.errors import ArchiveIncomplete
from archiver.store import removing
from archiver.store.engine import Store, Tx
from archiver.store.schema import (
    DECIDED,
    DELETED,
    EVIDENCE,
    JUDGED,
    STATE,
    InstantColumn,
    JsonText,
    approvals,
    apps,
    attachment_attempts,
    events,
    expired_before,
    hold_events,
    ledger_head,
    ledger_queue,
    looks,
    message_revisions,
    messages,
    of_kind,
    page_ids,
    pages,
    quarantine,
    request_items,
    requests,
    retention_terms,
    scrubs,
    seals,
    search_queue,
    tombstones,
)

_FOR_EVER = {table.name for table in of_kind(EVIDENCE, DECIDED, DELETED)}
_BLANKED = {
    messages: {"raw", "digest", "sender", "recipient", "conversation", "ext", "lossy", "withheld"},
    pages: {"sha256"},
    seals: {"seeds"},
    attachment_attempts: {"reason"},
}
"""What an erasure or an expiry changes of rows that stay; triggers look at what a message and a page become."""
_OF_PERSONS = (looks, requests, approvals, hold_events, retention_terms)
_ROWS = 500
Row = tuple[Any, ...]
Table = sa.Table
_QUEUE = (pages, quarantine)
_FIRST = (apps, requests, request_items, approvals, expired_before, tombstones)
_LAST = (events, *_QUEUE, ledger_queue, ledger_head)
_OTHERS = (*_FIRST, *_LAST, scrubs)
TABLES = [
    *_FIRST,
    *(table for table in of_kind(EVIDENCE, DECIDED, DELETED, JUDGED, STATE) if table not in _OTHERS),
    *_LAST,
]
"""First comes what allows deletion, so that the target may follow it. Last come events, which are let go of where the
message is there; those that have the target's index take in what they brought: by then it is there; and behind all that
triggers queue for the ledger what they have queued, which is then as it was in the source. What a scrub has looked at
is no property of a copy."""


class Sum(NamedTuple):
    """How many rows a table has, and what is in them; the order of rows does not matter."""

    rows: int
    digest: str


def foreign_apps(source: Tx, target: Tx) -> list[str]:
    """Apps that the target knows, and the source does not know under this number: it is another archive."""
    ours = {row.id: row.name for row in source.conn.execute(sa.select(apps))}
    return [row.name for row in target.conn.execute(sa.select(apps)) if ours.get(row.id) != row.name]


def has_own_tombstones(source: Tx, target: Tx) -> bool:
    """Whether the target has let go of what the source still has."""
    numbers = target.conn.scalars(sa.select(tombstones.c.id).order_by(tombstones.c.id.desc()).limit(1)).all()
    ours = set(source.conn.scalars(sa.select(tombstones.c.id).where(tombstones.c.id.in_(numbers))))
    return bool(set(numbers) - ours)


def follow(source: Tx, target: Store) -> None:
    """Let go in the target of what has expired in the source, and of the content of what was erased there."""
    after = 0
    while True:
        with target.read() as theirs:
            t = tombstones.c
            query = sa.select(t.id, t.app_id, t.page_id, t.msg_id, t.kind)
            stones = theirs.conn.execute(
                query.where(tombstones.c.id > after).order_by(tombstones.c.id).limit(_ROWS)
            ).all()
            expired = {stone.page_id for stone in stones if stone.msg_id is None or stone.kind == "expired"}
            there = {
                tuple(row)
                for table in (messages, message_revisions)
                for row in theirs.conn.execute(
                    sa.select(table.c.app_id, table.c.msg_id).where(table.c.page_id.in_(expired))
                )
            }
        if not stones:
            return
        key = sa.tuple_(messages.c.app_id, messages.c.msg_id)
        kept = {tuple(row) for row in source.conn.execute(sa.select(*key.clauses).where(key.in_(sorted(there))))}
        gone = there - kept
        erased = {(stone.app_id, stone.msg_id) for stone in stones if stone.msg_id and stone.kind == "erased"}
        with target.write(lock="exclusive") as theirs:
            for app_id in {one[0] for one in gone | erased}:
                removing.content(theirs, app_id, sorted(msg_id for its, msg_id in erased if its == app_id))
                removing.rows(theirs, app_id, sorted(msg_id for its, msg_id in gone if its == app_id))
        after = stones[-1].id


def batches(tx: Tx, table: Table) -> Generator[Sequence[Row], None, None]:
    """All rows, some at a time, within the transaction's snapshot."""
    yield from _in_order(tx, table, [_plain(column) for column in table.columns])


def _in_order(tx: Tx, table: Table, columns: list[Any]) -> Generator[Sequence[Row], None, None]:
    key, names = list(table.primary_key), [column.name for column in columns]
    at = [names.index(column.name) for column in key]
    query = sa.select(*columns).order_by(*key).limit(_ROWS)
    rows = tx.conn.execute(query).all()
    while rows:
        yield [tuple(row) for row in rows]
        if len(rows) < _ROWS:
            return
        last = [sa.literal(rows[-1][place], column.type) for place, column in zip(at, key, strict=True)]
        rows = tx.conn.execute(query.where(sa.tuple_(*key) > sa.tuple_(*last))).all()


def _plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """JSON as its text: read as values, its numbers would lose digits."""
    return sa.cast(column, sa.Text).label(column.name) if column.type is JsonText else column


def is_empty(tx: Tx, table: Table) -> bool:
    return tx.conn.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is None


def put(tx: Tx, table: Table, rows: Sequence[Row], *, fresh: bool) -> int:
    """Add the rows that are missing, and bring up to date what may change; gives how many that were.

    `fresh`: the table was empty when the copy began, and nobody else writes.
    """
    there = {} if fresh else _there(tx, table, rows)
    missing = [row for row in rows if _key(table, row) not in there]
    changed = [
        row for row in rows if (old := there.get(_key(table, row))) and _content(table, old) != _content(table, row)
    ]
    if table.name in _FOR_EVER and not all(_is_blanked(table, there[_key(table, row)], row) for row in changed):
        raise ArchiveIncomplete(
            f"{table.name}: the target holds other rows under the same keys; it is not a copy of this archive",
            hint="copy into an empty database",
        )
    for row in changed:
        values = dict(zip(table.columns.keys(), row, strict=True))
        tx.conn.execute(table.update().where(_is(table, row)).values(values))
    if missing:
        columns = table.columns.keys()
        if table in _OF_PERSONS and tx.postgres:  # as they are, and not as ours
            tx.conn.exec_driver_sql("SET LOCAL archiver.copying = 'on'")
        tx.append(table, columns, [written(tx, table, columns, row) for row in missing])
    if table is pages:  # of a file that was kept: it counts nothing, and no trigger sees it
        kept = [{"page_id": row[0]} for row in missing if dict(zip(columns, row, strict=True))["fence"] == 0]
        if kept:
            tx.conn.execute(search_queue.insert(), kept)
    if table is quarantine:
        _queue_requeued(tx, [dict(zip(table.columns.keys(), row, strict=True)) for row in missing])
    return len(missing) + len(changed)


def _queue_requeued(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """The trigger is on what becomes resolved, and these come so; their messages lie on pages that brought nothing."""
    queued = [{"page_id": row["page_id"]} for row in rows if row["resolved_at"] is not None]
    if queued:
        tx.conn.execute(search_queue.insert(), queued)


def prune(source: Tx, target: Store, table: Table) -> None:
    """Take out of the target what the source has no more: of state, and of events what announced messages.

    Nothing that writes waits for the other side meanwhile: a server ends a transaction that does nothing.
    """
    if table.name in _FOR_EVER and table is not events:
        return
    key = sa.tuple_(*table.primary_key)
    gone: list[list[Row]] = []
    with target.read() as theirs, closing(_in_order(theirs, table, list(table.primary_key))) as batches:
        for keys in batches:
            ours = {tuple(row) for row in source.conn.execute(sa.select(*table.primary_key).where(key.in_(keys)))}
            gone.append([row_key for row_key in keys if row_key not in ours])
    for keys in filter(None, gone):
        with target.write() as theirs:
            theirs.conn.execute(table.delete().where(key.in_(keys)))


def total(tx: Tx, table: Table) -> Sum:
    """Read a whole table back."""
    count, digest = 0, 0
    for rows in batches(tx, table):
        count += len(rows)
        for row in rows:
            whole = hashlib.sha256(repr(_content(table, row)).encode("utf-8", "backslashreplace")).digest()
            digest = (digest + int.from_bytes(whole)) % 2**256
    return Sum(count, f"{digest:064x}")


def go_on_counting(store: Store) -> None:
    """PostgreSQL numbers rows itself: from here on behind those that were brought along."""
    if store.engine.dialect.name != "postgresql":
        return
    with store.write() as tx:
        for table in TABLES:
            name = (
                tx.conn.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, "id"))) if "id" in table.c else None
            )
            name = page_ids.name if table.name == "pages" else name
            if name is not None:
                highest = sa.select(sa.func.greatest(sa.func.max(table.c.id), 1)).scalar_subquery()
                known = sa.exists(sa.select(table.c.id))
                tx.conn.execute(sa.select(sa.func.setval(name, highest, known)))


def _there(tx: Tx, table: Table, rows: Sequence[Row]) -> dict[Row, Row]:
    keys = [_key(table, row) for row in rows]
    query = sa.select(*map(_plain, table.columns)).where(sa.tuple_(*table.primary_key).in_(keys))
    return {_key(table, row): row for row in map(tuple, tx.conn.execute(query))}


def _is_blanked(table: Table, old: Row, new: Row) -> bool:
    """Whether a row differs only by what an erasure or an expiry may change of it."""
    differing = {
        name
        for name, before, after in zip(table.columns.keys(), _content(table, old), _content(table, new), strict=True)
        if before != after
    }
    fields = dict(zip(table.columns.keys(), new, strict=True))
    is_blank = {messages: fields.get("withheld") is not None, pages: fields.get("sha256") == ""}
    return differing <= _BLANKED.get(table, set()) and is_blank.get(table, True)


def _key(table: Table, row: Row) -> Row:
    names = table.columns.keys()
    return tuple(row[names.index(column.name)] for column in table.primary_key)


def _is(table: Table, row: Row) -> sa.ColumnElement[bool]:
    return sa.and_(*(column == value for column, value in zip(table.primary_key, _key(table, row), strict=True)))


def _content(table: sa.Table, row: Row) -> Row:
    """What both databases must agree on: their JSON differs in spaces, order and the writing of numbers."""
    return tuple(_agreed(column, value) for column, value in zip(table.columns, row, strict=True))


def _agreed(column: sa.Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if column.type is JsonText:
        content = json.loads(value, parse_int=_number, parse_float=_number, parse_constant=str)
        return json.dumps(content, sort_keys=True)
    if isinstance(value, bool):
        return int(value)
    if isinstance(column.type, sa.Double):
        return float(value)
    return bytes(value) if isinstance(value, memoryview) else value


def _number(text: str) -> str:
    return f"{Decimal(text).normalize():e}"


def written(tx: Tx, table: Table, columns: Sequence[str], row: Row) -> Row:
    """As `append` takes it, from instants in ms and JSON as text."""
    types = (table.columns[name].type for name in columns)
    return tuple(
        value if value is None else _written(tx, of_type, value) for of_type, value in zip(types, row, strict=True)
    )


def _written(tx: Tx, of_type: Any, value: Any) -> Any:
    if isinstance(of_type, InstantColumn):
        return tx.given.instant(value)
    return tx.given.json(value) if of_type is JsonText else value
