"""Takes what was deleted out of the database's files as well: in a maintenance window, for it needs the tables alone.

`secure_delete` overwrites what a transaction deletes, and yet bytes stay behind: in the segments of the search index,
in pages of an index that were balanced anew, in the log. On PostgreSQL old versions of rows stay until a table is
rewritten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError

from archiver.errors import DatabaseRefused, DatabaseUnavailable
from archiver.store import troubles
from archiver.store.engine import Store

TABLES = (
    *("messages", "message_bodies", "message_revisions", "revision_bodies", "search_texts", "events", "quarantine"),
    *("attachments", "attachment_attempts", "pages", "windows", "seals", "late_arrivals"),
)
"""What an erasure or an expiry changes, or deletes from."""
_PAGES_AT_ONCE = 500
_MERGE = "INSERT INTO search_index (search_index, rank) VALUES ('merge', %d)"
_MAY = "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'messages'::regclass"
Wait = Callable[[float], bool]
"""Waits so many seconds; True where it shall end."""


def wipe(store: Store, wait: Wait, within_s: float) -> None:
    """Rewrite what holds deleted bytes. Raises DatabaseUnavailable where somebody reads on for `within_s`.

    Raises DatabaseRefused for a login of PostgreSQL that does not own the tables.
    """
    if store.engine.dialect.name == "sqlite":
        _merge_index(store)
        with _alone(store) as connection:
            connection.execute("VACUUM")
            _checkpoint(connection, wait, within_s)
        return
    with store.read() as tx:
        if not tx.conn.exec_driver_sql(_MAY).scalar_one():
            hint = "the login that migrates, or another member of archive_owner"
            raise DatabaseRefused("this login does not own the tables, and cannot rewrite them", hint=hint)
        may_checkpoint = bool(tx.conn.exec_driver_sql(_MAY_CHECKPOINT).scalar_one())
    with _alone(store) as connection:
        for table in TABLES:
            connection.execute(f"VACUUM (FULL, ANALYZE) {table}")
        if may_checkpoint:
            connection.execute("CHECKPOINT")


_MAY_CHECKPOINT = (
    "SELECT rolsuper OR EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = 'pg_checkpoint'"
    " AND pg_has_role(current_user, r.oid, 'USAGE')) FROM pg_roles WHERE rolname = current_user"
)


def _merge_index(store: Store) -> None:
    """What SQLite's index was told to forget goes when its segments are merged: in steps, as others write meanwhile."""
    pages = -_PAGES_AT_ONCE
    while True:
        with store.write() as tx:
            before = _changes(tx.conn)
            tx.conn.exec_driver_sql(_MERGE % pages)
            changed = _changes(tx.conn) - before
        pages = _PAGES_AT_ONCE
        if changed < 2:
            return


def _changes(conn: Any) -> int:
    return int(conn.exec_driver_sql("SELECT total_changes()").scalar_one())


@contextmanager
def _alone(store: Store) -> Iterator[Any]:
    """A connection that begins no transaction, and waits for an answer as long as it takes."""
    pooled, dbapi = store.engine.raw_connection(), store.engine.dialect.loaded_dbapi
    connection: Any = pooled.driver_connection
    try:
        if store.engine.dialect.name != "sqlite":
            connection.autocommit = True
            connection.within_s = None
        yield connection
    except dbapi.Error as error:
        wrapped = DBAPIError.instance(None, None, error, dbapi.Error, hide_parameters=True)
        raise troubles.ours(wrapped, store.engine.url.database) from None
    finally:
        pooled.invalidate()
        pooled.close()


def _checkpoint(connection: Any, wait: Wait, within_s: float) -> None:
    """Empty the log. Who reads an older state needs it, and is waited for."""
    deadline = time.monotonic() + within_s
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline or wait(1.0):
            raise DatabaseUnavailable("somebody still reads an older state of the database", hint="erase wipe, later")
