"""The archive's lock: who stores records holds it with others, who says which of them stay holds it alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread

import psycopg
import pytest

from archiver.errors import DatabaseUnavailable
from archiver.store.engine import Store
from tests.fixtures.archive import MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.store import demand_lock, open_database


@pytest.mark.one_server("a trigger watches messages, and Citus has none on distributed tables")
def test_nothing_stores_a_message_without_the_lock(postgres_database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(postgres_database, messages=30)
    archive.database.run(demand_lock("messages"))
    archive.server.add(b'{"broken": 1}', timestamp_ms=archive.server.start_ms + 1000, visible_ms=0)
    assert archive("pull") == 0
    msg_id, raw = archive.database.rows("SELECT msg_id, raw FROM messages ORDER BY msg_id LIMIT 1")[0]
    another = bytes(raw).replace(msg_id.encode(), b"another").hex()
    archive.database.run(f"UPDATE quarantine SET raw = decode('{another}', 'hex')")
    assert archive("quarantine", "requeue") == 0
    assert archive.database.value("SELECT count(*) FROM messages WHERE msg_id = 'another'") == 1
    with pytest.raises(psycopg.Error, match="without the lock"):
        archive.database.run("INSERT INTO messages SELECT * FROM messages LIMIT 1")


@pytest.fixture
def store(postgres_database: Database) -> Iterator[Store]:
    opened = open_database(postgres_database)
    yield opened
    opened.dispose()


MODES = "SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND granted ORDER BY 1"


def test_the_lock_is_of_the_transaction_and_begins_it(store: Store) -> None:
    with store.write(lock="shared") as tx, store.write(lock="shared") as other:
        assert other.conn.exec_driver_sql(MODES).scalars().all() == ["ShareLock", "ShareLock"]
        assert tx.conn.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
    with store.write(lock="exclusive") as tx:
        assert tx.conn.exec_driver_sql(MODES).scalars().all() == ["ExclusiveLock"]
    with store.write() as tx:
        assert tx.conn.exec_driver_sql(MODES).scalars().all() == []


def test_a_transaction_that_waited_for_the_lock_sees_what_was_stored_meanwhile(
    store: Store, postgres_database: Database
) -> None:
    """It waits in the message that begins it: its snapshots come after that."""
    with psycopg.connect(postgres_database.url) as first:
        first.execute("SELECT pg_advisory_xact_lock_shared(x'6172636869766572'::bigint)")
        first.execute("INSERT INTO rate_budgets (rate_group) VALUES ('stored meanwhile')")
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        seen: list[int] = []

        def place() -> None:
            with store.write(lock="exclusive") as tx:
                seen.append(int(tx.conn.exec_driver_sql("SELECT count(*) FROM rate_budgets").scalar_one()))

        thread = Thread(target=place)
        thread.start()
        while postgres_database.value(waits) == 0:
            time.sleep(0.01)
        first.commit()
        thread.join()
    assert seen == [1]


@pytest.mark.full
def test_who_waits_too_long_for_the_lock_comes_again_later(store: Store, postgres_database: Database) -> None:
    with psycopg.connect(postgres_database.url) as first:
        first.execute("SELECT pg_advisory_xact_lock(x'6172636869766572'::bigint)")
        with pytest.raises(DatabaseUnavailable) as refused, store.write(lock="shared"):
            pass
        assert refused.value.exit_code == 75
    with store.write(lock="shared") as tx:
        assert tx.conn.exec_driver_sql("SELECT 1").scalar() == 1
