"""Hours of a zone, and the proof that it is the wrong one."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.model import HOUR_MS, MINUTE_MS, Window
from archiver.sources.easemob.hours import first_hour, hour_name, hour_of
from archiver.timeline import ZoneVerdict, agrees, judge_zone, zone_evidence

EIGHT = 8 * HOUR_MS
instants = st.integers(0, 4_102_444_800_000)  # 1970 .. 2100
offsets = st.integers(-12 * 4, 14 * 4).map(lambda quarters: quarters * 15 * MINUTE_MS)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


@pytest.mark.parametrize(
    ("start", "offset_ms", "name"),
    [
        ("2026-11-01T00:00:00+08:00", EIGHT, "2026110100"),
        ("2026-11-23T16:00:00+00:00", EIGHT, "2026112400"),
        ("2026-12-31T23:00:00+08:00", EIGHT, "2026123123"),
        ("2026-12-31T16:00:00+00:00", EIGHT, "2027010100"),
        ("2028-02-29T00:00:00+08:00", EIGHT, "2028022900"),
        ("2028-02-29T16:00:00+00:00", EIGHT, "2028030100"),
        ("2027-02-28T16:00:00+00:00", EIGHT, "2027030100"),
        ("2026-11-01T00:00:00+00:00", 0, "2026110100"),
        ("2026-10-31T19:00:00-05:00", -5 * HOUR_MS, "2026103119"),
        ("2026-11-01T05:00:00+05:30", 11 * HOUR_MS // 2, "2026110105"),
        ("2026-01-01T00:00:00-03:30", -7 * HOUR_MS // 2, "2026010100"),
        ("1969-12-31T23:00:00+00:00", 0, "1969123123"),
    ],
)
def test_names_over_midnights_months_years_and_leap_days(start: str, offset_ms: int, name: str) -> None:
    assert hour_name(ms(start), offset_ms) == name
    assert hour_of(ms(start), offset_ms) == Window(ms(start), ms(start) + HOUR_MS)


def test_an_early_year_keeps_its_ten_digits() -> None:
    assert hour_name(ms("0087-01-01T05:00:00+00:00"), 0) == "0087010105"


def test_what_is_no_hour_has_no_name() -> None:
    with pytest.raises(ValueError, match="no hour of the zone begins"):
        hour_name(ms("2026-11-01T00:30:00+00:00"), EIGHT)
    with pytest.raises(ValueError, match="beyond the calendar"):
        hour_name(10**9 * HOUR_MS, 0)


@given(instants, offsets)
def test_an_instant_lies_in_its_hour(instant: int, offset_ms: int) -> None:
    hour = hour_of(instant, offset_ms)
    assert hour.lo_ms <= instant < hour.hi_ms == hour.lo_ms + HOUR_MS
    assert hour_of(hour.hi_ms - 1, offset_ms) == hour
    assert hour_of(hour.hi_ms, offset_ms).lo_ms == hour.hi_ms


@given(instants, offsets)
def test_a_name_is_the_wall_clock_of_the_zone(instant: int, offset_ms: int) -> None:
    there = datetime.fromtimestamp(instant // 1000, timezone(timedelta(milliseconds=offset_ms)))
    assert hour_name(hour_of(instant, offset_ms).lo_ms, offset_ms) == there.strftime("%Y%m%d%H")


@given(instants, offsets)
def test_the_first_hour_is_rounded_up(origin: int, offset_ms: int) -> None:
    first = first_hour(origin, offset_ms)
    assert 0 <= first - origin < HOUR_MS
    assert hour_of(first, offset_ms).lo_ms == first
    assert first_hour(first, offset_ms) == first


@pytest.fixture(params=["Asia/Shanghai", "America/St_Johns", "Europe/Berlin"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield
    del os.environ["TZ"]
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_the_local_zone_does_not_matter() -> None:
    start = 1_793_491_200_000 - EIGHT  # 2026-11-01T00:00+08:00, without asking the calendar
    assert hour_name(start, EIGHT) == "2026110100"
    assert hour_name(start, 0) == "2026103116"
    assert first_hour(start + 1, EIGHT) == start + HOUR_MS
    assert hour_name(1_774_746_000_000, 0) == "2026032901"  # an hour that clocks in Berlin skip


# The wrong zone.

HOUR = Window(ms("2026-11-01T00:00:00+08:00"), ms("2026-11-01T01:00:00+08:00"))
zone_offsets = st.integers(-12, 14).map(lambda hours: hours * HOUR_MS)


def later(hours: int) -> Window:
    return Window(HOUR.lo_ms + hours * HOUR_MS, HOUR.hi_ms + hours * HOUR_MS)


class Files:
    """The files of a source, with what they say of its zone."""

    def __init__(self, offset_ms: int) -> None:
        self._offset_ms, self._found = offset_ms, dict[Window, Counter[int]]()

    def take(self, hour: Window, stamps: list[int]) -> None:
        self._found.setdefault(hour, Counter()).update(zone_evidence(hour.lo_ms, stamps, self._offset_ms))

    @property
    def zone(self) -> ZoneVerdict:
        """What those after the last that agrees say together."""
        against: list[Counter[int]] = []
        for _, evidence in sorted(self._found.items()):
            against = [] if agrees(evidence) else [*against, evidence]
        return judge_zone(against)

    @property
    def shift_hours(self) -> float | None:
        shift_ms = self.zone.shift_ms
        return None if shift_ms is None else shift_ms / HOUR_MS


def within(hour: Window, count: int = 10) -> list[int]:
    return [hour.lo_ms + 10 * MINUTE_MS + number for number in range(count)]


@given(instants, st.integers(-12, 14), st.integers(-12, 14))
def test_a_wrong_zone_is_proven_and_the_right_one_named(instant: int, configured: int, true: int) -> None:
    check = Files(configured * HOUR_MS)
    for number in range(6):  # two are enough but for an hour's difference, as late arrivals look so
        name = hour_name(hour_of(instant + number * HOUR_MS, 0).lo_ms, 0)
        start = int(datetime.strptime(name + "+0000", "%Y%m%d%H%z").timestamp()) * 1000
        believed = Window(start - configured * HOUR_MS, start - configured * HOUR_MS + HOUR_MS)
        actual = Window(start - true * HOUR_MS, start - true * HOUR_MS + HOUR_MS)
        check.take(believed, [actual.lo_ms + minute * MINUTE_MS for minute in range(60)])
    assert check.shift_hours == (None if configured == true else configured - true)


def test_a_utc_cluster_read_by_beijing_hours() -> None:
    check = Files(EIGHT)
    for number in range(2):
        check.take(later(number), within(later(number + 8)))
    assert check.shift_hours == 8


def test_stamps_before_their_files_are_proof_by_their_number() -> None:
    """They may have arrived late: a file of them is doubt, twenty in two files are proof."""
    check = Files(EIGHT)
    check.take(HOUR, within(later(-5), 500))
    assert (check.shift_hours, check.zone.doubtful) == (None, True)
    check = Files(EIGHT)
    check.take(HOUR, within(later(-5), 10))
    check.take(later(1), within(later(-4), 9))
    assert (check.shift_hours, check.zone.doubtful) == (None, True)
    check.take(later(1), [later(-4).lo_ms + 30 * MINUTE_MS])
    assert check.shift_hours == -5


def test_stamps_after_their_files_are_impossible() -> None:
    """Nothing arrives before it is stamped: one message in each of two files is proof."""
    check = Files(EIGHT)
    check.take(HOUR, within(later(8), 1))
    assert (check.shift_hours, check.zone.doubtful) == (None, True)
    check.take(later(5), within(later(13), 1))
    assert check.shift_hours == 8


def test_a_quiet_app_proves_its_zone_by_six_files() -> None:
    check = Files(EIGHT)
    for number in range(5):
        check.take(later(number), within(later(number - 3), 1))
    assert check.shift_hours is None
    check.take(later(5), within(later(2), 1))
    assert check.shift_hours == -3


def test_half_an_hour_is_found_too() -> None:
    check = Files(EIGHT)
    for number in range(2):
        lo_ms = later(number).lo_ms + HOUR_MS * 5 // 2
        check.take(later(number), [lo_ms + minute * MINUTE_MS for minute in range(60)])
    assert check.shift_hours == 2.5


def test_a_late_message_in_each_file_does_not_hide_a_wrong_zone() -> None:
    check = Files(EIGHT)
    for number in range(2):
        check.take(later(number), [*within(later(number + 8), 30), later(number + 7).lo_ms + 50 * MINUTE_MS])
    assert check.shift_hours == 8


def test_a_file_that_agrees_vouches_for_those_before_it_alone() -> None:
    """A cluster may change its naming: what comes later is judged by itself."""
    check = Files(EIGHT)
    check.take(HOUR, within(HOUR, 500))
    check.take(later(1), within(later(9), 15))
    assert (check.shift_hours, check.zone.doubtful) == (None, True)
    check.take(later(2), within(later(10), 15))
    assert check.shift_hours == 8
    check.take(later(3), within(later(3)))
    assert check.zone == judge_zone([])


def test_late_arrivals_by_different_times_speak_against_no_zone() -> None:
    check = Files(EIGHT)
    for number, hours in enumerate((-2, -4, -6)):
        check.take(later(number), within(later(number + hours), 1))
    assert (check.shift_hours, check.zone.doubtful) == (None, False)


def test_different_shifts_prove_nothing() -> None:
    check = Files(EIGHT)
    check.take(HOUR, within(later(8), 30))
    check.take(later(1), within(later(8), 30))
    assert check.shift_hours is None


def test_messages_just_before_their_file_prove_nothing() -> None:
    """A file holds what arrived in its hour: quiet files may hold nothing but a message of 07:59:59.9."""
    check = Files(EIGHT)
    for number in range(100):
        check.take(later(number), [later(number).lo_ms - 1 - second for second in range(200)])
    assert check.shift_hours is None


def test_imported_history_proves_nothing() -> None:
    check = Files(EIGHT)
    for number in range(5):
        check.take(later(number), within(later(number - 24 * 365), 50))
        check.take(later(number), [0, -1, 2**63 - 1, -(2**63)])
    assert check.shift_hours is None


def test_border_messages_do_not_hide_a_wrong_zone() -> None:
    check = Files(EIGHT)
    for number in range(2):
        wrong = later(number + 8)
        check.take(later(number), [wrong.lo_ms - 100, *within(wrong), wrong.hi_ms + 1500])
    assert check.shift_hours == 8


@given(
    zone_offsets,
    st.lists(st.lists(st.integers(-5 * MINUTE_MS, HOUR_MS - 1), max_size=60), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(-(2**40), 2**40)), max_size=15),
)
def test_a_right_zone_is_never_refused(offset_ms: int, files: list[list[int]], odd: list[tuple[int, int]]) -> None:
    """Messages up to five minutes before their file, or within its hour, and a few that were imported."""
    check = Files(offset_ms)
    for number, stamps in enumerate(files):
        hour = later(number)
        check.take(hour, [hour.lo_ms + stamp for stamp in stamps] + [at for place, at in odd if place == number])
    assert check.shift_hours is None
