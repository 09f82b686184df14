"""Rows that others may be adding too: what is missing is appended, and one bad row does not keep its neighbours out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archiver.errors import DatabaseUnavailable
from archiver.model import Message
from archiver.store import troubles
from archiver.store.engine import Tx

_RACES = 10
_Row = TypeVar("_Row")


class Provenance(NamedTuple):
    """Where records come from: whose they are, and when they came."""

    app_id: int
    archived_ms: int
    of_stored_pages: bool = False
    """Their pages are stored already, so that none of their rows may be deleted again."""


Arrived = tuple[str, int, Message]
"""A message between its id, by which it is sorted, and the page that brought it."""


def append_missing(
    tx: Tx,
    missing: Callable[[list[_Row]], list[_Row]],
    write: Callable[[list[_Row]], None],
    take_back: Callable[[list[_Row]], None] | None,
) -> list[_Row]:
    """Append what is `missing` beside the rows that this has appended already; gives those rows.

    `take_back`: deletes rows where that is cheaper than a savepoint; None where nothing may be deleted.

    Where another writer was faster with one of them, what is missing is looked for again. Parts may be there by then,
    as their savepoints are over: they are this transaction's own, and nobody else's.
    """
    mine: list[_Row] = []
    for _ in range(_RACES):
        try:
            _append(tx, missing(mine), write, take_back, mine)
        except DBAPIError as error:
            if not troubles.is_duplicate(error):
                raise
        else:
            return mine
    raise DatabaseUnavailable("other writers stored the same rows again and again between look and write")


def _append(
    tx: Tx,
    fresh: list[_Row],
    write: Callable[[list[_Row]], None],
    take_back: Callable[[list[_Row]], None] | None,
    taken: list[_Row],
) -> None:
    """Append rows; one that the database refuses is isolated by halving, so that its neighbours stay.

    Those that the database took are added to `taken`. A savepoint undoes what was written before the refusal. SQLite
    would put by every page of an index for it, half as much as it writes in all; so there `take_back` deletes it.
    """
    if not fresh:
        return
    try:
        with tx.savepoint() if tx.postgres or take_back is None else nullcontext():
            write(fresh)
    except DBAPIError as error:
        if not troubles.is_data_error(error):
            raise
        if take_back is not None and not tx.postgres:
            take_back(fresh)
        if len(fresh) > 1:
            middle = len(fresh) // 2
            _append(tx, fresh[:middle], write, take_back, taken)
            _append(tx, fresh[middle:], write, take_back, taken)
        return
    taken += fresh


def delete(tx: Tx, tables: Iterable[sa.Table], keys: list[dict[str, Any]]) -> None:
    for table in tables:
        tx.conn.execute(sa.delete(table).where(*(table.c[name] == sa.bindparam(name) for name in keys[0])), keys)
