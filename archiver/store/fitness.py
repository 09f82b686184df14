"""What a database must be, whatever lies in it: asked before anything else is, and refused with what is needed."""

from __future__ import annotations

import sqlite3
from typing import Any

from archiver.errors import DatabaseRefused

LEAST_SQLITE = (3, 35, 0)
"""RETURNING. Python's own SQLite counts, not that of the command sqlite3."""
_JSON_BUILT_IN = (3, 38, 0)
LEAST_POSTGRES = 130_000
"""FETCH ... WITH TIES, in searches; tried are 13, 14, 15 and 18."""


def check_sqlite() -> None:
    """Raises DatabaseRefused for a library that is too old."""
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        needed = ".".join(map(str, LEAST_SQLITE[:2]))
        raise DatabaseRefused(
            f"this Python's SQLite is {sqlite3.sqlite_version}, and {needed} or later is needed",
            hint="a newer system, the container image, or PostgreSQL: [database] url = postgresql://user@host/database",
        )


def check(connection: Any, *, postgres: bool) -> None:
    """Raises DatabaseRefused for a database, by its driver's connection, in which an archive cannot be."""
    if postgres:
        _check_postgres(connection.info)
    elif lacks := _lacks(connection):
        raise DatabaseRefused(
            f"this Python's SQLite ({sqlite3.sqlite_version}) was built without {lacks}",
            hint="the Python of your distribution, the container image, or PostgreSQL",
        )


def _lacks(connection: Any) -> str | None:
    options = {row[0] for row in connection.execute("PRAGMA compile_options")}
    if "ENABLE_FTS5" not in options:
        return "FTS5"
    has_json = sqlite3.sqlite_version_info >= _JSON_BUILT_IN or "ENABLE_JSON1" in options
    return "JSON1" if "OMIT_JSON" in options or not has_json else None


def _check_postgres(info: Any) -> None:
    if info.server_version < LEAST_POSTGRES:
        raise DatabaseRefused(
            f"this PostgreSQL is {info.server_version // 10_000}, and {LEAST_POSTGRES // 10_000} or later is needed",
            hint="upgrade the server",
        )
    encoding = info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise DatabaseRefused(
            f"the database's encoding is {encoding}, and must be UTF8: it could not hold every message",
            hint="createdb --encoding=UTF8 --locale=C.UTF-8 --template=template0 NAME, and that in [database] url",
        )
