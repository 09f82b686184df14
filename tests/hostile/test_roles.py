"""Who may do what on PostgreSQL, tried statement by statement, and the program at work as archive_writer."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from archiver.store.admin.roles import create
from archiver.store.schema import VIEWS, metadata
from tests.conftest import Database
from tests.export.conftest import said
from tests.flow.conftest import Archive, MakeArchive, make_archive  # noqa: F401
from tests.postgres import Postgres
from tests.store.conftest import open_database

EVIDENCE = ("messages", "message_bodies", "message_revisions", "pages", "late_arrivals", "audit_log", "revision_bodies")
ROLES = ("archive_writer", "archive_auditor", "archive_reader")


@pytest.fixture
def governed(postgres_database: Database) -> Database:
    """An archive with its roles, twice made: an upgrade runs the same command again."""
    store = open_database(postgres_database)
    create(store)
    create(store)
    store.dispose()
    return postgres_database


def may(database: Database, role: str, statement: str) -> bool:
    """Whether a role may; what was done is rolled back."""
    with psycopg.connect(database.url) as conn:
        conn.execute(f"SET ROLE {role}")
        try:
            conn.execute(statement)
        except errors.InsufficientPrivilege:
            return False
        finally:
            conn.rollback()
        return True


@pytest.mark.parametrize("role", ROLES)
def test_nobody_changes_or_deletes_what_was_archived(governed: Database, role: str) -> None:
    for table in (*EVIDENCE, "quarantine"):
        columns = {each.name for each in metadata.tables[table].columns}
        free = {"reason", "seen", "resolved_at"} if (role, table) == ("archive_writer", "quarantine") else set()
        for column in sorted(columns):
            allowed = may(governed, role, f'UPDATE {table} SET "{column}" = "{column}"')
            assert allowed == (column in free), (table, column)
        for statement in (
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
            f"DROP TABLE {table} CASCADE",
            f"ALTER TABLE {table} ADD COLUMN x int",
            f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            f"CREATE RULE r AS ON INSERT TO {table} DO INSTEAD NOTHING",
            f"ALTER TABLE {table} OWNER TO {role}",
        ):
            assert not may(governed, role, statement), statement
        assert _granted_nothing(governed, role, table)


def _granted_nothing(database: Database, role: str, table: str) -> bool:
    """A GRANT without the right to is a warning in PostgreSQL, and no error."""
    with psycopg.connect(database.url) as conn:
        conn.execute(f"SET ROLE {role}")
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), conn.transaction():
            conn.execute(f"GRANT DELETE ON {table} TO {role}")  # an error where the role holds nothing at all
        conn.execute("RESET ROLE")
        found = conn.execute("SELECT has_table_privilege(%s, %s, 'DELETE')", (role, table)).fetchone()
        conn.rollback()
    return found == (False,)


def test_the_owner_owns_everything(governed: Database) -> None:
    owners = governed.rows(
        "SELECT c.relname, r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v', 'S')"
    )
    assert {owner for _, owner in owners} == {"archive_owner"}
    assert {name for name, _ in owners} >= {*metadata.tables, *VIEWS, "alembic_version", "page_ids"}


def test_each_role_reads_what_it_is_for(governed: Database) -> None:
    for table in metadata.tables:
        assert may(governed, "archive_writer", f"SELECT * FROM {table}")
        assert may(governed, "archive_auditor", f"SELECT * FROM {table}")
        assert not may(governed, "archive_auditor", f"INSERT INTO {table} DEFAULT VALUES")
        assert not may(governed, "archive_reader", f"SELECT * FROM {table}")
    for view in VIEWS:
        assert may(governed, "archive_reader", f"SELECT * FROM {view}")
        columns = {row[0] for row in governed.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_name = ?", view
        )}  # fmt: skip
        assert not columns & {"raw", "secret", "thumb_secret", "digest"}


@pytest.mark.full
def test_the_program_runs_as_archive_writer(
    governed: Database,
    postgres: Postgres,
    make_archive: MakeArchive,
) -> None:
    login = f"writer_of_{governed.url.rpartition('archiver_')[2].partition('?')[0]}"
    postgres.run(f"CREATE ROLE {login} LOGIN IN ROLE archive_writer")
    try:
        as_writer = Database("postgresql", governed.url.replace("postgres@", f"{login}@"))
        archive: Archive = make_archive(as_writer, messages=60)
        archive.server.add(b'{"broken": 1}', timestamp_ms=archive.server.start_ms + 1000, visible_ms=0)
        assert archive("pull", audits=["1h"]) == 0
        assert archive("pull", audits=["1h", "24h"]) == 0
        assert (
            archive("audit", "--from", str(archive.server.start_ms), "--to", str(archive.server.start_ms + 1000)) == 0
        )
        assert archive("quarantine", "requeue") == 0
        assert archive("status") == archive("coverage") == 0
        assert archive.status()["messages"] == 60
        assert archive("migrate", "--roles") == 2, "the writer cannot make itself more"
        assert "may not create roles" in archive.errors
    finally:
        governed.run(f"DROP OWNED BY {login}")
        postgres.run(f"DROP ROLE {login}")


READ_BY_COMMAND = (
    ("status",),
    ("status", "--format", "prometheus"),
    ("coverage",),
    ("search", "a"),
    ("conversation", "iris", "xingchen"),
    ("quarantine", "list"),
)


@pytest.mark.full
def test_whose_commands_are_for_whom(governed: Database, make_archive: MakeArchive, tmp_path: Path) -> None:
    """As docs/operations.md has it: what only reads is for auditors, what leaves a trace for writers."""
    archive = make_archive(governed, messages=30)
    for sender, recipient in (("iris", "xingchen"), ("xingchen", "iris")):
        more = {"from": sender, "to": recipient}
        archive.server.add(said(sender, "a", archive.server.start_ms, **more), visible_ms=0)
    assert archive("pull") == 0
    codes = {}
    for role in ROLES:
        archive.write_config()
        url = f"{governed.url}{'&' if '?' in governed.url else '?'}options=-crole%3D{role}"
        archive.config.write_text(archive.config.read_text().replace(governed.url, url))
        codes[role] = {archive(*command) for command in READ_BY_COMMAND}
        export = ("export", "--format", "jsonl", "--output", str(tmp_path / role))
        assert (archive(*export) == 0) == (role == "archive_writer")
    assert codes["archive_writer"] == codes["archive_auditor"] == {0}
    assert 0 not in codes["archive_reader"]
