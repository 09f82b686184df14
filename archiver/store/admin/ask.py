"""Asks with SQL as people write it, and forges a message in a copy: for the demonstration, and for nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from archiver.store.engine import Store, open_store


def ask(store: Store, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names of the columns and the rows of one SELECT."""
    with store.patient.read() as tx:
        result = tx.conn.exec_driver_sql(sql)
        return list(result.keys()), [tuple(row) for row in result]


@contextmanager
def forged_copy(store: Store, path: Path) -> Iterator[tuple[Store, str]]:
    """A copy of an SQLite archive, gone afterwards, in which somebody else has sent one of the messages.

    Gives it open, and the statement that did it.
    """
    forgery = "UPDATE messages SET sender = 'mallory' WHERE msg_id = (SELECT min(msg_id) FROM messages)"
    with closing(sqlite3.connect(store.engine.url.database or "")) as ours, closing(sqlite3.connect(path)) as copy:
        ours.backup(copy)
        copy.execute("DROP TRIGGER messages_kept_update")  # which may be done by who may write the file
        copy.execute(forgery)
        copy.commit()
    forged = open_store(f"sqlite:///{path}")
    try:
        yield forged, forgery
    finally:
        forged.dispose()
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
