"""Persons who decide: two accounts on SQLite, two logins on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from archiver import host
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.postgres import Postgres


class Persons:
    """Who runs the commands: an account on SQLite, a login on PostgreSQL."""

    def __init__(self, archive: Archive, patch: pytest.MonkeyPatch, logins: dict[str, str]) -> None:
        self.archive, self._patch, self._logins = archive, patch, logins
        self.whole = archive.config.read_text()

    def now(self, name: str) -> None:
        self._patch.setattr(host, "account", lambda: name)
        if self._logins:
            self.archive.config.write_text(self.whole.replace("postgres@", f"{self._logins[name]}@"))

    def operate(self) -> None:
        """As who runs the archive, and owns its database."""
        self._patch.setattr(host, "account", lambda: "operator")
        self.archive.config.write_text(self.whole)

    def name(self, name: str) -> str:
        return self._logins.get(name, name)

    def run(self, name: str, statement: str) -> None:
        """Run a statement as this person may by the rights of the database, past the program."""
        if not self._logins:
            self.archive.database.run(statement)
            return
        with psycopg.connect(self.archive.database.url.replace("postgres@", f"{self._logins[name]}@")) as conn:
            conn.execute(statement)


@pytest.fixture
def persons(
    request: pytest.FixtureRequest, database: Database, make_archive: MakeArchive, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Persons]:
    """Two persons and an archive of 20 messages; the test runs once on each kind of database."""
    archive = make_archive(database, messages=20)
    if database.kind == "sqlite":
        yield _at_work(archive, monkeypatch, {})
        return
    with _logins(request.getfixturevalue("postgres"), database) as logins:
        yield _at_work(archive, monkeypatch, logins)


@pytest.fixture
def logins(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Persons]:
    """The same on PostgreSQL, for what only a server can show."""
    with _logins(postgres, postgres_database) as made:
        yield _at_work(make_archive(postgres_database, messages=20), monkeypatch, made)


@pytest.fixture
def accounts(sqlite_database: Database, make_archive: MakeArchive, monkeypatch: pytest.MonkeyPatch) -> Persons:
    """The same on SQLite, for what only a file can show."""
    return _at_work(make_archive(sqlite_database, messages=20), monkeypatch, {})


def _at_work(archive: Archive, patch: pytest.MonkeyPatch, logins: dict[str, str]) -> Persons:
    assert archive("pull") == 0
    file = f'erasures_file = "{archive.config.with_name("erasures.jsonl")}"'
    section = f'[lifecycle]\ntwo_persons = ["export", "accept"]\n{file}\n'
    archive.config.write_text(section + archive.config.read_text())
    if logins:
        assert archive("migrate", "--roles") == 0
    for login in logins.values():
        archive.database.run(f"GRANT archive_officer TO {login}")
    return Persons(archive, patch, logins)


@contextmanager
def _logins(postgres: Postgres, database: Database) -> Iterator[dict[str, str]]:
    unique = database.url.rpartition("archiver_")[2].partition("?")[0]
    logins = {name: f"{name}_{unique}" for name in ("alice", "bob")}
    for login in logins.values():
        postgres.run(f"CREATE ROLE {login} LOGIN")
    yield logins
    for login in logins.values():
        database.run(f"DROP OWNED BY {login}")
        postgres.run(f"DROP ROLE {login}")
