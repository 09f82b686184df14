"""Walks over pages against servers that do not do what they should: bounded requests, and no false end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import pytest

from archiver.errors import AnswerUnusable, RequestRefused, WalkFailed
from archiver.http import Answer
from archiver.model import Pass, Window
from archiver.sources.easemob.cursor import CursorSource, make_page, read_page
from archiver.sources.easemob.hourly import read_answer
from archiver.sources.easemob.slices import Slice

Rows = list[tuple[str, int]]
Ask = Callable[[dict[str, str]], tuple[Rows, str | None]]
WINDOW = Window(1000, 2000)


def source(ask: Ask, *, lower_only: bool = False) -> tuple[CursorSource, list[dict[str, str]]]:
    asked: list[dict[str, str]] = []

    def fetch_page(query: dict[str, str]) -> tuple[object, str | None]:
        asked.append(query)
        assert len(asked) < 500, "requests are bounded"
        rows, cursor = ask(query)
        slices = [
            Slice(f'{{"msg_id":"{name}"}}'.encode(), {"msg_id": name, "timestamp": stamp}) for name, stamp in rows
        ]
        return make_page(slices, 10_000), cursor

    made = CursorSource("o#a", (Pass(1, 100),), None, 3, lower_only, fetch_page)  # type: ignore[arg-type]
    return made, asked


def served(rows: Rows, *, size: int = 3, most: int | None = None) -> Ask:
    """A good server: ascending, keyset cursors; `most`: it cuts every list after so many rows, silently."""

    def ask(query: dict[str, str]) -> tuple[Rows, str | None]:
        words = query["ql"].split()
        above = int(words[words.index(">") + 1])
        below = int(words[words.index("<") + 1]) if "<" in words else 2**60
        found = sorted((row for row in rows if above < row[1] < below), key=lambda row: (row[1], row[0]))[:most]
        after = query.get("cursor")
        start = next((at + 1 for at, row in enumerate(found) if row[0] == after), 0)
        page = found[start : start + size]
        full = len(page) == size and start + size < len(found)
        return page, page[-1][0] if full else None

    return ask


def walk(made: CursorSource, *, resume_ms: int | None = None, trusted: bool = True) -> tuple[set[str], str, list[bool]]:
    names: set[str] = set()
    end, ordered = "", []
    for step in made.walk(WINDOW, resume_ms=resume_ms, order_trusted=trusted):
        names |= {message.msg_id for message in step.page.messages}
        end = step.end
        ordered.append(step.ordered)
    return names, end, ordered


def rows(stamps: Iterable[int]) -> Rows:
    return [(f"m{at}", stamp) for at, stamp in enumerate(stamps)]


def test_a_list_is_read_to_where_no_cursor_is_sent() -> None:
    made, asked = source(served(rows(range(1000, 1050))))
    names, end, ordered = walk(made)
    assert len(names) == 50
    assert end == "exhausted"
    assert all(ordered)
    assert len({query["ql"] for query in asked}) == 1, "the same text for every page of a walk"


def test_a_walk_resumes_inclusively_so_that_ties_are_not_lost() -> None:
    made, asked = source(served(rows([1500] * 7)))
    assert len(walk(made, resume_ms=1500)[0]) == 7
    assert "timestamp > 1499" in asked[0]["ql"]


def test_a_silently_cut_list_is_read_on_from_where_it_was_cut() -> None:
    made, asked = source(served(rows(range(1000, 1100)), size=20, most=20))
    assert len(walk(made)[0]) == 100
    assert len(asked) < 12


def test_a_millisecond_that_fills_a_list_is_found_out() -> None:
    made, _ = source(served(rows([1500] * 25 + [1501]), size=20, most=20))
    with pytest.raises(WalkFailed, match="single millisecond"):
        walk(made)


def test_disorder_means_distrust_and_no_progress() -> None:
    stamps = [1500, 1400, 1600]
    made, _ = source(lambda _: (rows(stamps), None))
    steps = list(made.walk(WINDOW, resume_ms=None, order_trusted=True))
    assert [step.ordered for step in steps] == [False]
    assert steps[0].progress_ms is None


def test_a_descending_server_that_cuts_lists_is_found_out() -> None:
    everything = rows(range(1000, 1100))

    def ask(query: dict[str, str]) -> tuple[Rows, str | None]:
        words = query["ql"].split()
        above, below = int(words[words.index(">") + 1]), int(words[words.index("<") + 1])
        return sorted((row for row in everything if above < row[1] < below), key=lambda row: -row[1])[:20], None

    made, asked = source(ask)
    with pytest.raises(WalkFailed, match="cuts lists short"):
        walk(made)
    assert len(asked) <= 3


def counting(page: Rows) -> Ask:
    """The same rows again and again, each time with a new cursor."""
    numbers = iter(range(999))
    return lambda _: (page, str(next(numbers)))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda _: (rows([1500]), "same"), "second time"),
        (counting(rows([1500])), "only rows of earlier pages"),
        (counting([]), "empty pages"),
    ],
)
def test_lists_without_end_fail(ask: Ask, words: str) -> None:
    made, asked = source(ask)
    with pytest.raises(WalkFailed, match=words):
        walk(made)
    assert len(asked) <= 52


def test_a_refused_cursor_fails_the_walk_and_a_refused_query_is_told() -> None:
    def refuse(query: dict[str, str]) -> tuple[Rows, str | None]:
        if "cursor" in query:
            raise RequestRefused("no", status=404)
        return rows([1500]), "next"

    made, _ = source(refuse)
    with pytest.raises(WalkFailed, match="its own cursor"):
        walk(made)

    def refuse_all(_: dict[str, str]) -> tuple[Rows, str | None]:
        raise RequestRefused("no", status=400)

    with pytest.raises(RequestRefused):
        walk(source(refuse_all)[0])


def test_empty_pages_with_a_new_cursor_are_followed() -> None:
    answers = iter([([], "a"), ([], "b"), (rows([1200]), None)])
    made, _ = source(lambda _: next(answers))
    assert walk(made)[0] == {"m0"}


def test_the_later_dialect_ends_behind_the_window() -> None:
    made, asked = source(served(rows(range(1000, 5000, 10)), size=20), lower_only=True)
    names, end, _ = walk(made)
    assert {f"m{at}" for at in range(100)} <= names
    assert end == "by_order"
    assert all("<" not in query["ql"] and "order" not in query["ql"] for query in asked)
    assert len(asked) == 7


def test_a_long_walk_stops_where_its_lower_part_is_whole() -> None:
    made, asked = source(served(rows(range(1000, 1200))))
    steps = list(made.walk(WINDOW, resume_ms=None, order_trusted=True))
    assert steps[-1].end == "partial"
    assert steps[-1].progress_ms == 1059
    assert len(asked) == 20


GARBAGE = (
    b"",
    b"<html>",
    b"[]",
    b'{"entities": {}}',
    b'{"entities": null}',
    b'{"count": 0}',
    b'{"entities": [',
    b'{"entities":[]}x',
    b'{"entities": [], "entities": []}',
    b'{"entities": [], "cursor": 7}',
    b'\xff{"entities": []}',
    b'{"entities": [1,]}',
)


@pytest.mark.parametrize("body", GARBAGE)
def test_garbage_is_never_an_empty_page(body: bytes) -> None:
    with pytest.raises(AnswerUnusable):
        read_page(Answer(200, {}, body))


def test_the_server_time_is_when_the_request_was_taken_up() -> None:
    body = b'\xef\xbb\xbf{"entities": [], "timestamp": 1795000005000, "duration": 40, "cursor": ""}'
    page, cursor = read_page(Answer(200, {}, body, date_ms=9000))
    assert (page.server_ms, cursor) == (1795000004960, None)
    page, _ = read_page(Answer(200, {}, b'{"entities": []}', date_ms=9000))
    assert page.server_ms == 9000


def test_a_clock_that_counts_in_seconds_is_no_clock() -> None:
    page, _ = read_page(Answer(200, {}, b'{"entities": [], "timestamp": 1795000005, "duration": 0}', date_ms=9000))
    assert page.server_ms == 9000
    page, _ = read_page(Answer(200, {}, b'{"entities": [], "timestamp": 1795000005, "duration": 0}'))
    assert page.server_ms is None


_MADE_MS = 1_795_000_000_000


@pytest.mark.parametrize(
    ("duration", "elapsed_ms", "server_ms"),
    [
        (40, 41, 959_960),
        (40, 1_040, 959_960),
        (0, 40_000, 920_000),
        (-5, 40_000, 920_000),
        (0, 900, 960_000),
        (10**5, 3_000, 957_000),
        ("40", 3_000, 957_000),
        (None, 3_000, 957_000),
        (None, None, 960_000),
    ],
)
def test_a_slow_answer_was_asked_for_before_it_was_made(
    duration: object, elapsed_ms: int | None, server_ms: int
) -> None:
    told = {"timestamp": _MADE_MS + 960_000, "entities": [], "error": "storage_object_not_found"}
    body = json.dumps(told if duration is None else told | {"duration": duration}).encode()
    page, _ = read_page(Answer(200, {}, body, 9_000, "", elapsed_ms))
    assert page.server_ms == _MADE_MS + server_ms
    assert read_answer(Answer(404, {}, body, 9_000, "", elapsed_ms)).server_ms == _MADE_MS + server_ms


def test_so_was_one_that_only_the_date_tells_of() -> None:
    page, _ = read_page(Answer(200, {}, b'{"entities":[]}', 90_000, "", 40_000))
    assert page.server_ms == 50_000
