"""The hours that name the provider's files: `2026110107` is one hour of the cluster's zone. Pure.

Domestic clusters name by Beijing time, overseas ones by UTC (the provider's documentation of 2024; older pages say UTC
for all, against their own examples). Neither has daylight saving, so a fixed offset is the whole zone, and integer
arithmetic on ms is right over every midnight, month, year and leap day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from archiver.model import HOUR_MS, Window
from archiver.timeline import hour_floor

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hour_of(timestamp_ms: int, offset_ms: int) -> Window:
    """The hour of the zone that an instant lies in."""
    lo_ms = hour_floor(timestamp_ms, offset_ms)
    return Window(lo_ms, lo_ms + HOUR_MS)


def first_hour(origin_ms: int, offset_ms: int) -> int:
    """Where the first hour begins that lies wholly behind an instant, in ms."""
    return hour_of(origin_ms - 1, offset_ms).hi_ms


def first_contact(start_ms: int, now_ms: int, retention_ms: int | None, offset_ms: int) -> int:
    """The first whole hour from `start_ms` on that the provider still keeps."""
    return first_hour(start_ms if retention_ms is None else max(start_ms, now_ms - retention_ms), offset_ms)


def hour_name(lo_ms: int, offset_ms: int) -> str:
    """What the provider calls the hour that begins at `lo_ms`. ValueError where none of this zone does."""
    if (lo_ms + offset_ms) % HOUR_MS:
        raise ValueError(f"no hour of the zone begins at {lo_ms}")
    try:
        there = _EPOCH + timedelta(milliseconds=lo_ms + offset_ms)
    except OverflowError:
        raise ValueError(f"{lo_ms} lies beyond the calendar") from None
    return f"{there:%Y%m%d%H}".zfill(10)  # %Y does not fill up early years on every system
