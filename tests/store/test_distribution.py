"""Fit for a cluster: what the schema and the code must keep to, and `archiver distribute` up to the calls of Citus.

Citus itself is tried where ARCHIVER_TEST_CITUS_URL names one (`make test-citus`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from archiver.store.admin import distribution, migrate
from archiver.store.engine import open_store
from archiver.store.schema import metadata
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.blobs import MakeCollector, Shelf
from tests.fixtures.cluster import STAND_IN
from tests.fixtures.databases import Database, fresh_postgres
from tests.postgres import Postgres

CODE = Path(distribution.__file__).parents[1]
BIG = [table.name for table in distribution.big_tables()]


def test_every_table_keyed_by_messages_is_distributed_and_no_other() -> None:
    assert BIG[0] == "messages"
    assert {*BIG, "canaries", "events", "tombstones"} == {
        name for name, table in metadata.tables.items() if "msg_id" in table.c
    }


@pytest.mark.parametrize("name", BIG)
def test_every_key_of_a_big_table_contains_the_column_that_distributes_it(name: str) -> None:
    table = metadata.tables[name]
    keys = [
        each
        for each in table.constraints
        if isinstance(each, sa.PrimaryKeyConstraint | sa.UniqueConstraint | sa.ForeignKeyConstraint)
    ]
    keys += [index for index in table.indexes if index.unique]  # type: ignore[misc]
    assert keys
    for key in keys:
        assert "msg_id" in [column.name for column in key.columns], key.name
    for tie in table.foreign_key_constraints:
        assert tie.referred_table.name in BIG
        assert [element.column.name for element in tie.elements if element.parent.name == "msg_id"] == ["msg_id"]


TRIGGERS = "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
"""The tables that have any."""
ON_INSERT = f"{TRIGGERS} AND tgtype & 4 = 4"


@pytest.mark.one_server("a distributed archive has no triggers on the big tables, which are listed here")
def test_what_a_pull_adds_to_the_big_tables_sets_off_no_trigger(postgres_database: Database) -> None:
    assert {row[0] for row in postgres_database.rows(ON_INSERT)} == {
        "audit_log",
        "pages",
        "quarantine",
        "evidence_log",
        "anchorings",
        "looks",
        "requests",
        "approvals",
        "look_conversations",
        "request_items",
        "request_drafts",
        "hold_events",
        "hold_conversations",
        "hold_items",
        "retention_terms",
        "events",
        "tombstones",
        "expired_before",
    }


def test_nobody_counts_rows_by_the_driver() -> None:
    for file in CODE.rglob("*.py"):
        assert not re.search(r"\.rowcount\b", file.read_text(encoding="utf-8")), file


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Every statement that the program sends while the test runs."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(" ".join(statement.split()))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield sent
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.mark.full
def test_no_statement_locks_rows_of_many_machines(
    postgres_database: Database, make_collector: MakeCollector, folder: Shelf, statements: list[str], tmp_path: Path
) -> None:
    archive = make_collector(postgres_database, folder, messages=60)
    server = archive.server
    server.add(b'{"broken": 1}', timestamp_ms=server.start_ms + 1000, visible_ms=0)
    assert archive("pull") == 0
    archive("attachments")
    archive("attachments", "--retry-failed")
    assert archive("audit", "--from", str(server.start_ms), "--to", str(server.start_ms + 60_000)) == 0
    assert archive("quarantine", "requeue") == 0
    assert archive("status") == archive("export", "--format", "csv", "--output", str(tmp_path / "out")) == 0
    locking = [each for each in statements if re.search(r"\bFOR UPDATE\b|\bLOCK\b", each)]
    assert locking
    assert [each for each in locking if set(re.findall(r"\w+", each)) & set(BIG)] == []


@pytest.mark.full
def test_what_the_page_says_of_upkeep_runs(postgres_database: Database) -> None:
    """As it stands there; nothing that was archived goes by it, and the newest run stays."""
    page = (Path(__file__).parents[2] / "docs/scale.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```postgresql\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 2
    postgres_database.run("INSERT INTO apps (id, name, created_at) VALUES (1, 'o#a', now())")
    old = "now() - interval '1 year'"
    columns = "app_id, source, command, program, owner, started_at, heartbeat_at, ended_at"
    row = f"1, 'cursor', 'pull', 'x', 'me', {old}, {old}, {old}"
    postgres_database.run(f"INSERT INTO runs ({columns}) VALUES ({row}), ({row}), ({row})")
    for block in blocks:
        postgres_database.run(block)
    assert postgres_database.rows("SELECT id FROM runs") == [(3,)]
    options = dict(postgres_database.rows("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"))
    assert options["windows"] == ["fillfactor=80", "autovacuum_vacuum_scale_factor=0.02"]


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Archive:
    return make_archive(database, messages=3)


@pytest.mark.one_server("every server of this run has the extension")
def test_sqlite_and_a_server_without_citus_are_refused(archive: Archive) -> None:
    assert archive("distribute") == 2
    assert ("SQLite cannot" if archive.database.kind == "sqlite" else "CREATE EXTENSION citus") in archive.errors


@pytest.fixture
def clustered(postgres_database: Database, make_archive: MakeArchive) -> Archive:
    """A server that has functions of the same names as Citus, which note what is asked, and refuse as it would."""
    with psycopg.connect(postgres_database.url) as conn:
        conn.execute(STAND_IN)
    return make_archive(postgres_database, messages=3)


@pytest.mark.one_server("functions of the extension's names stand in for it, beside which it cannot be")
def test_a_fresh_archive_is_distributed_once_and_works(clustered: Archive) -> None:
    columns = "conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
    ties = f"SELECT {columns} FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2"
    before = clustered.database.rows(ties)
    assert clustered("distribute", "--shards", "4") == 0
    kept = dict(clustered.database.rows("SELECT logicalrelid::text, keeps FROM pg_dist_partition"))
    assert kept == {
        "apps": "a copy everywhere",
        "messages": "msg_id none 4",
        **dict.fromkeys(BIG[1:], "msg_id messages"),
    }
    assert clustered.database.rows(ties) == before
    assert not {row[0] for row in clustered.database.rows(TRIGGERS)} & set(BIG)
    assert clustered("distribute") == 2
    assert "distributed already" in clustered.errors
    for command in (
        ("hold", "add", "x", "--case", "K7", "--reason", "x"),
        ("hold", "list"),
        ("retention", "show"),
        ("retention", "plan", "--app", "x"),
        ("retention", "set", "--app", "x", "--at-least", "5y", "--reason", "x"),
    ):
        assert clustered(*command) == 2
        assert "not for a distributed archive" in clustered.errors
    assert clustered("pull") == 0
    assert clustered.count("messages") == 3


@pytest.mark.one_server("functions of the extension's names stand in for it, beside which it cannot be")
def test_an_upgrade_spreads_new_tables_of_a_distributed_archive(postgres: Postgres) -> None:
    with fresh_postgres(postgres, empty=True) as database:
        store = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"))
        migrate.upgrade(store, "0006")
        with psycopg.connect(database.url) as conn:
            conn.execute(STAND_IN)
            conn.execute("INSERT INTO pg_dist_partition VALUES ('messages', '')")
        migrate.upgrade(store)
        store.dispose()
        spread = database.rows("SELECT logicalrelid::text, keeps FROM pg_dist_partition WHERE keeps <> '' ORDER BY 1")
        assert spread == [("hold_items", "msg_id messages"), ("request_items", "msg_id messages")]
        assert not {row[0] for row in database.rows(TRIGGERS)} & set(BIG)


@pytest.mark.one_server("functions of the extension's names stand in for it, beside which it cannot be")
def test_an_archive_that_holds_something_is_not_distributed(clustered: Archive) -> None:
    assert clustered("pull") == 0
    assert clustered("distribute") == 2
    assert "not fresh" in clustered.errors
    assert clustered.count("pg_dist_partition") == 0


@pytest.mark.one_server("functions of the extension's names stand in for it, beside which it cannot be")
def test_what_citus_refuses_changes_nothing(clustered: Archive) -> None:
    clustered.database.run("ALTER TABLE message_revisions ADD CONSTRAINT odd UNIQUE (page_id)")
    assert clustered("distribute") == 2
    assert clustered.count("pg_dist_partition") == 0
    assert clustered("pull") == 0
