"""The arithmetic of windows, over wide ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, Window
from archiver.timeline import (
    TOLERATED_SKEW_MS,
    agrees,
    clock_problem,
    cut,
    cut_back,
    due_until,
    halves,
    hour_floor,
    is_expired,
    next_span,
    offset_text,
    reach,
    reach_back,
    settled,
    trusted_now,
    zone_evidence,
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


@pytest.mark.parametrize(
    ("walk0_ms", "closes"), [(10_000, False), (70_000, False), (71_999, False), (72_000, True), (90_000, True)]
)
def test_a_window_closes_only_when_its_walk_began_late_enough(walk0_ms: int, closes: bool) -> None:
    """A window up to 10 s, a lag of 60 s, and 2 s between the clocks of the provider's nodes."""
    assert settled(walk0_ms, 10_000, 60_000) is closes


@given(instants, st.integers(0, 2 * DAY_MS), st.integers(1, DAY_MS))
def test_what_is_due_is_the_latest_that_may_close(now_ms: int, lag_ms: int, more_ms: int) -> None:
    due_ms = due_until(now_ms, lag_ms)
    assert settled(now_ms, due_ms, lag_ms)
    assert not settled(now_ms, due_ms + more_ms, lag_ms)


@given(instants, spans, spans, st.integers(0, 50))
def test_windows_tile_what_they_are_cut_from(from_ms: int, length_ms: int, span_ms: int, most: int) -> None:
    until_ms = from_ms + length_ms
    windows = cut(from_ms, until_ms, span_ms, most)
    assert len(windows) == min(most, -(-length_ms // span_ms))
    assert reach(from_ms, windows) == (windows[-1].hi_ms if windows else from_ms)
    assert all(0 < window.hi_ms - window.lo_ms <= span_ms for window in windows)
    borders = [from_ms, *(window.hi_ms for window in windows)]
    assert [window.lo_ms for window in windows] == borders[:-1]
    assert borders[-1] <= until_ms
    if windows and len(windows) < most:
        assert borders[-1] == until_ms
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
    ("minutes", "quarter"),
    [(30, 2), (90, 6), (-30, -2), (-8 * 60 + 30, -30), (2, 0), (58, 3), (-1, None), (61, None), (40 * 24 * 60, None)],
)
def test_what_a_message_says_of_the_zone(minutes: int, quarter: int | None) -> None:
    found = zone_evidence(0, [minutes * MINUTE_MS], 0)
    assert found == ({} if quarter is None else {quarter: 1})


def test_a_file_agrees_by_the_majority_of_its_messages() -> None:
    assert not agrees({})
    assert agrees({0: 3, 2: 4, -8: 6})
    assert not agrees({0: 3, 2: 4, -8: 8})
    assert not agrees({-1: 1})


@pytest.mark.parametrize(
    ("server_h", "database_h", "expired"),
    [(71, 71, False), (73, 73, True), (73, 72, None), (72, 73, None), (120, 30, None), (30, 120, None)],
)
def test_a_range_is_lost_only_where_both_clocks_say_so(server_h: int, database_h: int, *, expired: bool | None) -> None:
    assert is_expired(0, server_h * HOUR_MS, database_h * HOUR_MS, 72 * HOUR_MS) is expired
    assert is_expired(0, server_h * HOUR_MS, database_h * HOUR_MS, None) is False


def test_clocks_that_hardly_differ_are_not_asked_both() -> None:
    assert is_expired(0, 72 * HOUR_MS + MINUTE_MS, 72 * HOUR_MS - MINUTE_MS, 72 * HOUR_MS) is True


@pytest.mark.parametrize(
    ("server_s", "database_s", "problem"),
    [
        (60, 60, None),
        (55, 60, None),
        (0, 20, None),
        (3500, 3600, None),
        (0, 600, "stands still"),
        (-9, 600, "goes back"),
        (60, 3600, "slower"),
        (7200, 3600, None),
    ],
)
def test_a_clock_is_held_against_its_own_past(server_s: int, database_s: int, problem: str | None) -> None:
    found = clock_problem((0, 0), server_s * 1000, database_s * 1000)
    assert (found is None) == (problem is None)
    assert problem is None or problem in str(found)
    assert clock_problem(None, server_s * 1000, database_s * 1000) is None


@pytest.mark.parametrize(("minutes", "text"), [(480, "+08:00"), (-210, "-03:30"), (0, "+00:00")])
def test_offsets_are_told_as_they_are_configured(minutes: int, text: str) -> None:
    assert offset_text(minutes * MINUTE_MS) == text
