"""A day's messages, streamed with their bodies, are those that are fetched by their keys, however long a record is."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from archiver.model import DAY_MS
from archiver.store import messages
from archiver.store.appending import Provenance
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.messages import Batch
from archiver.store.read import days
from archiver.store.read.days import Day
from archiver.store.read.messages import fetch
from archiver.store.schema import metadata
from archiver.zones import Calendar
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, open_database, page_of, record

BODY = '{"type": "txt", "msg": "%s"}'
NEVER_MS = 253_402_300_800_000  # the year 10000, beyond every calendar


def filled(store: Store, key: SourceKey) -> None:
    """Short and long records, with no body, two and a thousand, some at one instant, two beyond the calendar."""
    texts = [
        *(record(f"short{number}", f"text {number}") for number in range(30)),
        *(record(f"long{number}", "x" * size) for number, size in enumerate((8_000, 9_000, 3 << 20, 70_000))),
        *(record(f"late{number}", "later", ORIGIN + 6 + number) for number in range(5)),
        record("none").replace(BODY % "hello", ""),
        record("two").replace(BODY % "hello", ", ".join([BODY % "first", BODY % "second"])),
        record("many").replace(BODY % "hello", ", ".join(BODY % number for number in range(1000))),
        *(record(f"far{number}", "far", NEVER_MS) for number in range(2)),
    ]
    page = page_of(*texts)
    with store.write() as tx:
        (page_id,) = tx.new_page_ids(1)
        messages.insert(tx, Provenance(key.app_id, ORIGIN), [Batch(page_id, page.messages)])


def planned(tx: Tx) -> list[Day]:
    return days.days(tx, [], Calendar(ZoneInfo("Asia/Shanghai")))


@pytest.mark.parametrize("sorted_whole", [0, 50_000], ids=["keys", "whole"])
@pytest.mark.parametrize("by_conversation", [False, True], ids=["time", "conversation"])
def test_a_day_is_streamed_as_its_messages_are_fetched(
    store: Store, key: SourceKey, by_conversation: bool, sorted_whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(days, "_SORTED_WHOLE", sorted_whole)
    filled(store, key)
    with store.read() as tx:
        for day in planned(tx):
            keys = [row[0] for some in days.keys_of_day(tx, day, [], by_conversation) for row in some]
            streamed = [message for batch in days.batches(tx, day, [], by_conversation) for message in batch]
            assert len(streamed) == day.messages
            assert streamed == [message for msg_id in keys for message in fetch(tx, key.app_id, day.app, [msg_id])]
            assert len({len(message.message.bodies) for message in streamed}) == (4 if day.number else 1)


def test_a_batch_is_bounded_by_the_bytes_of_its_records(store: Store, key: SourceKey) -> None:
    filled(store, key)
    with store.read() as tx:
        day, *_ = planned(tx)
        for batch in days.batches(tx, day, [], by_conversation=False):
            assert len(batch) == 1 or sum(len(message.message.raw) for message in batch) <= 2 << 20


def test_a_day_is_read_by_its_index_where_sqlite_has_no_statistics(sqlite_database: Database) -> None:
    """Without them it would go through all that an app has, for every day."""
    store = open_database(sqlite_database)
    plans: list[str] = []

    @sa.event.listens_for(store.engine, "before_cursor_execute")
    def explain(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall())

    with store.read() as tx:
        plans.clear()
        assert (
            list(days.batches(tx, Day(1, "o#a", 20_000, 0, ORIGIN, ORIGIN + DAY_MS), [], by_conversation=False)) == []
        )
    store.dispose()
    assert any("SEARCH messages USING INDEX ix_messages_sent_at" in plan for plan in plans), plans


def test_rows_that_postgresql_streams_are_the_same_in_their_binary_form(postgres_database: Database) -> None:
    """Of every type that a column has, and what is counted and cast in streamed queries."""
    values = {
        "BIGINT": "-9223372036854775808",
        "BOOLEAN": "true",
        "BYTEA": "'\\x00ff5c'",
        "DOUBLE PRECISION": "0.1",
        "INTEGER": "-2147483648",
        "JSONB": '\'{"b": [1.50, null], "a": "你"}\'',
        "TEXT": "'你 \\\\ '' \t'",
        "TIMESTAMP WITH TIME ZONE": "'2026-11-29T23:59:59.999Z'",
    }
    columns = [column for table in metadata.tables.values() for column in table.c]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    assert {column.type.compile(dialect=dialect) for column in columns} <= values.keys()
    said = ", ".join(f"CAST({value} AS {kind}), CAST(NULL AS {kind})" for kind, value in values.items())
    query = sa.text(f"SELECT {said}, count(*), sum(CAST(7 AS bigint)), CAST('{{\"b\": 1}}' AS jsonb)::text")
    store = open_database(postgres_database)
    with store.read() as tx:
        streamed = tx.conn.execute(query.execution_options(yield_per=10))
        assert streamed.cursor is not None
        assert streamed.cursor.format == psycopg.pq.Format.BINARY
        assert streamed.all() == tx.conn.execute(query).all()
    store.dispose()
