"""Reads with SQL as people write it: for the demonstration, and for nothing else in the program."""

from __future__ import annotations

from typing import Any

from archiver.store.engine import Store


def ask(store: Store, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names of the columns and the rows of one SELECT."""
    with store.patient.read() as tx:
        result = tx.conn.exec_driver_sql(sql)
        return list(result.keys()), [tuple(row) for row in result]
