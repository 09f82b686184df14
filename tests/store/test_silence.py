"""A PostgreSQL that takes what it is sent and answers nothing: every phase has an end on our side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from archiver.errors import DatabaseUnavailable
from archiver.store.engine import Store, open_store
from archiver.store.postgres import ServerLimits
from archiver.store.schema import messages
from tests.fixtures.databases import own_archive
from tests.postgres import Postgres
from tests.store.test_appending import COLUMNS, message

pytestmark = pytest.mark.timeout(120)  # by which what hangs is seen to hang

BRIEF = ServerLimits(connect_s=2, answer_s=2.0, hurried_s=1.0, patient_s=60.0, rest_s=0.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with own_archive() as (found, _):
        yield found


def stored(server: Postgres, limits: ServerLimits = BRIEF) -> Store:
    return open_store(server.url.replace("postgresql://", "postgresql+psycopg://"), limits=limits)


@pytest.fixture
def store(server: Postgres) -> Iterator[Store]:
    found = stored(server)
    yield found
    found.dispose()


def ask(store: Store) -> Any:
    with store.write() as tx:
        return tx.conn.exec_driver_sql("SELECT 1").scalar_one()


def in_a_statement(store: Store, server: Postgres) -> None:
    with store.write() as tx, server.silent():
        tx.conn.exec_driver_sql("SELECT 1")


def at_the_commit(store: Store, server: Postgres) -> None:
    with server.silent(), store.write():
        pass


def at_a_commit_after_a_statement(store: Store, server: Postgres) -> None:
    transaction = store.write()
    transaction.__enter__().conn.exec_driver_sql("SELECT 1")
    with server.silent():
        transaction.__exit__(None, None, None)


def while_rows_are_sent(store: Store, server: Postgres) -> None:
    """More than the kernels on the way take in."""
    with store.write() as tx, server.silent():
        rows = (message(tx.given, f"{at:06}") for at in range(100_000))
        tx.append(messages, COLUMNS, ((*row[:10], bytes(1000), *row[11:]) for row in rows))


def to_a_new_connection(store: Store, server: Postgres) -> None:
    store.dispose()
    with server.silent():
        ask(store)


@pytest.mark.full
@pytest.mark.parametrize(
    "phase",
    [in_a_statement, at_the_commit, at_a_commit_after_a_statement, while_rows_are_sent, to_a_new_connection],
    ids=lambda phase: phase.__name__,
)
def test_a_server_that_falls_silent_is_given_up_and_asked_again_when_it_is_back(
    store: Store, server: Postgres, phase: Callable[[Store, Postgres], None]
) -> None:
    assert ask(store) == 1
    with pytest.raises(DatabaseUnavailable, match=r"did not answer|timeout"):
        phase(store, server)
    assert ask(store) == 1
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.mark.full
def test_where_it_was_silent_once_others_do_not_wait_for_it_in_turn(server: Postgres) -> None:
    store = stored(server, BRIEF._replace(rest_s=1000.0))
    with pytest.raises(DatabaseUnavailable, match="did not answer"):
        in_a_statement(store, server)
    with pytest.raises(DatabaseUnavailable, match="silent a moment ago"):
        ask(store)
    store.dispose()


@pytest.mark.full
def test_who_reads_much_waits_for_longer_and_who_is_asked_himself_for_less(store: Store) -> None:
    long = "SELECT pg_sleep(2.5)"  # the bounds are 2 s, 60 s and 1 s
    with store.patient.read() as tx:
        assert tx.conn.exec_driver_sql(long).scalar_one() == ""
    for other in (store, store.hurried):
        with pytest.raises(DatabaseUnavailable, match="did not answer"), other.read() as tx:
            tx.conn.exec_driver_sql(long)
    assert ask(store) == 1, "who is in a hurry himself does not keep others from asking"


@pytest.mark.full
def test_the_pool_gives_back_a_connection_as_it_was_taken(store: Store) -> None:
    """What a caller does with a connection of his own does not change how the next transaction begins."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("CHECKPOINT")
    with store.write() as tx:
        assert tx.conn.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"
        assert tx.conn.exec_driver_sql("SHOW lock_timeout").scalar_one() == "30s"
    with store.write() as tx:
        assert tx.conn.exec_driver_sql("SELECT now() = statement_timestamp()").scalar_one() is False
