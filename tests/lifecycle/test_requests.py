"""Acts of two persons: one asks, another approves exactly that, and the database lets nobody be both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.lifecycle.conftest import Persons
from tests.postgres import Postgres

SAID = "INSERT INTO approvals (request_id, decision, body_sha256, who, at)"
EXPORT = ("export", "--format", "jsonl", "--case", "K 7")


def waiting(archive: Archive) -> list[dict[str, Any]]:
    assert archive("requests", "list", "--format", "json") == 0
    return list(json.loads(archive.output))


def test_an_export_of_two_persons_is_carried_out_once(persons: Persons, tmp_path: Path) -> None:
    archive = persons.archive
    out = ("--output", str(tmp_path / "out"))
    persons.now("alice")
    assert archive(*EXPORT, *out) == 2
    assert "--propose" in archive.errors
    assert archive(*EXPORT, *out, "--propose") == 0
    (asked,) = waiting(archive)
    assert (asked["kind"], asked["state"], asked["who"]) == ("export", "waiting", persons.name("alice"))
    assert asked["body"]["case"] == "K 7"
    number = str(asked["id"])
    assert archive(*EXPORT, *out, "--request", number) == 2
    assert "is not approved" in archive.errors
    assert archive("requests", "approve", number) == 2
    assert "another person" in archive.errors
    persons.now("bob")
    assert archive("requests", "show", number) == 0
    assert "K 7" in archive.output
    assert archive("requests", "approve", number) == 0
    assert archive("requests", "approve", number) == 2
    persons.now("alice")
    assert archive(*EXPORT, *out, "--sender", "somebody else", "--request", number) == 2
    assert "something else" in archive.errors
    assert not (tmp_path / "out").exists()
    assert archive(*EXPORT, *out, "--request", number) == 0
    assert archive(*EXPORT, "--output", str(tmp_path / "again"), "--request", number) == 2
    assert "begun already" in archive.errors
    logged = archive.database.rows("SELECT filter FROM audit_log WHERE outcome = 'done'")
    assert [json.loads(row[0])["request"] for row in logged] == [asked["id"]]
    decided = archive.database.rows("SELECT decision, who FROM approvals ORDER BY id")
    assert decided == [("approved", persons.name("bob")), ("begun", persons.name("alice"))]
    assert waiting(archive) == []


@pytest.mark.full
def test_an_export_that_was_interrupted_goes_on_by_the_same_request(persons: Persons, tmp_path: Path) -> None:
    archive = persons.archive
    persons.now("alice")
    archive(*EXPORT, "--output", str(tmp_path / "out"), "--propose")
    persons.now("bob")
    assert archive("requests", "approve", "1") == 0
    archive.database.run(f"{SAID} SELECT id, 'begun', body_sha256, 'alice', at FROM requests")
    persons.now("alice")
    assert archive(*EXPORT, "--output", str(tmp_path / "out"), "--request", "1") == 0


@pytest.mark.parametrize("way", ["refuse", "withdraw", "too late"])
def test_what_is_over_is_not_carried_out(persons: Persons, tmp_path: Path, way: str) -> None:
    archive = persons.archive
    out = ("--output", str(tmp_path / "out"))
    persons.now("alice")
    archive(*EXPORT, *out, "--propose")
    persons.now("bob")
    assert archive("requests", "withdraw", "1") == 2
    assert "is not yours" in archive.errors
    assert archive("requests", "approve", "1") == 0
    if way == "too late":
        old = "2020-01-01 00:00:00Z" if archive.database.kind == "postgresql" else "2020-01-01T00:00:00.000Z"
        without_triggers(archive.database, f"UPDATE approvals SET at = '{old}'")
    else:
        persons.now("alice" if way == "withdraw" else "bob")
        assert archive("requests", way, "1") == 0
    persons.now("alice")
    assert archive(*EXPORT, *out, "--request", "1") == 2
    assert ("more than 7 days ago" if way == "too late" else "already") in archive.errors
    assert archive("requests", "refuse", "9") == 2


def without_triggers(database: Database, statement: str) -> None:
    if database.kind == "postgresql":
        database.run(f"SET session_replication_role = replica; {statement}")
    else:
        database.run("DROP TRIGGER approvals_no_update")
        database.run(statement)


def test_the_database_itself_refuses_what_one_person_decides(persons: Persons, tmp_path: Path) -> None:
    archive = persons.archive
    persons.now("alice")
    archive(*EXPORT, "--output", str(tmp_path / "out"), "--propose")
    run = archive.database.run
    who = archive.database.value("SELECT who FROM requests")
    said = SAID + " SELECT id, {}, {}, '{}', at FROM requests"
    with pytest.raises(Exception, match="not what was decided on"):
        run(said.format("'approved'", "'ff'", "carol"))
    with pytest.raises(Exception, match="the request is not approved"):
        run(said.format("'begun'", "body_sha256", "carol"))
    if archive.database.kind == "sqlite":
        with pytest.raises(Exception, match="nobody approves an own request"):
            run(said.format("'approved'", "body_sha256", who.upper()))
    for statement in ("UPDATE requests SET body = 'x'", "DELETE FROM requests"):
        with pytest.raises(Exception, match="is append-only"):
            run(statement)


def test_a_login_cannot_speak_for_another(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive
) -> None:
    archive = make_archive(postgres_database, messages=5)
    assert archive("pull") == 0
    columns = "INSERT INTO requests (kind, body, body_sha256, who, login, at)"
    archive.database.run(f"{columns} VALUES ('export', '{{}}', 'aa', 'bob', 'bob', now())")
    assert archive.database.rows("SELECT who, login FROM requests") == [("postgres", "postgres")]
    said = (
        "INSERT INTO approvals (request_id, decision, body_sha256, who, at) VALUES (1, 'approved', 'aa', 'bob', now())"
    )
    with pytest.raises(Exception, match="nobody approves an own request"):
        archive.database.run(said)


@pytest.mark.full
def test_an_accepted_loss_can_need_two_persons_too(persons: Persons) -> None:
    archive = persons.archive
    row = archive.database.rows(
        "SELECT id, lo_ms, hi_ms FROM windows WHERE pass = 1 AND state = 'closed' ORDER BY lo_ms"
    )
    window_id, lo_ms, hi_ms = row[0]
    lost = f"UPDATE windows SET state = 'expired', reason = 'gone' WHERE id = {window_id}"
    accept = ("coverage", "accept", "--from", str(lo_ms), "--to", str(hi_ms), "--reason", "ticket 42")
    assert archive(*accept) == 2
    assert "--propose" in archive.errors
    persons.now("alice")
    assert archive(*accept, "--propose") == 0
    persons.now("bob")
    assert archive("requests", "approve", "1") == 0
    state = f"SELECT state FROM windows WHERE id = {window_id}"
    if archive.database.kind == "postgresql":  # it writes what a pull writes, which an officer may not
        archive.database.run(f"GRANT archive_writer TO {persons.name('bob')}")
    assert archive(*accept, "--request", "1") == 2
    assert "no hole lies in this range" in archive.errors
    archive.database.run(lost)
    assert archive(*accept, "--request", "1") == 0, "what came to nothing has not used it up"
    assert archive.database.value(state) == "accepted"
    assert archive(*accept, "--request", "1") == 2
