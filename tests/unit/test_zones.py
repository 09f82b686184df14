"""Days of time zones: whole, in order, and as the clocks on the wall have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.model import DAY_MS, HOUR_MS
from archiver.zones import Calendar

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = ["UTC", "Asia/Shanghai", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Monrovia"]
NAMES += ["Pacific/Apia", "Australia/Lord_Howe", "America/Havana"]
LAST_MS = 253_402_300_799_999


def ms(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("Asia/Shanghai", "2026-11-01", "2026-10-31T16:00:00Z", 24),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00:00Z", 23),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z", 25),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", 23),  # there was no midnight
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z", 24),  # there were two before it
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0),  # a day that was left out
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(zone: str, day: str, begins: str, hours: int) -> None:
    found = Calendar(ZoneInfo(zone))
    number = (ms(f"{day}T00:00:00Z")) // DAY_MS
    assert found.range_of(number) == (ms(begins), ms(begins) + hours * HOUR_MS)


@given(zone=st.sampled_from(NAMES), stamp=st.integers(0, LAST_MS) | st.integers(0, 4_000_000_000_000))
def test_every_instant_lies_in_one_day_and_the_grain_cuts_none(zone: str, stamp: int) -> None:
    found = Calendar(ZoneInfo(zone))
    low, high = found.range_of(found.number(stamp))
    assert low <= stamp < high
    grain = found.grain_ms([stamp // DAY_MS])
    assert DAY_MS % grain == 0
    floor = stamp // grain * grain
    assert found.number(floor) == found.number(floor + grain - 1) == found.number(stamp)


def test_the_grain_is_no_finer_than_a_zone_asks_for() -> None:
    assert Calendar().grain_ms(range(20_000, 20_400)) == DAY_MS
    assert Calendar(ZoneInfo("Asia/Shanghai")).grain_ms(range(20_000, 20_400)) == 8 * HOUR_MS
    assert Calendar(ZoneInfo("America/New_York")).grain_ms(range(20_000, 20_400)) == HOUR_MS


def test_the_calendar_ends_with_9999_in_every_zone() -> None:
    for hours in (-12, 0, 14):
        found = Calendar(timezone(timedelta(hours=hours)))
        for stamp in (0, LAST_MS):
            low, high = found.range_of(found.number(stamp))
            assert 0 <= low <= stamp < high <= LAST_MS + 1
        assert found.written("9999-12-31T23:59:59.999Z") is not None


def test_an_instant_is_written_with_its_distance_from_utc() -> None:
    moment = "2026-11-01T20:00:00.123Z"
    shanghai = Calendar(ZoneInfo("Asia/Shanghai"))
    assert shanghai.written(moment) == "2026-11-02T04:00:00.123+08:00"
    assert shanghai.spoken(moment) == "2026-11-02 04:00:00.123 +08:00"
    assert (Calendar().written(moment), Calendar().spoken(moment)) == (moment, "2026-11-01 20:00:00.123 UTC")
    assert shanghai.written(None) is None
