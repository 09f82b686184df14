"""The listing as clients know it: limits, envelopes, order, cursors and their traps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from archiver.sandbox.cursors import Position, decode, encode
from archiver.sandbox.ql import QueryParse, QueryRange, parse

Start = Callable[..., Any]

SEED_CURSOR = (
    "MTYxOTcyOTYyNDpnR2tBQVFNQWdHa0FCZ0ZHczBKN0F3Q0FkUUFRYUdpdkt2ZU1FZU9vNU4zVllyT2pqUUNBZFFB"
    "UWFHaXZJUGVNRWVPMjdMRWo5b0w4dEFB"
)


def test_ten_rows_by_default_a_thousand_at_most(start: Start) -> None:
    client = start(1500)
    assert client.page(client.all).json["count"] == 10
    assert client.page(client.all, 5000).json["count"] == 1000
    assert client.page(client.all, 0).json["count"] == 10
    assert client.page(client.all, -3).json["count"] == 10


def test_walk_returns_each_record_once_and_as_stored(start: Start) -> None:
    client = start(2345)
    pages = client.walk(client.all, 100)
    assert [one for page in pages for one in page.ids] == [row.msg_id for row in client.server.records]
    assert all(row.raw in pages[n // 100].body for n, row in enumerate(client.server.records))
    assert [page.json["count"] for page in pages] == [100] * 23 + [45]


def test_limit_may_change_between_pages(start: Start) -> None:
    client = start(30)
    first = client.page(client.all, 7)
    second = client.page(client.all, 23, first.cursor)
    assert len(set(first.ids) | set(second.ids)) == 30


def test_full_last_page_is_followed_by_an_empty_one_without_cursor(start: Start) -> None:
    client = start(20)
    pages = client.walk(client.all, 10)
    assert [page.json["count"] for page in pages] == [10, 10, 0]
    assert "cursor" not in pages[-1].json


def test_envelope_has_the_keys_of_the_provider_in_their_order(start: Start) -> None:
    client = start(20)
    keys = "action application params path uri entities timestamp duration organization applicationName cursor count"
    page = client.page(client.all, 5).json
    assert list(page) == keys.split()
    assert page["params"] == {"ql": [client.all], "limit": ["5"]}
    assert page["path"] == "/chatmessages"
    assert page["timestamp"] == client.server.now_ms()


def test_ties_come_in_the_order_of_their_creation_over_a_page_border(start: Start) -> None:
    client = start(1010)
    rows = client.server.records
    assert rows[999].timestamp_ms == rows[1000].timestamp_ms
    second = client.page(client.all, 1000, client.page(client.all, 1000).cursor)
    assert second.ids == [row.msg_id for row in rows[1000:]]


@pytest.mark.parametrize(
    ("where", "first", "last"),
    [
        ("timestamp > {x}", 5, 9),
        ("timestamp >= {x}", 4, 9),
        ("timestamp < {x}", 0, 3),
        ("timestamp <= {x}", 0, 4),
        ("timestamp = {x}", 4, 4),
        ("timestamp gte {x} and timestamp lt {y}", 4, 5),
        ("timestamp>{x} and timestamp<={y}", 5, 6),
    ],
)
def test_bounds(start: Start, where: str, first: int, last: int) -> None:
    client = start()
    for number in range(10):
        client.server.add({"msg_id": str(number), "timestamp": client.start + number * 10})
    where = where.format(x=client.start + 40, y=client.start + 60)
    wanted = [str(number) for number in range(first, last + 1)]
    assert client.page(f"select * where {where}").ids == wanted
    assert client.page(where).ids == wanted
    assert client.page(f"SELECT * WHERE {where} ORDER BY timestamp DESC").ids == wanted[::-1]


def test_descending_walk_is_the_ascending_one_backwards(start: Start) -> None:
    client = start(200)
    pages = client.walk("order by timestamp desc", 30)
    assert [one for page in pages for one in page.ids] == [row.msg_id for row in client.server.records][::-1]


def test_without_ql_rows_come_as_they_were_ingested(start: Start) -> None:
    client = start(50)
    late = client.server.add({"msg_id": "late", "timestamp": client.start + 1})
    pages = [client.page(limit=20)]
    while pages[-1].cursor:
        pages.append(client.page(limit=20, cursor=pages[-1].cursor))
    ids = [one for page in pages for one in page.ids]
    assert ids[-1] == late.msg_id
    assert len(ids) == len(set(ids)) == 51
    assert client.get("/chatmessages", sql="select * where timestamp > 9").ids == pages[0].ids[:10]


def test_cursor_of_another_query_starts_again_without_a_word(start: Start) -> None:
    client = start(100)
    first = client.page(client.all, 10)
    other = client.all.replace(str(client.start - 1), str(client.start - 2))
    assert client.page(other, 10, first.cursor).ids == first.ids
    assert client.page("order by timestamp asc", 10, first.cursor).ids == first.ids
    assert client.page(client.all, 10, first.cursor).ids != first.ids


@pytest.mark.parametrize("cursor", ["", "x", "%%%", "MTIz", "ééé", "MTox", "bm90OmE6Y3Vyc29y"])
def test_unreadable_cursor_is_the_first_page(start: Start, cursor: str) -> None:
    client = start(30)
    assert client.page(client.all, 10, cursor).ids == client.page(client.all, 10).ids


def test_cursor_of_the_published_example_is_understood(start: Start) -> None:
    client = start()
    newest = parse("order by timestamp desc")
    position = decode(SEED_CURSOR, newest.hash)
    assert newest.hash == 1619729624
    assert parse("").hash == -56874343
    assert position == Position(1403166817027, 0x6868AF2AF78C11E3A8E4DDD562B3A38D)
    client.server.add({"msg_id": "older"}, 1403166817026)
    client.server.add({"msg_id": "newer"}, 1403166817028)
    assert client.page("order by timestamp desc", 20, SEED_CURSOR).ids == ["older"]


def test_cursor_says_the_same_whatever_its_nonce() -> None:
    ahead = QueryRange("timestamp", low=(-5, True))
    for position in (Position(-(2**62), 0), Position(1, 7), Position(2**70, 2**127)):
        assert {decode(encode(ahead.hash, position, nonce), ahead.hash) for nonce in (0, 1, 99)} == {position}


def test_row_that_appears_behind_the_cursor_is_not_seen_by_this_walk(start: Start) -> None:
    client = start(20)
    early = client.server.add({"msg_id": "early", "timestamp": client.start}, visible_ms=client.clock.now_ms + 5)
    first = client.page(client.all, 10)
    client.clock.now_ms += 5
    second = client.page(client.all, 20, first.cursor)
    assert early.msg_id not in first.ids + second.ids
    assert client.page(client.all, 1).ids == [early.msg_id]


@pytest.mark.parametrize(
    "ql",
    ["select", "select * where", "timestamp", "timestamp >", "timestamp > x", "timestamp > 1 timestamp", "select *;",
     "timestamp > 1 or timestamp < 2", "select * order by", "order by timestamp asc desc",
     "order by timestamp desc limit 5",
     "timestamp > 1.5", "timestamp >> 1"],
)  # fmt: skip
def test_what_cannot_be_parsed_is_refused(start: Start, ql: str) -> None:
    answer = start(1).page(ql)
    assert (answer.status, answer.json["error"]) == (400, "query_parse")
    assert "cannot be parsed" in answer.json["error_description"]


def test_later_dialect_knows_one_bound_and_one_order(start: Start) -> None:
    client = start(20, lower_only=True)
    assert client.page(client.all).status == 400
    assert client.page("select * where timestamp > 1 order by timestamp").status == 400
    assert client.page("select * where timestamp > 1", 20).ids == [row.msg_id for row in client.server.records]
    with pytest.raises(QueryParse):
        parse("order by timestamp desc", lower_only=True)


def test_hostile_bytes_are_served_as_they_are(start: Start) -> None:
    client = start()
    hostile = [
        b'{"msg_id":"1","timestamp":1789000000001,"x":"\\u0000\\ud83d"}',
        b"[1,2]",
        b'{"a":NaN}',
        b'"text"',
        b"{",
    ]
    for raw in hostile:
        client.server.add(raw)
    body = client.page(client.all.replace("asc", "desc")).body
    assert all(raw in body for raw in hostile)
    assert client.server.records[0].raw == hostile[0]


def test_record_with_a_lone_surrogate_is_rendered_with_escapes(start: Start) -> None:
    client = start()
    client.server.add({"msg_id": "1", "timestamp": client.start, "from": "\ud83d\0"})
    assert client.page(client.all).json["entities"][0]["from"] == "\ud83d\0"


def test_clear_forgets_all_records(start: Start) -> None:
    client = start(20)
    client.server.clear()
    assert client.page(client.all).json["entities"] == []


def test_records_of_the_future_appear_when_their_time_comes(start: Start) -> None:
    client = start(50, now_ms=1_789_000_000_000)
    assert client.page(client.all).json["count"] == 0
    client.clock.now_ms += 90_000_000
    assert client.page(client.all, 100).json["count"] == 50
    assert json.loads(client.server.records[0].raw) == client.server.records[0].record
