"""Many rows into a table in the driver's fastest way: binary COPY on PostgreSQL, many rows a statement on SQLite.

COPY takes values as the server keeps them, which spares both sides work: bytes without their hex, instants as numbers,
JSON behind a version. So every kind of database has its `Encoders`, which say what values it takes.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from archiver.store.schema import LAST_MS, iso

_ROWS_AT_ONCE = (200, 20, 1)
"""SQLite lets other threads in before every statement, and then waits for them: few statements, not one a row. But few
different ones: the driver keeps 128 of them prepared, and a long one takes half a megabyte."""
_EPOCH_2000_MS = 946_684_800_000
_JSONB_VERSION = b"\x01"
_SENT_AS = {
    "BIGINT": "int8",
    "BOOLEAN": "bool",
    "BYTEA": "bytea",
    "DOUBLE PRECISION": "float8",
    "INTEGER": "int4",
    "JSONB": "bytea",
    "TEXT": "text",
    "TIMESTAMP WITH TIME ZONE": "int8",
}
"""PostgreSQL's types, and as what their values are sent: the formats are those of its `..._recv` functions. The driver
cuts an int4 to 32 bits without a word, so columns of that type hold nothing but our own small counts."""


class Encoders(NamedTuple):
    """What `append` is given for an instant in ms (None outside 1970 to 9999), and for JSON text."""

    instant: Callable[[int], Any]
    json: Callable[[str], Any]


def _micros_since_2000(ms: int) -> int | None:
    return (ms - _EPOCH_2000_MS) * 1000 if 0 <= ms <= LAST_MS else None


SQLITE = Encoders(iso, str)
POSTGRES = Encoders(_micros_since_2000, lambda text: _JSONB_VERSION + text.encode())


# Where it has no adapter, sqlite3 looks for one in the value itself, and that takes longer than the value.
sqlite3.register_adapter(bytes, bytearray)
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(type(None), lambda nothing: nothing)


def copy(cursor: Any, table: sa.Table, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Add rows by psycopg's `cursor`. What a row does not tell at its end is NULL."""
    from psycopg.types.string import BytesBinaryDumper  # loaded with the first connection, and only then

    # By default bytes go by DB-API's Binary, which is written in Python; this one is in C.
    cursor.adapters.register_dumper(bytes, BytesBinaryDumper)
    names, width = ", ".join(f'"{name}"' for name in columns), len(columns)
    with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN WITH (FORMAT binary)") as copying:
        copying.set_types(_types(table, tuple(columns)))
        for row in rows:
            copying.write_row(row if len(row) == width else row + (None,) * (width - len(row)))


@cache
def _types(table: sa.Table, columns: tuple[str, ...]) -> list[str]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [_SENT_AS[table.columns[name].type.compile(dialect=dialect)] for name in columns]


def insert(cursor: Any, table: sa.Table, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Add rows by sqlite3's `cursor`. What a row does not tell at its end is NULL, and costs nothing."""
    alike: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        some = alike[len(row)]
        some.append(row)
        if len(some) == _ROWS_AT_ONCE[0]:
            _insert_alike(cursor, table, columns[: len(row)], some)
            some.clear()
    for width, some in alike.items():
        for size in _ROWS_AT_ONCE:
            while len(some) >= size:
                _insert_alike(cursor, table, columns[:width], some[:size])
                del some[:size]


def _insert_alike(cursor: Any, table: sa.Table, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join([f"({', '.join('?' * len(columns))})"] * len(rows))
    # The callers undo more than a statement when it fails. OR FAIL spares undoing the statement by itself, for
    # which SQLite would put by every page of an index that it touches: more than all else that it writes.
    cursor.execute(f"INSERT OR FAIL INTO {table.name} ({names}) VALUES {marks}", list(chain.from_iterable(rows)))  # noqa: S608 - our own names
