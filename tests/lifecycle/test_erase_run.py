"""An erasure: nothing of the messages is left but a husk, nothing comes back, and what has to stay is sealed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.export.samples import said
from tests.fixtures.archive import check_sums
from tests.lifecycle.conftest import Persons
from tests.lifecycle.erasing import FILE, IDS, PEOPLE, SHA256, TEXT, again, left_of, requested, speaking

WORDS = (TEXT, FILE, "erased-1", "erased-2", SHA256)


def husks(persons: Persons) -> list[tuple[str, int | None]]:
    query = f"SELECT msg_id, withheld FROM messages WHERE msg_id IN {IDS} ORDER BY msg_id"
    return persons.archive.database.rows(query)


def test_nothing_is_left_but_a_husk_and_a_tombstone(persons: Persons, tmp_path: Path) -> None:
    archive, database = persons.archive, persons.archive.database
    speaking(archive)
    before = archive.status()
    assert {"messages", "message_bodies", "message_revisions", "revision_bodies", "search_texts", "attachments",
            "events", "quarantine"} <= set(left_of(archive, *WORDS))  # fmt: skip
    number = requested(persons)
    assert archive("erase", "run", number) == 0, archive.errors
    assert "2 messages and 1 records in quarantine are erased" in archive.output
    assert left_of(archive, *WORDS) == ["blob_wipes"]
    assert database.rows("SELECT sha256 FROM blob_wipes") == [(SHA256,)]
    assert husks(persons) == [(IDS[0], 2), (IDS[1], 2)]
    query = (
        f"SELECT length(raw), length(digest), sender, recipient, conversation, ext FROM messages WHERE msg_id IN {IDS}"
    )
    assert set(database.rows(query)) == {(0, 32, None, None, None, None)}
    assert len(database.rows(f"SELECT DISTINCT digest FROM messages WHERE msg_id IN {IDS}")) == 2
    stones = database.rows("SELECT kind, msg_id, messages, bodies, revisions FROM tombstones ORDER BY id")
    assert sorted(stones, key=str) == sorted([
        *(("erased", IDS[0], 1, 2, 0), ("erased", IDS[0], 0, 1, 1), ("erased", IDS[1], 1, 1, 0)),
        ("erased", None, 0, 0, 0),
    ], key=str)  # fmt: skip
    files = database.rows(f"SELECT state, url, reason, size, media_type FROM attachments WHERE msg_id = '{IDS[0]}'")
    assert files == [("gone", "", "erased", None, None)]
    assert database.value("SELECT count(*) FROM pages WHERE sha256 <> ''") == 0
    lines = [json.loads(line) for line in archive.config.with_name("erasures.jsonl").read_text().splitlines()]
    assert [(line["msg_id"], line["request"]) for line in lines] == [(IDS[0], int(number)), (IDS[1], int(number))]
    check_sums(database)
    after = archive.status()
    assert (after["messages"], after["windows"]) == (before["messages"], before["windows"])
    assert archive("search", "110101199003070011") == 0
    assert TEXT not in archive.output
    assert archive("erase", "run", number) == 0
    assert "0 messages and 0 records" in archive.output
    assert database.value("SELECT count(*) FROM tombstones") == 4


@pytest.mark.full
def test_what_is_erased_is_not_stored_again(persons: Persons) -> None:
    archive, database = persons.archive, persons.archive.database
    speaking(archive)
    number = requested(persons)
    assert archive("erase", "run", number) == 0
    rows = {table: archive.count(table) for table in ("messages", "message_revisions", "message_bodies", "quarantine")}
    again(archive)
    assert archive("pull") == 0
    assert archive("backfill", "--from", str(archive.server.start_ms - 3_600_000)) == 0
    after = {table: archive.count(table) for table in rows}
    assert after == rows | {"quarantine": rows["quarantine"] + 1}, "the broken record was asked for by hand"
    assert left_of(archive, "erased-1", FILE) == []
    assert husks(persons) == [(IDS[0], 2), (IDS[1], 2)]
    check_sums(database)
    assert archive("erase", "run", number) == 0
    assert left_of(archive, *WORDS) == ["blob_wipes"]


@pytest.mark.full
def test_hourly_files_and_reopened_windows_bring_nothing_erased_back(persons: Persons) -> None:
    """By a second source of the app; with other content, and as a record that cannot be read."""
    archive, database = persons.archive, persons.archive.database
    start = speaking(archive)
    number = requested(persons)
    assert archive("erase", "run", number) == 0
    tables = ("messages", "message_revisions", "message_bodies", "events")
    rows = {table: archive.count(table) for table in tables}
    archive.server.add(said(IDS[0], "in other words", start, **PEOPLE), timestamp_ms=start, visible_ms=0)
    unreadable = said(IDS[1], TEXT, start, **PEOPLE) | {"timestamp": "never"}
    archive.server.add(unreadable, timestamp_ms=start + 2, visible_ms=0)
    database.run("UPDATE windows SET state = 'pending', progress_ms = NULL, fence = fence + 1 WHERE state = 'closed'")
    assert archive("pull") == 0, archive.errors
    assert archive("pull", source="hourly", audits=None) in (0, 75), archive.errors
    assert database.value("SELECT count(*) FROM pages WHERE source = 'hourly' AND known > 0") > 0
    assert {table: archive.count(table) for table in tables} == rows
    hashed = "SELECT count(*) FROM windows w WHERE source = 'hourly' AND file_sha256"
    of_erased = "EXISTS (SELECT 1 FROM pages p WHERE p.window_id = w.id AND p.sha256 = '')"
    assert database.value(f"{hashed} <> '' AND {of_erased}") == 0, "no hash is left of a file that held it"
    assert database.value(f"{hashed} = '' AND {of_erased}") > 0
    assert husks(persons) == [(IDS[0], 2), (IDS[1], 2)]
    assert left_of(archive, "in other words", FILE) == []
    check_sums(database)


def test_nobody_erases_alone(persons: Persons) -> None:
    archive = persons.archive
    speaking(archive)
    number = requested(persons, approve=False)
    assert archive("erase", "run", number) == 2
    assert "waiting" in archive.errors
    persons.now("alice")
    assert archive("requests", "approve", number) == 2
    if archive.database.kind == "postgresql":
        persons.now("bob")
        assert archive("requests", "approve", number) == 0
        assert archive("erase", "run", number) == 2, "an officer erases nothing"
    persons.operate()
    assert archive("requests", "refuse", number) == 0
    assert archive("erase", "run", number) == 2
    assert husks(persons) == [(IDS[0], None), (IDS[1], None)]
    assert archive.count("tombstones") == 0
    assert archive("erase", "run", "99") == 2


@pytest.mark.full
def test_an_approval_is_for_seven_days_and_for_what_was_seen(persons: Persons) -> None:
    archive = persons.archive
    speaking(archive)
    number = requested(persons)
    archive.database.alter("UPDATE approvals SET at = '2020-01-01T00:00:00.000Z'")
    assert archive("erase", "run", number) == 2
    assert "more than 7 days ago" in archive.errors
    second = requested(persons)
    archive.database.alter(f"UPDATE request_items SET msg_id = '{IDS[0]}x' WHERE msg_id = '{IDS[0]}'")
    assert archive("erase", "run", second) == 2
    assert "not what it was" in archive.errors
    assert archive.count("tombstones") == 0


HOLD = ("hold", "add", "claim", "--participant", "ERASED-1", "--case", "K7", "--reason", "a letter")


@pytest.mark.full
@pytest.mark.parametrize("held", [False, True], ids=["", "held"])
@pytest.mark.parametrize("least", ["none", "over", "running"])
@pytest.mark.parametrize("most", ["none", "passed"])
def test_holds_and_terms_come_before_an_erasure(persons: Persons, *, held: bool, least: str, most: str) -> None:
    archive = persons.archive
    speaking(archive)
    archive.database.alter("DELETE FROM quarantine")
    old = {"none": None, "over": "1d", "running": "9y"}[least]
    long = {"none": None, "passed": old or "1d"}[most]
    terms = [f"'{term}'" if term else "NULL" for term in (old, long)]
    archive.database.alter(
        "INSERT INTO retention_terms (id, app_id, keep_at_least, keep_at_most, reason, who, at)"
        f" VALUES (1, 1, {terms[0]}, {terms[1]}, 'law', 'x', '2026-11-01T00:00:00.000Z')"
    )
    persons.now("alice")
    if held:
        assert archive(*HOLD) == 0
    number = requested(persons)
    stays = held or least == "running"
    assert archive("erase", "run", number) == (3 if stays else 0), archive.errors
    assert husks(persons) == [(one, 1 if stays else 2) for one in IDS]
    assert archive("search", TEXT) == 0
    assert TEXT not in archive.output
    assert archive("erase", "show", number) == 0
    assert (TEXT in archive.output) is stays
    if not stays:
        return
    assert archive.count("tombstones") == 0
    assert archive("erase", "run", number) == 3
    archive.database.alter("DELETE FROM retention_terms")
    if held:
        archive.database.alter("DELETE FROM hold_conversations")
        archive.database.alter("DELETE FROM hold_events")
    assert archive("erase", "run", number) == 0, archive.errors
    assert husks(persons) == [(IDS[0], 2), (IDS[1], 2)]
    assert left_of(archive, *WORDS) == ["blob_wipes"]


@pytest.mark.full
def test_quarantined_records_wait_for_the_longest_audit(persons: Persons) -> None:
    archive, database = persons.archive, persons.archive.database
    speaking(archive)
    database.run("UPDATE watermarks SET audited_pass = 2")
    number = requested(persons)
    assert archive("erase", "run", number) == 3
    assert "0 messages and 1 records have to stay" in archive.output
    assert husks(persons) == [(IDS[0], 2), (IDS[1], 2)]
    assert database.rows("SELECT withheld, length(raw) > 0 FROM quarantine WHERE withheld IS NOT NULL") in (
        [(1, 1)],
        [(1, True)],
    )
    assert archive("quarantine", "list", "--format", "json") == 0
    assert "[]" in archive.output
    again(archive)
    assert archive.count("quarantine") == 1
    database.run("UPDATE watermarks SET audited_until_ms = complete_until_ms")
    assert archive("erase", "run", number) == 0
    assert left_of(archive, *WORDS) == ["blob_wipes"]


@pytest.mark.full
def test_writer_and_eraser_are_the_rights_that_it_takes(logins: Persons) -> None:
    archive = logins.archive
    speaking(archive)
    number = requested(logins)
    logins.now("bob")
    for role in ("archive_writer", "archive_eraser"):
        assert archive("erase", "run", number) == 2
        assert "may not erase" in archive.errors
        archive.database.run(f"GRANT {role} TO {logins.name('bob')}")
    assert archive("erase", "run", number) == 0, archive.errors
    assert husks(logins) == [(IDS[0], 2), (IDS[1], 2)]
    logins.operate()
    assert left_of(archive, *WORDS) == ["blob_wipes"]
