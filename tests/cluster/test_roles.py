"""Roles on a cluster, as far as a server without one can show: each kind of statement in transactions of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from archiver.errors import UsageError
from archiver.store.admin import distribution, migrate
from archiver.store.admin.rights import ROLES
from archiver.store.admin.roles import create
from archiver.store.schema import SHARDED, placed
from tests.fixtures.archive import MakeArchive
from tests.fixtures.cluster import STAND_IN
from tests.fixtures.databases import Database, fresh_postgres
from tests.fixtures.store import open_database
from tests.postgres import Postgres

pytestmark = pytest.mark.one_server("functions of the extension's names stand in for it, beside which it cannot be")

SPREAD = {table.name for table in placed(SHARDED)}
_SORTED = "(SELECT array_agg(x::text ORDER BY x::text) FROM unnest({}) x)"
_HERE = "= 'public'::regnamespace"
RELATIONS = f"""
    SELECT relname, relkind, pg_get_userbyid(relowner), {_SORTED.format("relacl")} FROM pg_class
    WHERE relnamespace {_HERE} AND relkind IN ('r', 'v', 'S') AND relname <> ALL (?) ORDER BY 1
"""
COLUMNS = f"""
    SELECT attrelid::regclass::text, attname, {_SORTED.format("attacl")} FROM pg_attribute
    WHERE attacl IS NOT NULL AND attrelid::regclass::text <> ALL (?) ORDER BY 1, 2
"""
FUNCTIONS = f"""
    SELECT proname, pg_get_userbyid(proowner), {_SORTED.format("proacl")} FROM pg_proc
    WHERE pronamespace {_HERE} AND proname <> ALL (?) ORDER BY 1
"""
OF_THE_STAND_IN = ["pg_dist_partition", "asked_of_machines", "create_reference_table", "create_distributed_table"]
OF_THE_STAND_IN += ["run_command_on_workers", "run_command_on_shards"]


def rights(database: Database) -> list[list[tuple[Any, ...]]]:
    """Who owns what, and who may do what with it."""
    return [database.rows(sql, OF_THE_STAND_IN) for sql in (RELATIONS, COLUMNS, FUNCTIONS)]


@pytest.fixture
def on_one_server(postgres: Postgres) -> list[list[tuple[Any, ...]]]:
    """The rights where there is no cluster."""
    with fresh_postgres(postgres) as database:
        store = open_database(database)
        create(store)
        store.dispose()
        return rights(database)


@pytest.fixture
def spread(postgres_database: Database, postgres: Postgres, on_one_server: object) -> Iterator[Database]:
    """An archive on a coordinator, not distributed yet; its server has had the roles for longer."""
    with psycopg.connect(postgres_database.url) as conn:
        conn.execute(STAND_IN)
    yield postgres_database
    for role in ROLES:  # as other databases of this server find them
        postgres.run(f"ALTER ROLE {role} NOLOGIN")


class Sent:
    """The statements that changed something, by transaction; `fails_at`: which of them is refused."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.transactions: list[list[str]] = []
        self._left = fails_at

    def begin(self, _conn: Any) -> None:
        self.transactions.append([])

    def note(self, _conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if re.match("(CREATE|ALTER|GRANT|REVOKE|SET LOCAL citus)", statement) or "run_command_on" in statement:
            self.transactions[-1].append(statement)
            if self._left is not None and not statement.startswith("SET"):
                self._left -= 1
                if self._left < 0:
                    raise UsageError("the machine failed here")

    def __enter__(self) -> Sent:
        sa.event.listen(sa.Engine, "begin", self.begin)
        sa.event.listen(sa.Engine, "before_cursor_execute", self.note)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(sa.Engine, "begin", self.begin)
        sa.event.remove(sa.Engine, "before_cursor_execute", self.note)


def kind(statement: str) -> str:
    """What Citus makes of a statement: over a single connection, or over several to each machine."""
    if re.match(r"(CREATE|ALTER) ROLE|GRANT archive_owner TO", statement):
        return "role"
    if " FUNCTION " in statement:
        return "function"
    if "run_command_on" in statement:
        return "machines"
    return "shards" if table(statement) in SPREAD else "local"


def table(statement: str) -> str | None:
    on = re.search(r" (?:ON|TABLE) (\w+)", statement)
    return on and on[1]


def made(database: Database, fails_at: int | None = None) -> Sent:
    store = open_database(database)
    try:
        with Sent(fails_at) as sent:
            create(store)
    finally:
        store.dispose()
    return sent


def test_no_transaction_touches_shards_beside_roles_or_functions(spread: Database, on_one_server: object) -> None:
    store = open_database(spread)
    distribution.distribute(store, 4)
    store.dispose()
    changing = [statements for statements in made(spread).transactions if statements]
    kinds = [{kind(one) for one in statements if not one.startswith("SET")} for statements in changing]
    assert {frozenset(some) for some in kinds} == {
        *map(frozenset, ({"role"}, {"function"}, {"shards"}, {"local"}, {"machines"}))
    }
    for statements, some in zip(changing, kinds, strict=True):
        assert "machines" in some or "sequential" in statements[0]
        assert "shards" not in some or len({table(one) for one in statements[1:]}) == 1
    assert rights(spread) == on_one_server
    asked = spread.rows("SELECT place::text, command FROM asked_of_machines WHERE command LIKE '%GRANT%' ORDER BY 1")
    assert asked == [
        ("message_bodies", "GRANT SELECT (extra) ON %s TO archive_reader"),
        ("revision_bodies", "GRANT SELECT (extra) ON %s TO archive_reader"),
    ]
    made_there = spread.rows("SELECT command FROM asked_of_machines WHERE command LIKE '%worker_create_or_alter_role%'")
    assert len(made_there) == 1
    assert "worker_create_or_alter_role('archive_auditor', 'CREATE ROLE archive_auditor LOGIN'" in made_there[0][0]
    assert spread.rows("SELECT rolname FROM pg_roles WHERE rolname = ANY(?) AND NOT rolcanlogin", list(ROLES)) == []


@pytest.mark.full
def test_roles_may_be_made_twice_and_after_any_failure(spread: Database, on_one_server: object) -> None:
    store = open_database(spread)
    distribution.distribute(store, 4)
    store.dispose()
    steps = [one for statements in made(spread).transactions for one in statements if not one.startswith("SET")]
    for fails_at in range(0, len(steps), 41):
        with pytest.raises(UsageError, match="failed here"):
            made(spread, fails_at)
        for table in ("messages", "search_queue"):  # what pulls goes on meanwhile
            assert spread.value(f"SELECT has_table_privilege('archive_writer', '{table}', 'SELECT, INSERT')")
        made(spread)
        assert rights(spread) == on_one_server


def test_an_upgrade_of_a_cluster_gives_new_tables_their_rights(
    postgres: Postgres, on_one_server: object, make_archive: MakeArchive
) -> None:
    with fresh_postgres(postgres, empty=True) as database:
        store = open_database(database)
        migrate.upgrade(store, f"{int(migrate.HEAD) - 1:04}")
        store.dispose()
        with psycopg.connect(database.url) as conn:
            conn.execute(STAND_IN)
            conn.execute("ALTER TABLE messages OWNER TO archive_owner")
            conn.execute("INSERT INTO pg_dist_partition VALUES ('messages', '')")
        archive = make_archive(database, messages=1)
        assert archive("migrate") == 0, archive.errors
        assert "roles are in place" in archive.output
        assert rights(database) == on_one_server
        before = database.value("SELECT count(*) FROM asked_of_machines")
        assert archive("migrate") == 0
        assert database.value("SELECT count(*) FROM asked_of_machines") == before


def test_an_archive_that_has_its_roles_is_distributed_and_has_them_again(
    spread: Database, on_one_server: object
) -> None:
    """Citus makes shards in the name of the owner: meanwhile it is who distributes."""
    made(spread)
    spread.run("ALTER ROLE archive_owner NOLOGIN")
    store = open_database(spread)
    distribution.distribute(store, 4)
    store.dispose()
    assert rights(spread) == on_one_server
    assert spread.value("SELECT count(*) FROM pg_dist_partition") > len(SPREAD)
