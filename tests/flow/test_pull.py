"""The main way: messages of a chat app, page by page, into SQL."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.fixtures.archive import DAY, Archive, MakeArchive, MakeSimulated
from tests.fixtures.databases import Database
from tests.postgres import free_port

START = 1_790_000_000_000 // DAY * DAY

YEARS = 365 * DAY


def stored_bytes(archive: Archive) -> dict[str, bytes]:
    return {msg_id: bytes(raw) for msg_id, raw in archive.database.rows("SELECT msg_id, raw FROM messages")}


def served_bytes(archive: Archive) -> dict[str, bytes]:
    return {row.msg_id: row.raw for row in archive.server.records}


def test_pull_stores_every_message_with_its_bytes(archive: Archive) -> None:
    assert archive("pull") == 0
    assert stored_bytes(archive) == served_bytes(archive)
    status = archive.status()
    assert status["messages"] == 300
    assert status["complete_from_ms"] == archive.server.start_ms
    assert status["complete_until_ms"] > archive.server.records[-1].timestamp_ms
    assert status["last_run"]["outcome"] == "done"


def test_a_second_pull_stores_nothing_and_asks_for_few_pages(archive: Archive) -> None:
    archive("pull")
    archive.server.forget_requests()
    assert archive("pull") == 0
    assert archive.pages_asked() <= 8
    assert archive.database.value("SELECT sum(new) FROM windows") == 300


def test_5000_messages_with_ties_over_page_borders_are_stored_once(
    database: Database, make_archive: MakeArchive
) -> None:
    archive = make_archive(database, messages=5000, span_ms=DAY // 2)
    stamps = [row.timestamp_ms for row in archive.server.records]
    assert any(stamps[at - 1] == stamps[at] for at in range(100, 5000, 100)), "the data has ties over page borders"
    assert archive("pull", page_size=100) == 0
    assert stored_bytes(archive) == served_bytes(archive)
    archive.server.forget_requests()
    assert archive("pull") == 0
    assert archive.pages_asked() <= 8
    archive.check_sums()


def test_an_exact_multiple_of_the_page_size_ends_in_an_empty_page(
    database: Database, make_archive: MakeArchive
) -> None:
    archive = make_archive(database, messages=3000, span_ms=DAY // 2)
    assert archive("pull", page_size=1000) == 0
    assert archive.count("messages") == 3000
    assert archive.database.value("SELECT count(*) FROM pages WHERE received = 0") >= 1
    archive.check_sums()


@pytest.mark.full
def test_ninety_days_with_3000_messages_take_few_requests(database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(database, messages=3000, span_ms=90 * DAY)
    assert archive("pull") == 0
    assert archive.count("messages") == 3000
    assert archive.pages_asked() < 400
    archive.check_sums()


@pytest.mark.parametrize("stamp", [None, "ten years ahead", "soon", 2**80])
@pytest.mark.full
def test_an_odd_stamp_is_kept_and_moves_no_watermark(archive: Archive, stamp: object) -> None:
    server = archive.server
    middle = server.records[150].timestamp_ms
    odd = middle + 10 * YEARS if stamp == "ten years ahead" else stamp
    record = {"msg_id": "odd-1", "from": "a", "to": "b", "chat_type": "chat", "payload": {"bodies": []}}
    server.add(record if odd is None else record | {"timestamp": odd}, timestamp_ms=middle, visible_ms=0)
    assert archive("pull") == 0
    kept = archive.database.rows("SELECT msg_id FROM messages WHERE msg_id = 'odd-1'")
    assert len(kept) + archive.count("quarantine") == 1
    assert bool(kept) == (stamp == "ten years ahead")
    status = archive.status()
    assert status["messages"] == 300 + len(kept)
    assert status["complete_until_ms"] <= server.now_ms()

    late = {"msg_id": "later", "timestamp": status["complete_until_ms"], "from": "a", "to": "b", "chat_type": "chat"}
    server.add(late)
    archive("pull", settle="1ms", audits=[])
    time.sleep(2.1)  # the margin between the clocks of nodes
    archive("pull")
    assert archive.database.value("SELECT count(*) FROM messages WHERE msg_id = 'later'") == 1


@pytest.mark.full
def test_both_databases_hold_the_same_rows(both: Sequence[Database], make_archive: MakeArchive) -> None:
    from archiver.sandbox import Sandbox

    with Sandbox(1) as clocked:
        now = clocked.now_ms()
    archives = [
        make_archive(database, name=database.kind, messages=2000, seed=5, start_ms=now - 2 * DAY, span_ms=DAY)
        for database in both
    ]
    # Without the digest: the raw bytes name the port of the archive's own server.
    columns_of = {
        "messages": "msg_id, timestamp_ms, sender, recipient, conversation, chat_type, direction, raw,"
        " CASE WHEN lossy THEN 1 END",
        "message_bodies": "msg_id, position, type, text, filename, secret, file_length, duration, width, height,"
        " thumb_secret, lat, lng, addr",
    }
    stored = []
    for archive in archives:
        assert archive("pull") == 0
        tables = (archive.database.rows(f"SELECT {columns} FROM {table}") for table, columns in columns_of.items())
        server = str(archive.server.base_url)
        stored.append([sorted(repr(row).replace(server, "") for row in table) for table in tables])
    assert stored[0] == stored[1]
    assert len(stored[0][0]) == 2000


def test_wrong_credentials_exit_4_and_are_not_printed(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    assert archive("-vv", "pull", client_secret="wrong-secret-1234") == 4
    assert "wrong-secret-1234" not in archive.output + archive.errors
    assert archive.server.count("/token") == 1


def test_a_server_that_is_down_exits_75(archive: Archive) -> None:
    began = time.monotonic()
    assert archive("-vv", "pull", base_url=f"http://127.0.0.1:{free_port()}", give_up="2s") == 75
    assert time.monotonic() - began < 60
    assert archive.server.client_secret not in archive.output + archive.errors


def test_credentials_of_another_app_are_refused_before_anything_is_stored(archive: Archive) -> None:
    archive.write_config()
    archive.database.run(
        "INSERT INTO apps (name, application, created_at) VALUES "
        "('easemob-demo#sandbox', 'another', '2026-11-01T00:00:00.000Z')"
    )
    assert archive("pull") == 2
    assert "another" in archive.errors
    assert archive.count("messages") == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL sees to that by itself
def test_the_planner_learns_what_a_large_pull_has_brought(database: Database, make_simulated: MakeSimulated) -> None:
    archive = make_simulated(now=START + 3 * DAY, server={"messages": 20, "start_ms": START}, source="cursor")
    archive.pull(analyze_after=10)
    assert database.value("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'messages'") > 0


def test_the_rest_of_a_long_walk_is_cut_into_windows_that_others_may_walk(archive: Archive) -> None:
    assert archive("pull", page_size=5) == 0
    walked = archive.database.rows("SELECT pages FROM windows WHERE pass = 1 AND received > 0 ORDER BY lo_ms")
    assert walked[0][0] == 20
    assert len(walked) >= 4, "two of ten pages each, and what is left"
    assert max(pages for (pages,) in walked) == 20
    archive.check_sums()
