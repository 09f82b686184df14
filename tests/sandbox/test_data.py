"""The seeded records: the same for the same seed, quick to make, and as varied as real ones."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import pytest

from archiver.sandbox import Sandbox, Seed, Stored
from archiver.sandbox.data import make_msg_id, make_records

START, DAY = 1_789_000_000_000, 86_400_000
HOME = "http://127.0.0.1:1/org/app"


def make(messages: int, number: int = 1, start_ms: int = START) -> list[Stored]:
    return make_records(Seed(messages, number, start_ms, DAY), HOME)


def test_same_seed_same_records() -> None:
    assert [row.raw for row in make(500)] == [row.raw for row in make(500)]
    assert [row.raw for row in make(500)] != [row.raw for row in make(500, number=2)]


@pytest.mark.full
def test_no_id_comes_twice() -> None:
    assert len({row.msg_id for row in make(20_000)}) == 20_000


@pytest.mark.full
def test_every_kind_of_record_occurs() -> None:
    records = [row.record for row in make(5000)]
    bodies = [body for record in records for body in record["payload"]["bodies"]]
    types = Counter(body["type"] for body in bodies)
    assert set(types) == {"txt", "img", "loc", "audio", "video", "file", "cmd", "custom", "unknown", "sticker"}
    assert {record["chat_type"] for record in records} == {"chat", "groupchat", "chatroom"}
    assert {len(record["payload"]["bodies"]) for record in records} == {0, 1, 2, 3}
    exts = [record["payload"].get("ext", "absent") for record in records]
    assert exts.count("absent") > exts.count({}) > 0
    assert any(isinstance(ext, dict) and "em_apns_ext" in ext for ext in exts)
    assert any(body.get("subType") == "sub_combine" for body in bodies)
    assert any("secret" in body and body["secret"] == "" for body in bodies)
    assert any(record["created"] < record["timestamp"] for record in records)
    custom = next(body for body in bodies if body["type"] == "custom")
    assert isinstance(custom["customExts"], list)
    assert isinstance(custom["v2:customExts"], dict)


def test_milliseconds_are_shared_over_the_borders_of_pages() -> None:
    rows = make(2100)
    for border in (50, 100, 1000, 2000):
        assert rows[border - 1].timestamp_ms == rows[border].timestamp_ms
    assert all(one.timestamp_ms <= other.timestamp_ms for one, other in pairwise(rows))
    assert all(START <= row.timestamp_ms < START + DAY for row in rows)


def test_ids_carry_their_time() -> None:
    for row in make(200):
        seconds = int(row.msg_id) / 2**32 + 1_417_564_800
        assert 0 < seconds * 1000 - row.timestamp_ms < 103
        created = UUID(row.record["uuid"])
        assert created.version == 1
        assert created.time // 10_000 - 12_219_292_800_000 == row.record["created"] == row.created_ms
    assert make_msg_id(1_403_099_033_211, 1).startswith("5I02W-")


def test_records_before_the_first_numeric_id_are_unique() -> None:
    rows = make(2000, start_ms=1_403_099_033_211)
    assert len({row.msg_id for row in rows}) == 2000


def test_announcement_is_all_a_client_needs() -> None:
    with Sandbox(10, org="a", app="b") as server:
        told = server.announcement()
    assert list(told) == ["base_url", "org", "app", "client_id", "client_secret", "application", "start"]
    start = datetime.fromisoformat(told["start"])
    assert start.timestamp() * 1000 <= server.records[0].timestamp_ms
    assert str(UUID(told["application"])) == server.application


def test_applications_differ_and_stay_the_same() -> None:
    with Sandbox(0, app="one") as one, Sandbox(0, app="two") as two, Sandbox(0, app="one") as again:
        assert one.client_secret != two.client_secret
        assert (one.client_id, one.application) == (again.client_id, again.application)
