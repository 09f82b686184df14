"""The commands that people read with: search, index, conversation."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime

import pytest

from archiver.store import pages, windows
from archiver.store.apps import register
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed, page_of
from tests.search.samples import filled, said

HOSTILE = said(60, "\x1b[31m红色\u202e反的\r\n09:00:00 boss:\t我同意退款", **{"from": "e\x1bve"})
FORMULA = said(61, {"type": "file", "filename": "=HYPERLINK(1)", "file_length": 12, "url": "https://h/f"}, "附言:退款")


@pytest.fixture
def reader(database: Database, make_archive: MakeArchive) -> Iterator[Archive]:
    """The archive of the corpus, and what is hostile to terminals and spreadsheets."""
    with filled(database) as store:
        with store.write() as tx:
            key = register(tx, "o#b", "cursor", ORIGIN, settle_ms=120_000, retention_ms=None)
        claim = claimed(store, key)
        with store.write() as tx:
            pages.insert(windows.hold(tx, claim), [page_of(HOSTILE, FORMULA)], ORIGIN + 10)
        with store.write() as tx:
            late = page_of(said(62, "迟到的话", timestamp=ORIGIN - 86_400_000 + 62))
            pages.insert(windows.hold(tx, claim), [late], ORIGIN + 10)
        yield make_archive(database, messages=0)


def test_search_prints_a_table_for_people(reader: Archive) -> None:
    assert reader("search", "退款", "--sender", "ann") == 0
    assert "the index lacks 40 messages in 7 pages" in reader.errors
    assert "archiver index" in reader.errors
    assert "我要退款,请尽快处理" in reader.output
    assert reader("index") == 0
    assert "texts added" in reader.output
    assert reader("search", "退款") == 0
    assert reader.errors == ""
    assert "\x1b" not in reader.output
    assert "\u202e" not in reader.output
    assert max(map(len, reader.output.splitlines())) <= 80
    assert reader("search", "不存在的话") == 0
    assert "nothing was found" in reader.output


def test_search_writes_what_a_spreadsheet_opens(reader: Archive) -> None:
    """By a double click: UTF-8 is known by its mark alone, and times are those of who looks at them."""
    plain = ("search", "hyperlink", "--format", "csv")
    assert reader(*plain) == 0
    utc = reader.output
    assert not utc.startswith("\ufeff"), "programs read on, which take the mark for a part of the first name"
    assert reader(*plain, "--bom") == 0
    assert reader.output == "\ufeff" + utc
    assert reader(*plain, "--bom", "--zone", "Asia/Shanghai") == 0
    (row,) = csv.DictReader(io.StringIO(reader.output.removeprefix("\ufeff"), newline=""))
    (before,) = csv.DictReader(io.StringIO(utc, newline=""))
    assert row["sent_at"].endswith("+08:00")
    assert datetime.fromisoformat(row["sent_at"]) == datetime.fromisoformat(before["sent_at"])
    assert {**row, "sent_at": ""} == {**before, "sent_at": ""}
    assert reader("search", "hyperlink", "--bom") == 2
    assert reader("search", "hyperlink", "--zone", "+08:00") == 0
    assert "sent (UTC+08:00)" in reader.output
    assert row["sent_at"][:19].replace("T", " ") in reader.output
    assert reader("search", "hyperlink", "--zone", "+08:00", "--format", "jsonl") == 0
    assert json.loads(reader.output)["sent_at"] == before["sent_at"]
    assert "--zone changes nothing there" in reader.errors


def test_search_prints_json_lines_and_csv_for_programs(reader: Archive) -> None:
    assert reader("search", "退款", "--format", "jsonl", "--limit", "0") == 0
    hits = [json.loads(line) for line in reader.output.splitlines()]
    assert [hit["msg_id"] for hit in hits] == ["61", "60", "10", "9", "1"]
    assert reader("search", "hyperlink", "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(reader.output, newline=""))
    assert row["filename"] == "'=HYPERLINK(1)"
    assert reader("search", "退款", "--limit", "2", "--format", "jsonl") == 0
    assert len(reader.output.splitlines()) == 2
    assert "there is more than these 2" in reader.errors


def test_json_lines_are_utf8_and_steer_no_terminal(reader: Archive) -> None:
    assert reader("search", "红色", "--format", "jsonl") == 0
    assert "我同意退款" in reader.output, "as grep looks for it"
    assert not set(reader.output) & {"\x1b", "\u202e", "\r"}
    assert json.loads(reader.output)["text"] == "\x1b[31m红色\u202e反的\r\n09:00:00 boss:\t我同意退款"


def test_search_takes_several_texts(reader: Archive) -> None:
    assert reader("search", "处理", "退款", "--format", "jsonl") == 0
    assert [json.loads(line)["msg_id"] for line in reader.output.splitlines()] == ["1"]
    assert reader("search", "处理", "换货", "--any", "--format", "jsonl") == 0
    assert {json.loads(line)["msg_id"] for line in reader.output.splitlines()} == {"1", "2", "29"}
    assert reader("search", "处理", "退款") == 0
    assert "请尽快处理" in reader.output
    assert reader("search", "order #A-1029", "--format", "csv") == 0, "one TEXT is a phrase"
    assert len(reader.output.splitlines()) == 2
    assert reader("search") == 2


def test_search_refuses_what_it_cannot_do(reader: Archive) -> None:
    assert reader("search", "\u200b") == 2
    assert "1 to 200 characters" in reader.errors
    assert reader("search", "x", "--app", "nobody") == 2
    assert "there is: o#a, o#b" in reader.errors
    assert reader("search", "x", "--from", "2026-11-02T00:00:00Z", "--to", "2026-11-01T00:00:00Z") == 2


def test_a_conversation_reads_from_first_to_last(reader: Archive) -> None:
    assert reader("conversation", "Bob", "ann", "--app", "a") == 0
    lines = reader.output.splitlines()
    assert lines[0] == "ann|bob in o#a, times in UTC"
    text = reader.output
    assert text.index("我要退款") < text.index("退货和换货") < text.index("(revision 1, seen ")
    assert "改成了别的内容:返利" in text
    assert "[loc] 北京市海淀区中关村大街1号 (39.9, 116.4)" in text
    assert '[custom] red_packet {"customExts":' in text.replace(": [", ":[")
    assert "[combine] 群聊的聊天记录\n    | 小王:转账吧\n" in text
    assert "    第二段:发票号码\n" in text
    assert "    file: pending\n" in text
    assert "(shown with substitutes; the record itself is in the archive)" in text
    assert not any(secret in text for secret in ("SeCrEt99", "ThUmB77", "错型密钥", "内层秘密"))


def test_nothing_in_a_conversation_passes_for_another_line(reader: Archive) -> None:
    assert reader("conversation", "bob|e\x1bve") == 0
    assert "\x1b" not in reader.output
    assert "\\x1b[31m红色\\u202e反的\n    | 09:00:00 boss:\t我同意退款\n" in reader.output


def test_zones_ranges_and_what_came_late(reader: Archive, database: Database) -> None:
    database.run(
        "INSERT INTO late_arrivals (app_id, msg_id, source, timestamp_ms, found_at_ms, lateness_ms, window_id, page_id)"
        " SELECT app_id, msg_id, 'cursor', timestamp_ms, timestamp_ms + 7200000, 7200000, 1, page_id"
        " FROM messages WHERE msg_id = '62'"
    )
    assert reader("conversation", "ann", "bob", "--app", "b", "--zone", "+08:00") == 0
    assert "(arrived late, by up to 2.0 h)" in reader.output
    assert reader.output.count("--- 2026-") == 2
    assert "22:13:20 ann: " in reader.output
    # Nothing of this archive is claimed, so every range has gaps; it is read all the same.
    assert reader("conversation", "ann", "bob", "--app", "b", "--from", str(ORIGIN), "--zone", "Asia/Shanghai") == 3
    assert "迟到的话" not in reader.output
    assert reader("conversation", "ann", "bob", "--app", "b", "--to", str(ORIGIN)) == 3
    assert "附言" not in reader.output
    assert reader("conversation", "ann", "bob", "--zone", "Mars/Olympus") == 2
    assert reader("conversation", "ann", "bob") == 2
    assert "several apps have a conversation" in reader.errors
    assert reader("conversation", "nobody") == 2
    assert reader("conversation", "a", "b", "c") == 2
