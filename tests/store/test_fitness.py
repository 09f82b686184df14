"""What a database must be before an archive lies in it, and where in it that may be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database, fresh_postgres
from tests.postgres import Postgres

COMMANDS = (("migrate",), ("pull",), ("status",), ("search", "x"), ("doctor",))


def refused(archive: Archive, *texts: str) -> None:
    for command in COMMANDS:
        assert archive(*command) == 2, command
        said = archive.output + archive.errors
        assert "try: " in said
        assert all(text in said for text in texts), (command, said)


def test_an_sqlite_that_is_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_archive: MakeArchive) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    refused(make_archive(Database("sqlite", f"sqlite:///{tmp_path}/a.db"), messages=3), "3.34.1", "3.35")


@pytest.mark.full
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_CN"])
def test_a_database_of_another_encoding(encoding: str, postgres: Postgres, make_archive: MakeArchive) -> None:
    name = f"archiver_{encoding.lower()}"
    postgres.run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    try:
        refused(make_archive(Database("postgresql", postgres.of(name)), messages=3), encoding, "UTF8", "createdb")
    finally:
        postgres.run(f"DROP DATABASE {name}")


@pytest.mark.full
@pytest.mark.parametrize("revision", ["a1b2c3d4e5f6", "0001", "0002"])
def test_a_table_alembic_version_of_another_program(
    revision: str, empty_database: Database, make_archive: MakeArchive
) -> None:
    empty_database.run("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
    empty_database.run(f"INSERT INTO alembic_version VALUES ('{revision}')")
    refused(make_archive(empty_database, messages=3), "another program", revision, "of its own")
    assert empty_database.rows("SELECT version_num FROM alembic_version") == [(revision,)]


def test_tables_of_another_program(empty_database: Database, make_archive: MakeArchive) -> None:
    empty_database.run("CREATE TABLE messages (id int)")
    archive = make_archive(empty_database, messages=3)
    assert archive("migrate") == 2
    assert "messages" in archive.errors
    assert "try: " in archive.errors


def placed(database: Database, path: str) -> Database:
    return Database("postgresql", f"{database.url}&options=-csearch_path%3D{path}")


@pytest.mark.full
def test_several_archives_in_schemas_of_their_own(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive
) -> None:
    """Beside the one in `public`, which is in sight of some of them; all with their roles."""
    number = postgres_database.url.rpartition("archiver_")[2].partition("?")[0]
    login = f"writer_{number}"
    postgres.run(f"CREATE ROLE {login} LOGIN")
    try:
        for name, path in (("one", "one"), ("Two", '"Two",public'), ("public", "public")):
            postgres_database.run(f'CREATE SCHEMA IF NOT EXISTS "{name}"')
            database = placed(postgres_database, path)
            archive = make_archive(database, name=name, messages=10)
            if name != "public":
                assert archive("pull") == 2
                assert "archiver migrate" in archive.errors
                assert "a search_path that begins with " in archive.errors, "another one is in sight, or was asked for"
            assert archive("migrate", "--roles") == 0, archive.errors
            assert archive("migrate", "--roles") == 0, archive.errors
            postgres.run(f"GRANT archive_writer TO {login}")
            as_writer = Database("postgresql", database.url.replace("postgres@", f"{login}@"))
            for login_of in (database, as_writer):
                archive.database = login_of
                archive.write_config()
                assert archive("pull") == 0, archive.errors
                assert archive("index") == 0, archive.errors
            assert archive("doctor", "--format", "json") == 0, archive.output
            counted = f'SELECT count(*) FROM "{name}".'
            assert postgres_database.value(counted + "messages") == 10
            assert postgres_database.value(counted + "messages_readable") == 10
            search = f"SELECT count(*) FROM \"{name}\".archive_search('e', 5)"
            assert postgres_database.value(search) == postgres_database.value(search.replace("'e'", "'E'")) > 0
    finally:
        postgres_database.run(f"DROP OWNED BY {login}")
        postgres.run(f"DROP ROLE {login}")


def test_an_archive_in_public_is_not_lost_for_a_schema_of_the_login_s_name(
    postgres_database: Database, make_archive: MakeArchive
) -> None:
    postgres_database.run("CREATE SCHEMA postgres")
    archive = make_archive(postgres_database, messages=10)
    assert archive("migrate") == 0
    assert archive("pull") == 0
    assert postgres_database.value("SELECT count(*) FROM public.messages") == 10
    archive.database.run("UPDATE public.alembic_version SET version_num = '0001'")
    assert archive("migrate") == 2
    assert "search_path that begins with public" in archive.errors


@pytest.mark.full
def test_an_archive_out_of_sight_is_named_whatever_the_login_may(postgres: Postgres, make_archive: MakeArchive) -> None:
    with fresh_postgres(postgres, empty=True) as database:
        postgres.run("CREATE ROLE astray LOGIN")
        database.run("CREATE SCHEMA app")
        assert make_archive(placed(database, "app"), messages=3)("migrate") == 0
        as_login = Database("postgresql", database.url.replace("postgres@", "astray@"))
        archive = make_archive(as_login, name="two", messages=3)
        assert archive("pull") == 2
        assert "schema public has no archive yet; there is one in schema app" in archive.errors
        postgres.run("DROP ROLE astray")
