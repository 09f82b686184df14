"""After a wipe no byte of what was erased is in the database's files, and the planner knows nothing of it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.store import sqlite
from tests.fixtures.archive import Archive
from tests.lifecycle.conftest import Persons
from tests.lifecycle.erasing import FILE, IDS, PAIR, TEXT, requested, speaking

NEEDLES = (TEXT.encode(), FILE.encode(), b"Erased-1")


def files_of(archive: Archive) -> Iterator[Path]:
    path = Path(archive.database.url.removeprefix("sqlite:///"))
    yield from (file for file in sqlite.files(path) if file.exists())


def in_files(archive: Archive) -> set[bytes]:
    """The needles that are in the file of an SQLite archive or beside it."""
    whole = b"".join(file.read_bytes() for file in files_of(archive))
    return {needle for needle in NEEDLES if needle in whole}


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections of the program with secure_delete off, as other programs have it."""
    for name in ("LASTING", "HASTY"):
        pragmas = [*(one for one in getattr(sqlite, name) if "secure_delete" not in one), "secure_delete=OFF"]
        monkeypatch.setattr(sqlite, name, tuple(pragmas))


IN_INDEX = "SELECT count(*) FROM search_index_data WHERE instr(block, x'{}') > 0"


@pytest.mark.full
@pytest.mark.parametrize("way", ["careless", "careful"])
def test_no_byte_is_left_in_the_files(accounts: Persons, way: str, request: pytest.FixtureRequest) -> None:
    archive, database = accounts.archive, accounts.archive.database
    if way == "careless":
        request.getfixturevalue("careless")
    speaking(archive)
    number = requested(accounts)
    assert in_files(archive) == set(NEEDLES)
    pair = IN_INDEX.format(PAIR.encode().hex())
    assert database.value(pair) > 0
    assert archive("erase", "run", number) == 0
    if way == "careless":
        assert in_files(archive), "the control: they are there, and this search finds them"
    assert archive("erase", "wipe") == 0, archive.errors
    assert in_files(archive) == set()
    assert database.value(pair) == 0
    assert archive.count("lifecycle WHERE wiped_at IS NOT NULL") == 1
    assert archive("search", "order") == 0


@pytest.mark.full
def test_a_wipe_waits_for_who_reads_an_older_state(accounts: Persons, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = accounts.archive
    monkeypatch.setattr("archiver.cli.erase._READERS_WITHIN_S", 0.0)
    speaking(archive)
    number = requested(accounts)
    with contextlib.closing(sqlite3.connect(archive.database.url.removeprefix("sqlite:///"))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchall()
        assert archive("erase", "run", number) == 0
        assert archive("erase", "wipe") == 75
        assert "older state" in archive.errors
        assert archive.count("lifecycle WHERE wiped_at IS NOT NULL") == 0
    assert archive("erase", "wipe") == 0
    assert in_files(archive) == set()


@pytest.mark.full
def test_the_planner_of_a_server_knows_nothing_of_it(logins: Persons) -> None:
    archive = logins.archive
    speaking(archive)
    archive.database.run("ALTER TABLE messages ALTER COLUMN sender SET STATISTICS 10000")
    archive.database.run("ANALYZE messages; ANALYZE message_bodies")
    known = "SELECT count(*) FROM pg_stats WHERE tablename IN ('messages', 'message_bodies')"
    known += f" AND (most_common_vals::text ILIKE '%{IDS[0]}%' OR histogram_bounds::text ILIKE '%{IDS[0]}%'"
    known += " OR most_common_vals::text ILIKE '%erased-1%' OR histogram_bounds::text ILIKE '%erased-1%'"
    known += f" OR most_common_vals::text ILIKE '%{TEXT}%' OR histogram_bounds::text ILIKE '%{TEXT}%')"
    people = known.replace(IDS[0], "erased-2")
    number = requested(logins)
    assert archive("erase", "run", number) == 0
    assert archive.database.value(people) > 0, "the control: it is there before"
    logins.now("bob")
    assert archive("erase", "wipe") == 2
    assert "does not own" in archive.errors
    logins.operate()
    assert archive("erase", "wipe") == 0, archive.errors
    assert archive.database.value(people) == 0
    assert archive.database.value("SELECT count(*) FROM lifecycle WHERE wiped_at IS NOT NULL") == 1


@pytest.mark.full
def test_the_certificate_says_what_was_erased_and_what_stays(persons: Persons, tmp_path: Path) -> None:
    archive = persons.archive
    speaking(archive)
    plain = archive.config.read_text()
    archive.config.write_text(plain.replace('["export", "accept"]', "[]"))
    assert archive("export", "--format", "csv", "--output", str(tmp_path / "copy")) in (0, 3)
    archive.config.write_text(plain)
    number = requested(persons)
    file = tmp_path / "certificate.json"
    assert archive("erase", "certificate", number, "--output", str(file)) == 2
    assert archive("erase", "run", number) == 0
    assert archive("erase", "certificate", number, "--output", str(file)) == 0, archive.errors
    said = json.loads(file.read_text())
    assert TEXT not in file.read_text()
    assert (said["messages"], said["complete"]) == ({"named": 2, "erased": 2, "sealed": 0}, True)
    assert (said["bytes"], said["note"]) == ("unreadable by SQL, bytes pending", None)
    assert [one["decision"] for one in said["request"]["decisions"]] == ["approved", "begun"]
    assert said["request"]["decisions"][0]["who"] == persons.name("bob")
    assert [(one["certain"], one["outcome"]) for one in said["exports"]] == [(True, "done")]
    assert (said["tombstones"]["messages"], said["tombstones"]["revisions"]) == (2, 1)
    assert said["related_left"] == {"count": 0, "ids": []}
    assert archive("erase", "certificate", number, "--output", str(file)) == 2
    assert archive("erase", "wipe") == 0
    assert archive("erase", "certificate", number, "--output", str(tmp_path / "later")) == 0
    later = json.loads((tmp_path / "later").read_text())
    assert later["bytes"] == "wiped"
    assert later["tombstones"] == said["tombstones"]
