"""The page's login on PostgreSQL: what it may, that it speaks for who has signed in, and that nobody else may."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from archiver.store.admin import migrate
from archiver.store.admin.roles import create
from archiver.store.schema import ALL_VIEWS, metadata
from tests.fixtures.databases import Database, fresh_postgres
from tests.fixtures.store import open_database
from tests.hostile.test_roles import DECISIONS, may
from tests.postgres import Postgres

ADDED = ("audit_log", "looks", "look_conversations", *DECISIONS)


@pytest.fixture
def governed(postgres_database: Database) -> Database:
    store = open_database(postgres_database)
    create(store)
    store.dispose()
    return postgres_database


@pytest.mark.full
def test_the_page_reads_everything_and_adds_what_officers_may(governed: Database) -> None:
    for table in (*metadata.tables, *ALL_VIEWS):
        assert may(governed, "archive_page", f"SELECT * FROM {table}")
    for table in metadata.tables:
        inserts = may(governed, "archive_page", f"INSERT INTO {table} SELECT * FROM {table}")
        assert inserts == (table in (*ADDED, "review_sessions")), table
        column = next(iter(metadata.tables[table].columns)).name
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            adopts = table == "request_drafts" and statement.startswith("DELETE")
            assert may(governed, "archive_page", statement) == (adopts or table == "review_sessions"), statement


@pytest.mark.full
def test_nobody_else_touches_its_sessions(governed: Database) -> None:
    for role in ("archive_writer", "archive_officer", "archive_reader", "archive_auditor"):
        for statement in (
            "INSERT INTO review_sessions SELECT * FROM review_sessions",
            "UPDATE review_sessions SET who = who",
            "DELETE FROM review_sessions",
        ):
            assert not may(governed, role, statement), (role, statement)
    for role in ("archive_officer", "archive_reader"):
        assert not may(governed, role, "SELECT csrf FROM review_sessions"), role


def test_only_the_page_speaks_for_others(governed: Database, postgres: Postgres) -> None:
    unique = governed.url.rpartition("archiver_")[2].partition("?")[0]
    page, officer = f"page_{unique}", f"officer_{unique}"
    postgres.run(f"CREATE ROLE {page} LOGIN IN ROLE archive_page")
    postgres.run(f"CREATE ROLE {officer} LOGIN IN ROLE archive_officer")
    ask = "INSERT INTO requests (kind, body, body_sha256, who, at) VALUES ('export', '{}', 'x', 'li', now())"
    approve = (
        "INSERT INTO approvals (request_id, decision, body_sha256, who, at) VALUES (%s, 'approved', 'x', %s, now())"
    )
    numbers = []
    try:
        for login, who in ((page, "li"), (officer, officer)):
            with psycopg.connect(governed.url.replace("postgres@", f"{login}@"), autocommit=True) as conn:
                row = conn.execute(f"{ask} RETURNING id, who, login").fetchone()
                assert row is not None
                numbers.append(row[0])
                assert row[1:] == (who, login)
                with pytest.raises(errors.RaiseException, match="nobody approves an own request"):
                    conn.execute(approve, (row[0], who.upper()))
        with psycopg.connect(governed.url.replace("postgres@", f"{page}@"), autocommit=True) as conn:
            conn.execute(approve, (numbers[0], "wang"))
        with psycopg.connect(governed.url) as conn:
            conn.execute(f"{ask} RETURNING id")
            assert conn.execute("SELECT who FROM requests ORDER BY id DESC LIMIT 1").fetchone() == ("postgres",)
    finally:
        postgres.run(f"DROP ROLE {page}")
        postgres.run(f"DROP ROLE {officer}")


@pytest.mark.full
def test_an_upgrade_gives_the_page_what_adopting_takes(postgres: Postgres, governed: Database) -> None:
    """Where its role was made before."""
    with fresh_postgres(postgres, empty=True) as database:
        store = open_database(database)
        migrate.upgrade(store, "0016")
        database.run("GRANT SELECT, INSERT ON requests TO archive_page, archive_officer")
        migrate.upgrade(store)
        store.dispose()
        rights = "SELECT privilege_type FROM information_schema.role_table_grants WHERE table_name = 'request_drafts'"
        for role, expected in (
            ("archive_page", {"SELECT", "INSERT", "DELETE"}),
            ("archive_officer", {"SELECT", "INSERT"}),
        ):
            for one in (database, governed):
                assert {row[0] for row in one.rows(f"{rights} AND grantee = '{role}'")} == expected, role
