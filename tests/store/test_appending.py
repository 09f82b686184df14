"""Many rows at once: what a row may leave out, and how a statement that fails in the middle is undone."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archiver.errors import DatabaseUnavailable
from archiver.store.bulk import Encoders
from archiver.store.engine import Store
from archiver.store.schema import message_bodies, messages
from tests.fixtures.databases import Database

COLUMNS = messages.columns.keys()


def message(given: Encoders, msg_id: str, page_id: int | None = 1) -> tuple[Any, ...]:
    instant, json_of = given
    ext = json_of('{"a": 1}') if msg_id.endswith("7") else None
    lossy = msg_id.endswith("3")
    told = (None, "to", None, "chat", None, ext, msg_id.encode(), b"\0\xff", lossy, page_id, 0, instant(5))
    return (1, msg_id, 5, instant(5), *told)


def test_rows_may_leave_out_what_is_empty_at_their_end(store: Store, database: Database) -> None:
    with store.write() as tx:
        tx.append(messages, COLUMNS, (message(tx.given, f"{at:04}") for at in range(901)))
        bodies = (
            (1, f"{at:04}", 0, "txt", f"text {at}")
            if at % 7
            else (1, f"{at:04}", 0, "img", None, "u", None, None, at, *[None] * 8, tx.given.json("[]"))
            for at in range(901)
        )
        tx.append(message_bodies, message_bodies.columns.keys(), bodies)
    found = database.rows("SELECT msg_id, type, text, url, file_length, addr, extra IS NULL FROM message_bodies")
    assert sorted(map(tuple, found)) == [
        (f"{at:04}", "txt", f"text {at}", None, None, None, True)
        if at % 7
        else (f"{at:04}", "img", None, "u", at, None, False)
        for at in range(901)
    ]
    kept = database.rows("SELECT msg_id, raw, digest, lossy, ext IS NULL, direction FROM messages")
    assert sorted((row[0], bytes(row[1]), bytes(row[2]), *row[3:]) for row in kept) == [
        (f"{at:04}", b"%04d" % at, b"\0\xff", at % 10 == 3, at % 10 != 7, None) for at in range(901)
    ]


@pytest.mark.parametrize("bad", [0, 150, 399])
def test_a_statement_that_fails_in_the_middle_is_undone_by_its_savepoint(
    store: Store, database: Database, bad: int
) -> None:
    with store.write() as tx:
        tx.append(messages, COLUMNS, [message(tx.given, "before")])
        with pytest.raises(DBAPIError), tx.savepoint():
            tx.append(messages, COLUMNS, (message(tx.given, f"{at:04}", None if at == bad else 1) for at in range(400)))
        tx.append(messages, COLUMNS, [message(tx.given, "behind")])
    assert database.rows("SELECT msg_id FROM messages ORDER BY msg_id") == [("before",), ("behind",)]


def test_a_statement_that_fails_in_the_middle_takes_its_transaction_with_it(store: Store, database: Database) -> None:
    with pytest.raises(DatabaseUnavailable), store.write() as tx:
        tx.append(messages, COLUMNS, (message(tx.given, f"{at % 300:04}") for at in range(400)))
    assert database.rows("SELECT msg_id FROM messages") == []


def waits_for_the_disk(store: Store, database: Database) -> tuple[object, object, object]:
    """What a lasting transaction has set, one that may be lost, and the next lasting one."""
    asked = sa.text("PRAGMA synchronous" if database.kind == "sqlite" else "SHOW synchronous_commit")
    with store.write() as tx:
        lasting = tx.conn.scalar(asked)
    with store.write(durable=False) as tx:
        hasty = tx.conn.scalar(asked)
    with store.write() as tx:
        return lasting, hasty, tx.conn.scalar(asked)


def test_only_what_may_be_lost_does_not_wait_for_the_disk(store: Store, database: Database) -> None:
    if database.kind == "postgresql":  # a server may be told so by its file, a role, a database or PGOPTIONS
        database.run(f"ALTER DATABASE {database.value('SELECT current_database()')} SET synchronous_commit = off")
    full, normal = (2, 1) if database.kind == "sqlite" else ("on", "off")
    assert waits_for_the_disk(store, database) == (full, normal, full)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_server_that_is_to_wait_for_more_than_the_disk_does(store: Store, database: Database) -> None:
    database.run(f"ALTER DATABASE {database.value('SELECT current_database()')} SET synchronous_commit = remote_apply")
    assert waits_for_the_disk(store, database) == ("remote_apply", "off", "remote_apply")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL sees to that by itself
def test_what_the_tables_hold_now_decides_how_they_are_asked(store: Store) -> None:
    def grown(numbers: range, sender: str | None, recipient: str | None) -> str:
        with store.write() as tx:
            rows = (message(tx.given, f"{at:06}") for at in numbers)
            people = ((sender or f"{at}", recipient or f"{at}") for at in numbers)
            tx.append(messages, COLUMNS, ((*row[:4], *two, *row[6:]) for row, two in zip(rows, people, strict=True)))
        store.analyze()
        asked = "EXPLAIN QUERY PLAN SELECT * FROM messages WHERE lower(sender) = 'a' AND lower(recipient) = 'b'"
        with store.read() as tx:
            return str([row[3] for row in tx.conn.exec_driver_sql(asked)])

    assert "ix_messages_sender" in grown(range(300), None, "b")
    assert "ix_messages_recipient" in grown(range(1000, 6000), "a", None)
