"""Looks: a row before anything that people wrote is shown, and nothing without it, on both databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archiver.errors import LookRefused
from archiver.looks import Looks
from archiver.store.engine import open_for_reading
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database
from tests.postgres import Postgres

COLUMNS = "outcome, action, case_id, reason, filter, found, page, via, login, look_id"


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Archive:
    pulled = make_archive(database, messages=60)
    assert pulled("pull") == 0
    return pulled


def watched(archive: Archive, more: str = "") -> None:
    archive.config.write_text(f"[review]\n{more}\n" + archive.config.read_text())


def looks(archive: Archive) -> list[dict[str, Any]]:
    rows = archive.database.rows(f"SELECT {COLUMNS} FROM looks ORDER BY id")
    return [dict(zip(COLUMNS.split(", "), row, strict=True)) for row in rows]


def conversations(archive: Archive) -> list[tuple[Any, ...]]:
    return archive.database.rows("SELECT look_id, conversation FROM look_conversations ORDER BY id")


def a_conversation(archive: Archive) -> str:
    query = "SELECT conversation FROM messages WHERE chat_type = 'chat' GROUP BY conversation"
    return str(archive.database.value(f"{query} ORDER BY count(*) DESC, conversation LIMIT 1"))


def test_looks_are_off_unless_they_are_asked_for(archive: Archive) -> None:
    assert archive("search", "a", "--case", "7") in (0, 3)
    assert "noted nowhere" in archive.errors
    assert archive("conversations") == 0
    watched(archive, "looks = false")
    assert archive("conversations") == 0
    assert looks(archive) == []


def test_a_search_is_noted_with_the_conversations_it_shows(archive: Archive) -> None:
    watched(archive)
    assert archive("search", "a", "--limit", "2", "--format", "jsonl", "--case", "K 7", "--reason", "complaint") == 0
    shown = [json.loads(line) for line in archive.output.splitlines()]
    (look,) = looks(archive)
    assert len(shown) == look["found"] == 2
    assert (look["outcome"], look["action"], look["case_id"], look["reason"]) == ("shown", "search", "K 7", "complaint")
    assert json.loads(look["filter"]) == {"texts": ["a"]}
    assert (look["page"], look["via"]) == (1, "cli")
    assert look["login"] == ("postgres" if archive.database.kind == "postgresql" else None)
    assert {row[1] for row in conversations(archive)} == {hit["conversation"] for hit in shown}
    assert archive("search", "not in any message", "--limit", "2") == 0
    assert looks(archive)[1]["found"] == 0


def test_what_is_shown_as_it_is_read_has_two_rows(archive: Archive) -> None:
    watched(archive)
    name = a_conversation(archive)
    assert archive("conversation", *name.split("|")) == 0
    assert archive("search", "a", "--limit", "0") == 0
    begun, done, searching, searched = looks(archive)
    assert [row["outcome"] for row in (begun, done, searching, searched)] == ["begun", "done", "begun", "done"]
    assert begun["found"] is None
    assert done["found"] == archive.database.value(f"SELECT count(*) FROM messages WHERE conversation = '{name}'")
    assert begun["look_id"] == done["look_id"]
    assert json.loads(begun["filter"])["conversation"] == name
    assert conversations(archive) == [(begun["look_id"], name), (searching["look_id"], None)]


@pytest.mark.parametrize(("error", "outcome"), [(BrokenPipeError, "stopped"), (ValueError, "failed")])
def test_a_transcript_that_is_cut_off_says_so(archive: Archive, error: type[Exception], outcome: str) -> None:
    store = open_database(archive.database)

    def read() -> None:
        with Looks(store, "me").stream("conversation", {}, []) as streamed:
            streamed.shown = 3
            raise error

    with pytest.raises(error):
        read()
    store.dispose()
    assert [(row["outcome"], row["found"]) for row in looks(archive)] == [("begun", None), (outcome, 3)]


@pytest.mark.full
def test_lists_and_quarantine_are_looks_too(archive: Archive) -> None:
    broken = b'{"msg_id": "q1", "timestamp": "1e3"}'
    archive.server.add(broken, timestamp_ms=archive.server.start_ms + 1000, visible_ms=0)
    archive("audit", "--from", str(archive.server.start_ms), "--to", str(archive.server.start_ms + 2000))
    watched(archive)
    number = str(archive.database.value("SELECT id FROM quarantine"))
    assert archive("conversations", "--of", "iris") == 0
    assert archive("participants", "--like", "x") == 0
    assert archive("quarantine", "show", number, "--case", "7") == 0
    of, like, bytes_of = looks(archive)
    assert json.loads(of["filter"]) == {"of": "iris", "list": "conversations"}
    assert json.loads(like["filter"]) == {"like": "x", "list": "participants"}
    assert (bytes_of["action"], json.loads(bytes_of["filter"])) == ("quarantine", {"id": int(number)})
    for command in ("status", "coverage", "statement", "quarantine list"):
        archive(*command.split())
    assert len(looks(archive)) == 3, "they show nothing that people wrote"


@pytest.mark.parametrize("command", ["search", "conversation", "conversations", "participants"])
def test_nothing_is_shown_that_cannot_be_noted(archive: Archive, command: str) -> None:
    watched(archive)
    name = a_conversation(archive)
    arguments = {"search": ["a", "--format", "jsonl"], "conversation": name.split("|")}.get(command, [])
    archive.database.run("ALTER TABLE looks RENAME TO elsewhere")
    assert archive(command, *arguments) == 2
    assert archive.output == ""
    assert "nothing is shown without its row in looks" in archive.errors


def test_an_archive_that_cannot_be_written_shows_nothing(archive: Archive) -> None:
    if archive.database.kind == "sqlite":
        store = open_for_reading(archive.database.url)
        with pytest.raises(LookRefused) as refused:
            Looks(store, "me").show("search", {}, count=1)
        store.dispose()
        assert refused.value.exit_code == 1
        assert "looks = false" in str(refused.value.hint)


@pytest.mark.parametrize("command", ["search a", "conversations", "participants", "quarantine show 1", "export"])
def test_a_case_can_be_demanded(archive: Archive, tmp_path: Path, command: str) -> None:
    watched(archive, "require_case = true")
    more = ["--format", "jsonl", "--output", str(tmp_path / "out")] if command == "export" else []
    for given in ([], ["--case", "7"], ["--reason", "asked"]):
        assert archive(*command.split(), *more, *given) == 2
        assert "--case ID --reason TEXT" in archive.errors
    assert looks(archive) == []
    if command != "quarantine show 1":
        assert archive(*command.split(), *more, "--case", "7", "--reason", "asked") == 0


def test_no_look_is_changed_or_deleted(archive: Archive) -> None:
    watched(archive)
    archive("search", "a", "--limit", "2")
    for table in ("looks", "look_conversations"):
        for statement in (f"UPDATE {table} SET look_id = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(Exception, match=f"{table} is append-only"):
                archive.database.run(statement)


def test_who_looked_at_whom_and_at_what(archive: Archive, tmp_path: Path) -> None:
    watched(archive)
    name = a_conversation(archive)
    first, second = name.split("|")
    archive("conversation", first, second, "--case", "K 7", "--reason", "complaint")
    archive("export", "--format", "jsonl", "--output", str(tmp_path / "out"), "--conversation", name)
    query = "SELECT conversation, action, case_id FROM looks_by_person WHERE lower(person) = '{}' ORDER BY at"
    for person in (first, second):
        rows = archive.database.rows(query.format(person))
        assert rows == [(name, "conversation", "K 7"), (name, "export", None)]
    by_officer = archive.database.rows("SELECT action, looks, conversations FROM looks_by_officer ORDER BY action")
    assert by_officer == [("conversation", 1, 1), ("export", 1, 1)]


def test_an_officer_may_look_and_a_reader_hears_who_may(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive
) -> None:
    archive = make_archive(postgres_database, messages=20)
    assert archive("pull") == 0
    assert archive("migrate", "--roles") == 0
    watched(archive)
    unique = postgres_database.url.rpartition("archiver_")[2].partition("?")[0]
    logins = {role: f"{role}_{unique}" for role in ("archive_officer", "archive_reader")}
    whole = archive.config.read_text()
    try:
        for role, login in logins.items():
            postgres.run(f"CREATE ROLE {login} LOGIN IN ROLE {role}")
        archive.config.write_text(whole.replace("postgres@", f"{logins['archive_reader']}@"))
        assert archive("conversations") == 2
        assert "archive_officer" in archive.errors
        assert archive.output == ""
        archive.config.write_text(whole.replace("postgres@", f"{logins['archive_officer']}@"))
        assert archive("search", "a", "--limit", "2") == 0
        (look,) = looks(archive)
        assert look["login"] == logins["archive_officer"], "the database's own word"
    finally:
        for login in logins.values():
            postgres.run(f"DROP ROLE {login}")
