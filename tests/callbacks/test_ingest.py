"""From the spool into events: once, whatever happens in between, and never into the record."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiver.callbacks import ingest, spool
from archiver.store import events as event_store
from tests.callbacks.sending import SECRETS, Receiving, edit, message, now_ms, recall
from tests.fixtures.store import demand_lock, open_database

DAY = 86_400_000


def files(receiving: Receiving) -> list[Path]:
    return [path for path in receiving.spool.rglob("*") if path.is_file()]


def test_events_are_stored_and_their_segment_goes(receiving: Receiving) -> None:
    app = receiving.app
    receiving.segment(message(app, "1"), recall(app, "1"), b"no JSON", received_ms=now_ms())
    result = receiving.ingest()
    assert result.counts == {("message", "signed"): 1, ("recall", "signed"): 1, ("other", "unsigned"): 1}
    assert files(receiving) == []
    rows = receiving.events("kind, signed, msg_id, target_msg_id, raw")
    assert [row[:4] for row in rows] == [
        ("message", "signed", "1", None),
        ("recall", "signed", "9001", "1"),
        ("other", "unsigned", None, None),
    ]
    assert bytes(rows[2][4]) == b"no JSON"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_no_event_is_stored_without_the_lock_of_the_archive(receiving: Receiving) -> None:
    receiving.archive.database.run(demand_lock("events"))
    assert receiving.take(message(receiving.app, "1")) == [("message", "signed")]


def test_a_pull_reads_callbacks_in_and_its_outcome_is_its_own(receiving: Receiving) -> None:
    receiving.segment(message(receiving.app, "1"))
    assert receiving.archive("pull") == 0
    assert receiving.events("kind") == [("message",)]
    (receiving.spool / spool.READY / "0000000000001-1-1.segment").mkdir()
    assert receiving.archive("pull") == 0
    assert "callbacks wait: " in receiving.archive.errors
    (receiving.spool / spool.READY / "0000000000001-1-1.segment").rmdir()


def test_the_same_bytes_are_one_event_in_one_segment_or_several(receiving: Receiving) -> None:
    one = message(receiving.app, "1")
    receiving.take(one, one)
    receiving.segment(one)
    receiving.segment(one)
    assert receiving.ingest().known == 2
    assert receiving.events("kind, signed") == [("message", "signed")]


def test_offline_copies_of_a_message_share_its_signature(receiving: Receiving) -> None:
    app, at = receiving.app, now_ms()
    copies = [
        message(app, "1", timestamp=at, chat_type="groupchat", group_id="7", eventType="chat_offline", to=member)
        for member in ("bo", "cleo", "dan")
    ]
    first = message(app, "1", timestamp=at, chat_type="groupchat", group_id="7", to="7")
    assert receiving.take(first, *copies) == [("message", "signed")] * 4
    assert set(receiving.events("conversation, msg_id")) == {("7", "1")}


@pytest.mark.parametrize("seen", ["genuine first", "genuine deleted"])
def test_an_observed_signature_makes_no_other_body_genuine(receiving: Receiving, seen: str) -> None:
    """Its callId, timestamp and security, with a message, a recall and an edit of another's making, ten times."""
    app, at = receiving.app, now_ms()
    (target,) = receiving.archive.database.rows("SELECT msg_id FROM messages LIMIT 1")[0]
    genuine = message(app, target, timestamp=at)
    receiving.take(genuine)
    if seen == "genuine deleted":
        receiving.archive.database.run("DELETE FROM events")
    stolen = {key: genuine[key] for key in ("callId", "timestamp", "security")}
    forged = [
        body | stolen
        for number in range(10)
        for body in (
            message(app, "31337", f"never said {number}"),
            recall(app, target, own=f"5{number}"),
            edit(app, target, f"never said {number}", own=f"6{number}"),
        )
    ]
    receiving.segment(*forged)
    receiving.ingest()
    assert receiving.events("signed", f"msg_id <> '{target}'") == [("replayed",)] * 30
    assert receiving.archive.count("messages") == 40
    marks = "SELECT count(*) FROM messages_readable WHERE recalled_at IS NOT NULL OR edits > 0"
    assert receiving.archive.database.value(marks) == 0


def test_a_signature_that_is_a_day_old_when_it_is_received_is_a_replay(receiving: Receiving) -> None:
    app, at = receiving.app, now_ms()
    old, new = (
        recall(app, "1", own="1", timestamp=at - DAY - 1000),
        recall(app, "1", own="2", timestamp=at - DAY + 60_000),
    )
    assert receiving.take(old, new, received_ms=at) == [("recall", "replayed"), ("recall", "signed")]


def test_a_spool_that_is_drained_late_loses_no_signature(receiving: Receiving) -> None:
    """The age goes by the receiver's clock, not by that of the ingest."""
    app, at = receiving.app, now_ms() - 10 * DAY
    assert receiving.take(recall(app, "1", timestamp=at), received_ms=at + 1000) == [("recall", "signed")]


def test_signatures_are_forgotten_after_two_days_of_the_receivers_clock(receiving: Receiving) -> None:
    app, at = receiving.app, now_ms()
    receiving.take(recall(app, "1", own="1", timestamp=at - 3 * DAY), received_ms=at - 3 * DAY)
    receiving.take(recall(app, "1", own="2", timestamp=at - DAY), received_ms=at - DAY)
    receiving.take(recall(app, "1", own="3", timestamp=at), received_ms=at)
    assert receiving.archive.count("callback_signatures") == 2


def test_a_wrong_secret_is_kept_as_wrong_and_the_right_one_signs_from_then_on(receiving: Receiving) -> None:
    app = receiving.app
    secrets = receiving.archive.config.parent / "secrets"
    secrets.write_text("mistyped\n")
    assert receiving.take(recall(app, "1")) == [("recall", "wrong")]
    secrets.write_text("\n".join(SECRETS))
    assert receiving.take(recall(app, "2", own="9")) == [("recall", "wrong"), ("recall", "signed")]


def test_events_of_another_app_at_this_url_are_wrong(receiving: Receiving) -> None:
    other = "globex#desk"
    kinds = receiving.take(message(other, "1"), recall(other, "1"), {"appkey": other, "chat_type": "notify"})
    assert {signed for _, signed in kinds} == {"wrong"}
    assert receiving.archive.database.rows("SELECT * FROM only_callback") == []


@pytest.mark.full
def test_of_wrong_events_a_bounded_amount_is_kept_a_day(receiving: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_store, "WRONG_BYTES_A_DAY", 1_000)
    at = now_ms()
    wrong = [{"callId": f"x#y_{number}", "padding": "p" * 200} for number in range(10)]
    receiving.segment(*wrong, received_ms=at)
    result = receiving.ingest()
    assert result.dropped == 6
    receiving.segment({"callId": "x#y_late", "padding": "p" * 200}, message(receiving.app, "1"), received_ms=at + 1)
    assert receiving.ingest().dropped == 1
    assert len(receiving.events("id", "signed = 'signed'")) == 1, "what is genuine is stored all the same"
    receiving.segment({"callId": "x#y_tomorrow", "padding": "p" * 200}, received_ms=at + DAY + 1)
    assert receiving.ingest().dropped == 0


def test_callbacks_whose_app_is_not_known_here_stay_in_the_spool(receiving: Receiving) -> None:
    receiving.segment(message(receiving.app, "1"))
    mixed = receiving.segment(message("globex#desk", "2"), alias="desk")
    assert receiving.ingest().left == 1
    assert [path.name for path in files(receiving)] == [mixed.name]
    assert len(receiving.events("id")) == 1


def test_a_damaged_segment_is_put_aside_and_what_is_whole_is_stored(receiving: Receiving) -> None:
    path = receiving.segment(message(receiving.app, "1"), message(receiving.app, "2"))
    path.write_bytes(path.read_bytes()[:-5])
    assert receiving.ingest().damaged > 0
    assert receiving.events("msg_id") == [("1",)]
    assert [file.parent.name for file in files(receiving)] == ["damaged"]


def test_two_at_once_store_every_event_once(receiving: Receiving) -> None:
    app = receiving.app
    for number in range(30):
        receiving.segment(*(message(app, f"{number}-{one}") for one in range(20)), message(app, "same", str(number)))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            receiving.ingest()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    receiving.ingest()
    assert len(receiving.events("id")) == 30 * 21
    assert files(receiving) == []


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.full)])
def test_an_ingest_that_is_killed_anywhere_loses_nothing_and_stores_nothing_twice(
    receiving: Receiving, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """A process that ends before or after any of its steps; the next one takes over what it had."""
    chance = random.Random(24)
    sent: set[str] = set()
    for kill in range(kills):
        ids = [f"{kill}-{one}" for one in range(chance.randrange(1, 30))]
        sent.update(ids)
        for some in (ids[::2], ids[1::2]):
            receiving.segment(*(message(receiving.app, one) for one in some))
        killed_at(receiving, chance.randrange(1, 7), monkeypatch)
    receiving.ingest()
    stored = [row[0] for row in receiving.events("msg_id")]
    assert len(stored) == len(set(stored))
    assert set(stored) == sent
    assert files(receiving) == []


def killed_at(receiving: Receiving, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in by a process that ends at a step: before or after a transaction, a rename or the end of a file."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    steps = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **ways: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step:
                os._exit(9)
            return call(*arguments, **ways)

        return run

    try:
        monkeypatch.setattr(ingest, "_store", counted(ingest._store))
        monkeypatch.setattr(Path, "rename", counted(Path.rename))
        monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
        receiving.store = open_database(receiving.archive.database)
        receiving.ingest()
    finally:
        os._exit(0)


def test_nothing_else_can_be_deleted_or_changed_in_events(receiving: Receiving) -> None:
    app = receiving.app
    (archived,) = receiving.archive.database.rows("SELECT msg_id FROM messages LIMIT 1")[0]
    receiving.take(message(app, archived), message(app, "elsewhere"), recall(app, archived))
    for statement in (
        "DELETE FROM events WHERE kind = 'recall'",
        "DELETE FROM events WHERE msg_id = 'elsewhere'",
        "UPDATE events SET text = 'x'",
    ):
        with pytest.raises(Exception, match=r"events (stays|is append-only)"):
            receiving.archive.database.run(statement)
    receiving.archive.database.run(f"DELETE FROM events WHERE kind = 'message' AND msg_id = '{archived}'")
    assert len(receiving.events("id")) == 2


def test_files_of_a_recalled_message_are_due_at_once(receiving: Receiving) -> None:
    database = receiving.archive.database
    row = "SELECT msg_id FROM messages ORDER BY msg_id LIMIT 3"
    recalled, other, forged = (row[0] for row in database.rows(row))
    for msg_id in (recalled, other, forged):
        database.run(
            "INSERT INTO attachments (app_id, msg_id, position, kind, url, state, attempts, next_attempt_at,"
            f" expires_at) VALUES (1, '{msg_id}', 7, 'file', 'u', 'failed', 2, '2099-01-01T00:00:00.000Z',"
            " '2099-01-01T00:00:00.000Z')"
        )
    wrong = recall(receiving.app, forged, own="3") | {"security": "0" * 32}
    receiving.take(recall(receiving.app, recalled), wrong)
    due = database.rows("SELECT msg_id FROM attachments WHERE position = 7 AND next_attempt_at IS NULL")
    assert [row[0] for row in due] == [recalled]
    sooner = "SELECT msg_id FROM attachments WHERE position = 7 AND expires_at < '2090-01-01T00:00:00.000Z'"
    assert [row[0] for row in database.rows(sooner)] == [recalled]


def test_what_a_callback_holds_never_reaches_the_record(receiving: Receiving) -> None:
    """The hostile corpus as bodies: every one is an event, and nothing else changes."""
    corpus = sorted((Path(__file__).parents[1] / "corpus").rglob("*"))
    bodies = [path.read_bytes()[: 2**20] for path in corpus if path.is_file()]
    before = receiving.archive.database.rows("SELECT msg_id, digest FROM messages ORDER BY msg_id")
    receiving.segment(*bodies)
    receiving.ingest()
    assert len(receiving.events("id")) == len(set(bodies))
    assert receiving.archive.database.rows("SELECT msg_id, digest FROM messages ORDER BY msg_id") == before


def test_what_reports_of_an_erased_message_or_of_an_expired_time_is_not_stored(receiving: Receiving) -> None:
    app, database = receiving.app, receiving.archive.database
    database.run(
        "INSERT INTO messages (app_id, msg_id, timestamp_ms, raw, digest, lossy, page_id, position, archived_at,"
        " withheld) SELECT id, 'erased', 5, '', '', false, 1, 0, '2026-11-01T00:00:00.000Z', 2 FROM apps"
    )
    database.alter(
        "INSERT INTO expired_before (app_id, ms, request_id, at)"
        f" SELECT id, {now_ms() - 3_600_000}, 1, '2026-11-01T00:00:00.000Z' FROM apps"
    )
    old = message(app, "old", timestamp=now_ms() - 4_000_000)
    receiving.segment(message(app, "erased"), edit(app, "erased", "again"), old, message(app, "new"))
    assert receiving.ingest().known == 1
    assert receiving.events("msg_id") == [("new",)]
    database.alter("DELETE FROM messages WHERE msg_id = 'erased'")
