"""Pages that are wrong: too short, too long, out of order, or with cursors that lead astray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from archiver.sandbox import Faults

Start = Callable[..., Any]


def test_page_without_entities(start: Start) -> None:
    page = start(5, empty_entities_missing=1.0).page().json
    assert "entities" not in page
    assert page["count"] == 5


def test_short_and_empty_pages_lose_nothing(start: Start) -> None:
    client = start(100, short_pages=0.4, empty_pages=0.3)
    pages = client.walk(client.all, 10)
    assert [one for page in pages for one in page.ids] == [row.msg_id for row in client.server.records]
    assert {0, 5, 10} == {page.json["count"] for page in pages}
    cursors = [page.cursor for page in pages]
    assert len(set(cursors)) == len(cursors)


def test_endless_empty_pages_have_new_cursors(start: Start) -> None:
    client = start(100, empty_pages=1.0)
    pages = client.walk("order by timestamp desc", 10, most=60)
    assert len({page.cursor for page in pages}) == 60


def test_repeated_pages_have_new_cursors(start: Start) -> None:
    client = start(100)
    first = client.page(client.all, 10)
    client.server.faults.repeat_pages = 1.0
    pages = client.walk(client.all, 10, most=5)
    assert all(page.ids == first.ids for page in pages)
    assert len({page.cursor for page in pages}) == 5


@pytest.mark.parametrize("status", [400, 404])
def test_dead_cursor(start: Start, status: int) -> None:
    client = start(30, dead_cursor=1.0, dead_cursor_status=status)
    first = client.page(client.all)
    assert client.page(client.all, None, first.cursor).status == status


def test_lost_and_looping_cursors(start: Start) -> None:
    client = start(30)
    first = client.page(client.all)
    client.server.faults.loop_cursor = 1.0
    assert client.page(client.all, None, first.cursor).cursor == first.cursor
    client.server.faults.lost_cursor = 1.0
    assert client.page(client.all, None, first.cursor).ids == first.ids


def test_rows_too_many_or_too_few(start: Start) -> None:
    client = start(100)
    rows = client.server.records
    ql = f"timestamp >= {rows[40].timestamp_ms} and timestamp < {rows[60].timestamp_ms}"
    right = client.page(ql, 50).ids
    client.server.faults.duplicate_rows = 1.0
    assert client.page(ql, 50).ids == right + right[: len(right) // 5]
    client.server.faults = Faults(lost_rows=1.0)
    assert len(client.page(ql, 50).ids) == len(right) - 1
    client.server.faults = Faults(outside_rows=1.0)
    assert client.page(ql, 50).ids[2:-2] == right
    assert client.page(ql, 50).json["count"] == len(right) + 4


def test_ignored_order_still_returns_each_row_once(start: Start) -> None:
    client = start(100, order_ignored=True)
    ids = [one for page in client.walk(client.all, 7) for one in page.ids]
    right = [row.msg_id for row in client.server.records]
    assert ids != right
    assert sorted(ids) == sorted(right)


def test_always_descending(start: Start) -> None:
    client = start(100, always_descending=True)
    ids = [one for page in client.walk(client.all, 7) for one in page.ids]
    assert ids == [row.msg_id for row in client.server.records][::-1]


def test_ignored_limit_and_truncation(start: Start) -> None:
    client = start(100, limit_ignored=15, truncate_after=40)
    assert [page.json["count"] for page in client.walk(client.all, 1000)] == [15, 15, 10]
    assert [page.json["count"] for page in client.walk("order by timestamp desc", 1000)] == [15, 15, 10]


@pytest.mark.parametrize(("form", "value"), [("null", None), ("empty", "")])
def test_last_cursor_may_be_there_and_mean_nothing(start: Start, form: str, value: str | None) -> None:
    page = start(1, last_cursor=form).page().json
    assert page["cursor"] == value
