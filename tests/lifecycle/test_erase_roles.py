"""On PostgreSQL, with roles: who asks, who approves, who erases and who certifies are logins with what they need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.fixtures.archive import check_sums
from tests.fixtures.databases import Database, _readers
from tests.lifecycle.conftest import Persons
from tests.lifecycle.erasing import FILE, IDS, TEXT, left_of, requested, speaking
from tests.postgres import Postgres


@pytest.fixture
def backup(postgres: Postgres, postgres_database: Database) -> Iterator[Callable[[], Callable[[], None]]]:
    """Makes a backup of the whole database, and gives what restores it."""
    name = str(conninfo_to_dict(postgres_database.url)["dbname"])

    def copied(source: str, target: str) -> None:
        _readers.close(postgres_database.url)
        postgres.run(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        postgres.run(f"CREATE DATABASE {target} TEMPLATE {source}")

    def make() -> Callable[[], None]:
        copied(name, f"{name}_backup")
        return lambda: copied(f"{name}_backup", name)

    yield make
    postgres.run(f"DROP DATABASE IF EXISTS {name}_backup WITH (FORCE)")


def may_erase(persons: Persons, name: str) -> None:
    persons.archive.database.run(f"GRANT archive_writer, archive_eraser TO {persons.name(name)}")


@pytest.mark.full
@pytest.mark.parametrize("since", ["before the request", "approved"])
def test_what_a_restore_brought_back_is_erased_again_by_two_logins(
    logins: Persons, backup: Callable[[], Callable[[], None]], since: str
) -> None:
    archive = logins.archive
    speaking(archive)
    may_erase(logins, "bob")
    if since == "before the request":
        restore = backup()
        number = requested(logins)
    else:
        number = requested(logins)
        restore = backup()
    logins.now("bob")
    assert archive("erase", "run", number) == 0, archive.errors
    restore()
    assert "messages" in left_of(archive, TEXT)
    for name in ("bob", "alice"):  # an officer sees no tombstones, and goes by what bob's command has noted
        logins.now(name)
        assert archive("search", TEXT) == 2, "by the file, or by the note that another login has left"
        assert "erase reapply" in archive.errors
    assert archive("erase", "reapply") == 2
    assert "may not erase" in archive.errors
    logins.now("bob")
    if since == "before the request":
        assert archive("erase", "reapply") == 2
        assert "another person has to approve" in archive.errors
        ((waiting, who),) = archive.database.rows("SELECT id, who FROM requests")
        assert who == logins.name("bob")
        assert archive("requests", "approve", str(waiting)) == 2
        logins.now("alice")
        assert archive("requests", "approve", str(waiting)) == 0
        assert archive("erase", "reapply") == 2, "an officer erases nothing"
        logins.now("bob")
    assert archive("erase", "reapply") == 0, archive.errors
    assert left_of(archive, TEXT, FILE, "erased-1") == []
    assert archive.database.value("SELECT reapply_since FROM lifecycle") is None
    logins.now("alice")
    assert archive("search", "order") == 0
    check_sums(archive.database)


def test_who_audits_or_erases_certifies_and_an_officer_is_refused(logins: Persons, tmp_path: Path) -> None:
    archive = logins.archive
    speaking(archive)
    number = requested(logins)
    assert archive("erase", "run", number) == 0
    logins.now("alice")
    out = ("erase", "certificate", number, "--output")
    assert archive(*out, str(tmp_path / "refused")) == 2
    assert "cannot certify it" in archive.errors
    assert "archive_auditor" in archive.errors
    assert not (tmp_path / "refused").exists()
    for role in ("archive_auditor", "archive_eraser"):
        archive.database.run(f"GRANT {role} TO {logins.name('bob')}")
        logins.now("bob")
        assert archive(*out, str(tmp_path / role)) == 0, archive.errors
        made = json.loads((tmp_path / role).read_text())
        assert made["messages"] == {"named": 2, "erased": 2, "sealed": 0}
        assert not [one for one in (*IDS, TEXT) if one in json.dumps(made["tombstones"])]
        archive.database.run(f"REVOKE {role} FROM {logins.name('bob')}")
