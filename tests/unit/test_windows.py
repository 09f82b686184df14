"""The arithmetic of windows, over wide ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, Window
from archiver.windows import (
    EPS_MS,
    TOLERATED_SKEW_MS,
    cut,
    cut_back,
    due_until,
    file_shift,
    halves,
    hour_floor,
    hour_shift,
    missing_hour,
    next_span,
    offset_text,
    reach,
    reach_back,
    settled,
    trusted_now,
)

instants = st.integers(0, 2**45)
spans = st.integers(1, 10 * DAY_MS)


@given(instants, instants)
def test_a_second_clock_may_delay_but_never_advance(server_ms: int, database_ms: int) -> None:
    now_ms = trusted_now(server_ms, database_ms)
    assert now_ms <= database_ms + TOLERATED_SKEW_MS
    assert now_ms in (server_ms, database_ms)
    if server_ms > database_ms + TOLERATED_SKEW_MS:
        assert now_ms == database_ms


@given(instants, instants, st.integers(0, 2 * DAY_MS))
def test_a_window_closes_only_when_its_walk_began_late_enough(walk0_ms: int, hi_ms: int, lag_ms: int) -> None:
    assert settled(walk0_ms, hi_ms, lag_ms) == (walk0_ms >= hi_ms + lag_ms + EPS_MS)
    assert settled(walk0_ms, due_until(walk0_ms, lag_ms), lag_ms)


@given(instants, spans, spans, st.integers(0, 50))
def test_windows_tile_what_they_are_cut_from(from_ms: int, length_ms: int, span_ms: int, most: int) -> None:
    until_ms = from_ms + length_ms
    windows = cut(from_ms, until_ms, span_ms, most)
    assert len(windows) == min(most, -(-length_ms // span_ms))
    assert reach(from_ms, windows) == (windows[-1].hi_ms if windows else from_ms)
    assert all(0 < window.hi_ms - window.lo_ms <= span_ms for window in windows)
    back = cut_back(from_ms, until_ms, span_ms, most)
    assert reach_back(until_ms, back) == (back[-1].lo_ms if back else until_ms)
    assert cut(from_ms, until_ms, span_ms, 1)[0].lo_ms == from_ms


@given(spans.filter(lambda span: span <= DAY_MS), st.integers(0, 1000))
def test_the_next_span_changes_fourfold_at_most(span_ms: int, pages: int) -> None:
    wide_ms = next_span(span_ms, pages)
    assert 1 <= wide_ms <= DAY_MS
    assert span_ms // 4 <= wide_ms <= max(1, span_ms * 4)
    if pages > 10:
        assert wide_ms <= max(1, span_ms)


@given(instants, spans)
def test_halves_tile_their_window(lo_ms: int, span_ms: int) -> None:
    parts = halves(Window(lo_ms, lo_ms + span_ms))
    if span_ms == 1:
        assert parts is None
    else:
        assert parts is not None
        assert (parts[0].lo_ms, parts[0].hi_ms, parts[1].hi_ms) == (lo_ms, parts[1].lo_ms, lo_ms + span_ms)
        assert all(part.lo_ms < part.hi_ms for part in parts)


def test_reach_stops_at_the_first_gap() -> None:
    assert reach(0, [Window(0, 5), Window(5, 7), Window(8, 9)]) == 7
    assert reach_back(9, [Window(8, 9), Window(5, 7)]) == 8


@given(instants, st.integers(-12 * 60, 14 * 60))
def test_an_hour_of_a_zone_begins_on_its_clock(timestamp_ms: int, offset_minutes: int) -> None:
    offset_ms = offset_minutes * MINUTE_MS
    lo_ms = hour_floor(timestamp_ms, offset_ms)
    assert lo_ms <= timestamp_ms < lo_ms + HOUR_MS
    assert (lo_ms + offset_ms) % HOUR_MS == 0


@pytest.mark.parametrize(
    ("minutes", "shift"),
    [(30, 0), (90, 1), (-30, -1), (-8 * 60 + 30, -8), (2, None), (58, None), (-1, None), (40 * 24 * 60 + 30, None)],
)
def test_what_a_message_says_of_the_zone(minutes: int, shift: int | None) -> None:
    hour = Window(0, HOUR_MS)
    assert hour_shift(hour, minutes * MINUTE_MS, 0) == shift


def test_what_a_file_says_of_the_zone() -> None:
    assert file_shift(set()) is None
    assert file_shift({8}) == 8
    assert file_shift({8, 0}) == 0
    assert file_shift({8, 7}) == 0, "no zone explains both"


@pytest.mark.parametrize(
    ("age", "number", "presumed", "state"),
    [
        (1, 1, False, "not_ready"),
        (30, 1, False, "not_ready"),
        (30, 1, True, "presumed_empty"),
        (30, 2, True, "not_ready"),
        (73, 1, True, "expired"),
        (73, 0, False, "skipped"),
        (73, 2, False, "skipped"),
    ],
)
def test_what_a_missing_file_means(age: int, number: int, *, presumed: bool, state: str) -> None:
    found = missing_hour(age * HOUR_MS, number=number, retention_ms=72 * HOUR_MS, presumed=presumed)
    assert found == state


@pytest.mark.parametrize(("minutes", "text"), [(480, "+08:00"), (-210, "-03:30"), (0, "+00:00")])
def test_offsets_are_told_as_they_are_configured(minutes: int, text: str) -> None:
    assert offset_text(minutes * MINUTE_MS) == text
