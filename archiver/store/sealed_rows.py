"""Rows of other tables that are sealed: which columns, and how a row reads as the content of a leaf.

A row is sealed by its key, a line's end, and the canonical JSON of its columns. Numbers too great for that are texts,
instants are milliseconds, bytes are base64; text is taken as it is, and never a value of jsonb, which respells.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver import entries
from archiver.store.engine import Tx
from archiver.store.schema import (
    anchorings,
    approvals,
    attachments,
    audit_log,
    events,
    evidence_log,
    expired_before,
    hold_conversations,
    hold_events,
    hold_items,
    look_conversations,
    looks,
    quarantine,
    request_items,
    requests,
    retention_terms,
    tombstones,
)
from archiver.store.seals import ROW, Leaf, SealMade, key_text, seal

_EXACT = 2**53


class SealedTable(NamedTuple):
    """A table whose rows are sealed, where `those` holds, and the columns that are part of it.

    `made_at`: when a row was made; of rows that do not say it themselves, when the latest was to which they can belong.
    """

    table: sa.Table
    columns: tuple[sa.Column[Any], ...]
    those: sa.ColumnElement[bool]
    made_at: sa.ColumnElement[int]
    others: bool = False
    """Further rows may be sealed, by who queues them."""

    @property
    def name(self) -> str:
        return self.table.name


def _of(
    table: sa.Table,
    *left_out: str,
    those: sa.ColumnElement[bool] | None = None,
    made_at: sa.ColumnElement[int] | None = None,
) -> SealedTable:
    columns = tuple(column for column in table.columns if column.name not in left_out and not column.primary_key)
    made_at = table.c["at"] if made_at is None else made_at
    return SealedTable(table, columns, sa.true() if those is None else those, made_at)


def _made(parent: sa.Table, of_this: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.select(sa.func.max(parent.c["at"])).where(of_this).correlate_except(parent).scalar_subquery()


_CLAIMS = ("attempts", "next_attempt_at", "fence", "owner", "claimed_at", "lease_until")
TABLES = {
    sealed.name: sealed
    for sealed in (
        _of(audit_log),
        _of(evidence_log),
        _of(looks),
        _of(look_conversations),
        _of(requests),
        _of(approvals),
        _of(request_items, made_at=_made(requests, requests.c.id == request_items.c.request_id)),
        _of(hold_events),
        _of(hold_conversations, made_at=_made(hold_events, hold_events.c.hold_id == hold_conversations.c.hold_id)),
        _of(hold_items, made_at=_made(hold_events, hold_events.c.hold_id == hold_items.c.hold_id)),
        _of(retention_terms),
        _of(expired_before),
        _of(tombstones),
        _of(anchorings, those=anchorings.c.proof.is_not(None)),
        _of(
            *(attachments, *_CLAIMS),
            those=attachments.c.state == "stored",
            made_at=attachments.c.fetched_at,
        ),
        _of(
            *(quarantine, "reason", "seen", "resolved_at", "withheld"),
            those=quarantine.c.page_id == 0,
            made_at=quarantine.c.seen_at,
        ),
        _of(events, those=events.c.kind != "message", made_at=events.c.received_at)._replace(others=True),
    )
}
"""Of attachments those that are stored; of quarantine the damaged files, which are part of no page. Of
events that announce messages those that the comparison keeps."""


def content(sealed: SealedTable, row: Sequence[Any]) -> bytes:
    """What a leaf commits to: key and columns of a row that `read` gave."""
    width = len(sealed.table.primary_key)
    columns = {column.name: _plain(value) for column, value in zip(sealed.columns, row[width:], strict=True)}
    return entries.canonical([_plain(value) for value in row[:width]]) + b"\n" + entries.canonical(columns)


def _plain(value: Any) -> Any:
    match value:
        case bytes() | memoryview():
            return base64.b64encode(value).decode("ascii")
        case int() if not -_EXACT < value < _EXACT:
            return str(value)
        case float():
            return repr(value)
        case _:
            return value


def read(tx: Tx, sealed: SealedTable, keys: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The rows with these keys, as far as they are there and to be sealed, by `key_text`."""
    rows_by_key: dict[str, Sequence[Any]] = {}
    key = list(sealed.table.primary_key)
    for first in range(0, len(keys), 200):
        some = [tuple(one) for one in keys[first : first + 200]]
        which = key[0].in_([one[0] for one in some]) if len(key) == 1 else sa.tuple_(*key).in_(some)
        those = sa.true() if sealed.others else sealed.those
        for row in tx.conn.execute(sa.select(*key, *sealed.columns).where(which, those)):
            rows_by_key[key_text(row[: len(key)])] = tuple(row)
    return rows_by_key


def keys_behind(tx: Tx, sealed: SealedTable, after: Sequence[Any] | None, most: int) -> list[tuple[Any, ...]]:
    """Keys of rows that are to be sealed, some in their order behind one of them."""
    key = list(sealed.table.primary_key)
    query = sa.select(*key).where(sealed.those).order_by(*key).limit(most)
    if after is not None:
        query = query.where(sa.tuple_(*key) > sa.tuple_(*map(sa.literal, after)))
    return [tuple(row) for row in tx.conn.execute(query)]


def times(tx: Tx, sealed: SealedTable, keys: Sequence[Sequence[Any]]) -> list[tuple[tuple[Any, ...], int | None]]:
    """When the rows with these keys were made (ms)."""
    found: list[tuple[tuple[Any, ...], int | None]] = []
    key = list(sealed.table.primary_key)
    for first in range(0, len(keys), 200):
        some = [tuple(one) for one in keys[first : first + 200]]
        which = key[0].in_([one[0] for one in some]) if len(key) == 1 else sa.tuple_(*key).in_(some)
        rows = tx.conn.execute(sa.select(*key, sealed.made_at).where(which))
        found += [(tuple(row[:-1]), row[-1]) for row in rows]
    return found


class RowsMade(NamedTuple):
    """A seal over rows, and their keys in the order of its leaves."""

    made: SealMade
    keys: list[list[Any]]


def seal_rows(tx: Tx, sealed: SealedTable, keys: Sequence[Sequence[Any]]) -> RowsMade:
    """Commit to the rows with these keys; those that are not there are left out."""
    rows = read(tx, sealed, keys)
    order = [text for text in dict.fromkeys(map(key_text, keys)) if text in rows]
    leaves = list(_leaves(sealed, [rows[text] for text in order]))
    return RowsMade(seal(leaves), [json.loads(text) for text in order])


def _leaves(sealed: SealedTable, rows: Sequence[Sequence[Any]]) -> Iterator[Leaf]:
    for position, row in enumerate(rows):
        yield position, ROW, content(sealed, row)
