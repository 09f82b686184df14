"""What signed callbacks report of a message stands beside it: recalled, edited; the message itself stays as it is."""

from __future__ import annotations

import json

import pytest

from archiver.store.read import events
from tests.callbacks.sending import Receiving, edit, now_ms, recall
from tests.fixtures.schemas import check

pytestmark = pytest.mark.one_server("a distributed archive shows no marks: events lie on the coordinator")

MARKS = "SELECT recalled_at IS NOT NULL, recalled_by, edits FROM messages_readable WHERE msg_id = ?"


def archived(receiving: Receiving, count: int = 1) -> list[str]:
    rows = receiving.archive.database.rows("SELECT msg_id FROM messages ORDER BY msg_id LIMIT ?", count)
    return [row[0] for row in rows]


def marks(receiving: Receiving, msg_id: str) -> tuple[bool, str | None, int]:
    row = receiving.archive.database.rows(MARKS, msg_id)[0]
    return bool(row[0]), row[1], int(row[2])


def test_the_earliest_recall_and_the_number_of_edits_are_marks(receiving: Receiving) -> None:
    app, at = receiving.app, now_ms()
    (msg_id,) = archived(receiving)
    before = receiving.archive.database.rows("SELECT raw, digest FROM messages ORDER BY msg_id")
    assert marks(receiving, msg_id) == (False, None, 0)
    receiving.take(
        recall(app, msg_id, own="2", timestamp=at + 2_000, **{"from": "admin"}),
        recall(app, msg_id, own="1", timestamp=at, **{"from": "iris"}),
        edit(app, msg_id, "first", own="3", timestamp=at + 3_000),
        edit(app, msg_id, "second", own="4", timestamp=at + 4_000),
    )
    assert marks(receiving, msg_id) == (True, "iris", 2)
    receiving.archive("search", "--format", "jsonl", "--limit", "0", "e")
    assert receiving.archive.database.rows("SELECT raw, digest FROM messages ORDER BY msg_id") == before


def test_one_edit_that_two_rules_report_counts_once(receiving: Receiving) -> None:
    app, at = receiving.app, now_ms()
    (msg_id,) = archived(receiving)
    twice = edit(app, msg_id, "new", own="3", timestamp=at)
    other = twice | {"security": edit(app, msg_id, "new", own="3", timestamp=at)["security"], "host": "b"}
    receiving.take(twice, other)
    assert marks(receiving, msg_id)[2] == 1


def test_unsigned_wrong_and_replayed_events_make_no_mark(receiving: Receiving) -> None:
    app, at = receiving.app, now_ms()
    one, two, three = archived(receiving, 3)
    unsigned = {key: value for key, value in recall(app, one).items() if key not in ("callId", "security")}
    genuine = recall(app, "elsewhere", own="7", timestamp=at)
    replay = recall(app, three) | {key: genuine[key] for key in ("callId", "security", "timestamp")}
    receiving.take(unsigned, recall(app, two, own="5") | {"security": "0" * 32}, genuine, replay)
    assert [marks(receiving, msg_id)[0] for msg_id in (one, two, three)] == [False] * 3


def test_a_recall_that_comes_before_its_message_marks_it_when_it_comes(receiving: Receiving) -> None:
    database = receiving.archive.database
    receiving.take(recall(receiving.app, "later"))
    (msg_id,) = archived(receiving)
    columns = "app_id, timestamp_ms, raw, digest, lossy, page_id, position, archived_at"
    copied = (
        f"INSERT INTO messages (msg_id, {columns}) SELECT 'later', {columns} FROM messages WHERE msg_id = '{msg_id}'"
    )
    database.run(copied)
    assert marks(receiving, "later") == (True, "iris", 0)
    database.alter("DELETE FROM messages WHERE msg_id = 'later'")


def test_people_see_a_recall_and_edits_beside_the_message_which_stays(receiving: Receiving) -> None:
    app, archive = receiving.app, receiving.archive
    archive.write_config()
    row = archive.database.rows(
        "SELECT m.msg_id, m.sender, m.recipient FROM messages_readable m WHERE m.chat_type = 'chat'"
        " AND m.body_type = 'txt' AND m.sender IS NOT NULL AND m.recipient IS NOT NULL ORDER BY m.msg_id LIMIT 1"
    )[0]
    msg_id, sender, recipient = row
    archive("conversation", sender, recipient, "--zone", "UTC", "--language", "en")
    before = archive.output
    hostile = "iris\x1b[2J<script>"
    receiving.take(recall(app, msg_id, **{"from": hostile}), edit(app, msg_id, "never archived"))
    archive("conversation", sender, recipient, "--zone", "UTC", "--language", "en")
    added = [line for line in archive.output.splitlines() if line not in before.splitlines()]
    assert added[0].startswith("    (recalled ")
    assert added[0].endswith(" by iris\\x1b[2J<script>)")
    assert added[1:] == ["    (edited, by callbacks: 1 times)"]
    assert [line for line in archive.output.splitlines() if line not in added] == before.splitlines()
    folder = archive.config.parent / "html"
    archive("export", "--format", "html", "--output", str(folder), "--reason", "marks")
    page = "".join(path.read_text() for path in folder.rglob("*.html"))
    assert "recalled " in page
    assert "edited 1 times since" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "never archived" not in page


def test_exports_for_programs_are_the_same_with_and_without_marks(receiving: Receiving) -> None:
    archive, place = receiving.archive, receiving.archive.config.parent
    (msg_id,) = archived(receiving)

    def exported(name: str) -> dict[str, bytes]:
        archive("export", "--format", "jsonl", "--output", str(place / name), "--reason", "marks")
        files = [path for path in (place / name).rglob("*.jsonl") if path.name != "manifest.json"]
        return {str(path.relative_to(place / name)): path.read_bytes() for path in files}

    before = exported("before")
    receiving.take(recall(receiving.app, msg_id), edit(receiving.app, msg_id, "new"))
    assert before
    assert exported("after") == before


def test_texts_in_events_are_found_where_that_is_asked_for_and_the_look_is_noted(receiving: Receiving) -> None:
    app, archive = receiving.app, receiving.archive
    archive.sections += "[review]\nlooks = true\n"
    archive.write_config()
    (msg_id,) = archived(receiving)
    receiving.take(edit(app, msg_id, "the quokka text\x1b[2J"), recall(app, msg_id))
    assert archive("search", "quokka", "--language", "en") == 0
    assert "nothing was found" in archive.output
    archive("search", "quokka", "--events", "--language", "en")
    assert "the quokka text\\x1b[2J" in archive.output
    assert "edit" in archive.output
    archive("search", "quokka", "--events", "--format", "jsonl")
    (line,) = archive.output.splitlines()
    check("search-event", json.loads(line))
    event = json.loads(line)["event"]
    assert (event["kind"], event["signed"], event["target_msg_id"]) == ("edit", "signed", msg_id)
    looks = archive.database.rows("SELECT action, found FROM looks ORDER BY id")
    assert [tuple(row) for row in looks] == [("search", 0)] * 2 + [("events", 1), ("search", 0), ("events", 1)]
    archive("search", "quokka", "--events", "--to", "2020-01-01T00:00:00Z", "--language", "en")
    assert "nothing was found in events" in archive.output
    for refused in (["--format", "csv"], ["--recipient", "bo"], ["--type", "txt"]):
        assert archive("search", "quokka", "--events", *refused) == 2


def test_too_many_events_are_not_read_without_a_range(receiving: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_READ", 3)
    at = now_ms()
    bodies = [edit(receiving.app, "1", f"the quokka {n}", own=str(n), timestamp=at - n) for n in range(5)]
    receiving.take(*bodies)
    assert receiving.archive("search", "quokka", "--events") == 2
    assert "--from TIME and --to TIME" in receiving.archive.errors
    assert receiving.archive("search", "quokka", "--events", "--from", str(at - 2)) == 3, "no pull has come so far"
    assert receiving.archive.output.count("quokka") == 3
