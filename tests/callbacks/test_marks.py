"""What signed callbacks report of a message stands beside it: recalled, edited; the message itself stays as it is."""

from __future__ import annotations

from tests.callbacks.sending import Receiving, edit, now_ms, recall

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
    database.run("DELETE FROM messages WHERE msg_id = 'later'")
