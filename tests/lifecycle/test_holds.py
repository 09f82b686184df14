"""Legal holds by command: in force at once, also for what comes later; let go of by two persons, a month later."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archiver.store.seals import key_text
from tests.lifecycle.conftest import Persons

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

WHY = ("--case", "K7", "--reason", "a letter")


def instant(value: str | datetime) -> datetime:
    """As either database gives it."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def shown(persons: Persons, number: int = 1) -> dict[str, Any]:
    assert persons.archive("hold", "show", str(number), "--format", "json") == 0
    return dict(json.loads(persons.archive.output))


def add(persons: Persons, *criteria: str) -> int:
    """Place a hold; gives how many messages it covers."""
    assert persons.archive("hold", "add", "a claim", *criteria, *WHY) == 0, persons.archive.errors
    number = int(persons.archive.output.split()[1])
    return int(shown(persons, number)["messages"])


def test_a_hold_is_placed_by_one_and_let_go_of_by_two_a_month_later(persons: Persons) -> None:
    archive = persons.archive
    persons.now("alice")
    assert archive("hold", "list") == 0
    assert "there is no hold" in archive.output
    assert archive("hold", "add", "a claim", *WHY) == 0
    assert archive.output.splitlines() == ["hold 1 is in force", "it covers every message"]
    placed = shown(persons)
    assert (placed["state"], placed["ends"], placed["messages"], placed["case"]) == ("in_force", None, 20, "K7")
    assert [(event["event"], event["who"]) for event in placed["events"]] == [("placed", persons.name("alice"))]
    assert archive("hold", "release", "1", "--reason", "settled") == 0
    assert archive("requests", "approve", "1") == 2
    assert "another person" in archive.errors
    assert shown(persons)["state"] == "in_force"
    persons.now("bob")
    assert archive("requests", "approve", "1") == 0
    assert "approved and carried out" in archive.output
    ending = shown(persons)
    assert ending["state"] == "ending"
    approved, ends = archive.database.rows(
        "SELECT a.at, e.effective_at FROM approvals a JOIN hold_events e ON e.request_id = a.request_id"
        " WHERE a.decision = 'approved'"
    )[0]
    assert instant(ends) - instant(approved) == timedelta(days=30)
    for command in (
        ("hold", "release", "1", "--reason", "x"),
        ("hold", "widen", "1", "--sender", "x", "--reason", "x"),
    ):
        assert archive(*command) == 2
        assert "approved already" in archive.errors
    assert archive("hold", "list", "--format", "json") == 0
    assert [(hold["id"], hold["state"]) for hold in json.loads(archive.output)] == [(1, "ending")]
    assert archive("hold", "list", "--language", "zh") == 0
    assert "a claim" in archive.output
    assert archive("requests", "list", "--all", "--format", "json") == 0
    assert [request["state"] for request in json.loads(archive.output)] == ["begun"]


@pytest.mark.full
def test_two_requests_release_a_hold_once(persons: Persons) -> None:
    archive = persons.archive
    persons.now("alice")
    assert archive("hold", "add", "a claim", *WHY) == 0
    for _ in range(2):
        assert archive("hold", "release", "1", "--reason", "settled") == 0
    persons.now("bob")
    assert archive("requests", "approve", "2") == 0
    assert archive("requests", "approve", "1") == 2
    assert "approved already" in archive.errors
    assert archive.database.rows("SELECT decision FROM approvals WHERE request_id = 1") == []


def test_an_altered_request_lets_go_of_nothing(persons: Persons) -> None:
    archive = persons.archive
    persons.now("alice")
    for name in ("one", "two"):
        assert archive("hold", "add", name, *WHY) == 0
    assert archive("hold", "release", "1", "--reason", "settled") == 0
    change = """UPDATE requests SET body = replace(body, '"hold":1', '"hold":2')"""
    if archive.database.kind == "postgresql":
        archive.database.run(f"SET session_replication_role = replica; {change}")
    else:
        archive.database.run("DROP TRIGGER requests_no_update")
        archive.database.run(change)
    persons.now("bob")
    assert archive("requests", "approve", "1") == 2
    assert "not what it was" in archive.errors
    assert [shown(persons, number)["state"] for number in (1, 2)] == ["in_force", "in_force"]


def test_alice_and_alice_in_capitals_are_one_person(persons: Persons, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = persons.archive
    persons.now("alice")
    assert archive("hold", "add", "a claim", *WHY) == 0
    assert archive("hold", "release", "1", "--reason", "settled") == 0
    if archive.database.kind == "sqlite":
        monkeypatch.setattr("archiver.host.account", lambda: "ALICE")
    else:
        capitals = persons.name("alice").upper()
        archive.database.run(f'CREATE ROLE "{capitals}" LOGIN IN ROLE archive_officer')
        config = archive.config.read_text().replace(persons.name("alice"), capitals)
        archive.config.write_text(config)
    try:
        assert archive("requests", "approve", "1") == 2
        assert "is your own" in archive.errors
    finally:
        if archive.database.kind == "postgresql":
            archive.database.run(f'DROP ROLE "{capitals}"')


def test_a_hold_covers_what_comes_later_and_what_it_was_widened_by(persons: Persons) -> None:
    archive, server = persons.archive, persons.archive.server
    assert archive("hold", "add", "a claim", "--participant", "JUDY", *WHY) == 0
    assert "only read in a group" in archive.errors
    assert shown(persons)["messages"] == 0
    start = server.start_ms
    talk = [
        {"msg_id": "1", "from": "Judy", "to": "mallory", "chat_type": "chat"},
        {"msg_id": "2", "from": "mallory", "to": "judy", "chat_type": "chat"},
        {"msg_id": "3", "from": "mallory", "to": "trent", "chat_type": "chat"},
        {"msg_id": "4", "from": "judy", "to": "g1", "chat_type": "groupchat"},
        {"msg_id": "5", "from": "trent", "to": "g1", "chat_type": "groupchat"},
        {"msg_id": "6", "from": "trent", "to": "g2", "chat_type": "groupchat"},
    ]
    for number, message in enumerate(talk):
        body = {"bodies": [{"type": "txt", "msg": "x"}], "timestamp": start + number, **message}
        server.add(body, timestamp_ms=start + number, visible_ms=0)
    assert archive("audit", "--from", str(start), "--to", str(start + 60_000)) in (0, 3)
    assert archive.count("messages") == 26
    assert shown(persons)["messages"] == 4, "1, 2, 4 and 5"
    assert shown(persons)["conversations"] == 0, "those of later messages are looked up"
    assert archive("hold", "widen", "1", "--conversation", "g2", "--reason", "named") == 0
    assert shown(persons)["messages"] == 5
    assert [event["covers"] for event in shown(persons)["events"]] == [{"participant": "JUDY"}, {"conversation": "g2"}]
    assert add(persons, "--participant", "judy", "--to", str(start + 4)) == 3, "1, 2 and 4"
    assert archive.database.rows("SELECT conversation FROM hold_conversations WHERE hold_id = 2 ORDER BY 1") == [
        ("g1",),
        ("judy|mallory",),
    ]
    assert archive("hold", "widen", "1", "--reason", "all") == 2
    assert "would hold everything" in archive.errors


def test_a_list_holds_the_messages_that_it_names(persons: Persons, tmp_path: Path) -> None:
    archive = persons.archive
    ids = [row[0] for row in archive.database.rows("SELECT msg_id FROM messages ORDER BY msg_id LIMIT 3")]
    path = tmp_path / "ids"
    path.write_text("\n".join([*ids, ids[0], "", "not there yet"]))
    assert archive("hold", "add", "listed", "--list", str(path), "--app", archive.server.app, *WHY) == 0
    assert "1 messages of the list are not in the archive" in archive.errors
    assert shown(persons) | {"events": []} == {
        "id": 1, "name": "listed", "case": "K7", "state": "in_force", "ends": None,
        "messages": 3, "conversations": 0, "items": 4, "events": [],
    }  # fmt: skip
    path.write_text("\n")
    for wrong in (str(path), str(tmp_path / "missing"), str(tmp_path)):
        assert archive("hold", "add", "listed", "--list", wrong, "--app", archive.server.app, *WHY) == 2
        assert "one message id a line" in archive.errors


def test_an_officers_holds_are_queued_for_the_ledger(persons: Persons, tmp_path: Path) -> None:
    """By triggers: whoever places them needs neither the key nor a right to the queue."""
    archive = persons.archive
    archive.database.run("INSERT INTO ledger_head (id, size) VALUES (1, 0)")
    app_id, msg_id, sender = archive.database.rows(
        "SELECT app_id, msg_id, sender FROM messages WHERE conversation IS NOT NULL AND sender IS NOT NULL LIMIT 1"
    )[0]
    (tmp_path / "ids").write_text(msg_id)
    persons.now("alice")
    listed = ("--list", str(tmp_path / "ids"), "--app", archive.server.app)
    assert archive("hold", "add", "a claim", "--participant", sender, *listed, *WHY) == 0
    queued = dict(archive.database.rows("SELECT table_name, key FROM ledger_queue ORDER BY id"))
    assert set(queued) == {"hold_events", "hold_conversations", "hold_items"}
    assert json.loads(queued["hold_items"]) == [1, app_id, msg_id]
    assert queued["hold_items"] == key_text([1, app_id, msg_id])


@pytest.mark.full
def test_a_hold_that_would_have_to_wait_for_long_is_not_placed_and_exits_with_75(persons: Persons) -> None:
    database = persons.archive.database
    if database.kind == "sqlite":
        path = database.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert persons.archive("hold", "add", "x", *WHY) == 75
    else:
        with psycopg.connect(database.url) as page:
            page.execute("SELECT pg_advisory_xact_lock_shared(x'6172636869766572'::bigint)")
            assert persons.archive("hold", "add", "x", *WHY) == 75
    assert persons.archive.count("hold_events") == 0
    assert persons.archive("hold", "add", "x", *WHY) == 0


def test_what_cannot_be_held_is_refused_with_the_remedy(persons: Persons) -> None:
    archive = persons.archive
    for command, remedy in (
        (("hold", "add", "x", "--app", "other", *WHY), "there is:"),
        (("hold", "add", "x", "--unreadable", *WHY), "--participant"),
        (("hold", "add", "x", "--case", "K7"), "--reason"),
        (("hold", "add", "x", "--type", "txt", *WHY), "--type"),
        (("hold", "add", "x", "--from", "2026-02-01", "--to", "2026-01-01", *WHY), "before"),
        (("hold", "show", "9"), "archiver hold list"),
        (("hold", "release", "9", "--reason", "x"), "archiver hold list"),
    ):
        assert archive(*command) == 2, command
        assert remedy in archive.errors
    assert archive.count("hold_events") == 0
