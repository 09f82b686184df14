"""What a walk knows after its pages is what looking at each row by itself tells."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from archiver.errors import WalkFailed
from archiver.model import Message, Page, Window
from archiver.sources.listing import ListingCheck

WINDOW = Window(100, 200)
ROWS = st.tuples(st.integers(0, 60), st.sampled_from([0, 99, 100, 101, 150, 151, 199, 200, 300]))
IN_ORDER = st.lists(st.tuples(st.integers(0, 60), st.integers(90, 210)), max_size=8).map(
    lambda rows: sorted(rows, key=lambda row: row[1])
)
PAGES = st.lists(IN_ORDER | st.lists(ROWS, max_size=5), max_size=6)


def page(rows: list[tuple[int, int]]) -> Page:
    def message(msg_id: str, stamp_ms: int) -> Message:
        return Message(msg_id, stamp_ms, None, None, None, None, None, (), None, b"", b"", False, 0)

    return Page(tuple(message(str(number), stamp_ms) for number, stamp_ms in rows), (), None, "")


@given(PAGES)
def test_a_page_at_once_is_the_same_as_row_by_row(found: list[list[tuple[int, int]]]) -> None:
    walk = ListingCheck(WINDOW, trusted=True)
    seen: dict[int, int] = {}
    for rows in found:
        try:
            walk.take(page(rows), None)
        except WalkFailed:
            break
        for number, stamp_ms in rows:
            seen.setdefault(number, stamp_ms)
    inside = [stamp_ms for stamp_ms in seen.values() if WINDOW.lo_ms <= stamp_ms < WINDOW.hi_ms]
    event(f"in order: {inside == sorted(inside)}")
    assert walk.ordered == (inside == sorted(inside))
    assert (walk.lowest_ms, walk.highest_ms) == (min(inside, default=None), max(inside, default=None))
    assert walk.news == len(seen)
    assert walk.furthest_ms == max((stamp_ms for rows in found for _, stamp_ms in rows), default=None)


def test_only_a_page_in_order_shows_that_the_rest_lies_beyond_the_window() -> None:
    walk = ListingCheck(WINDOW, trusted=True)
    assert walk.lies_beyond(page([(1, 210), (2, 220), (3, 220)]), 10)
    assert not walk.lies_beyond(page([(1, 209), (2, 220)]), 10), "within the lag of the window's end"
    assert not walk.lies_beyond(page([(1, 230), (2, 220), (3, 215)]), 10), (
        "the list descends, and may come to the window"
    )
    assert not walk.lies_beyond(page([]), 10)
    assert not ListingCheck(WINDOW, trusted=False).lies_beyond(page([(1, 210), (2, 220)]), 10)
