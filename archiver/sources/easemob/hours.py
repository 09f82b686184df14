"""The hours that name the provider's files: `2026110107` is one hour of the cluster's zone. Pure.

Domestic clusters name by Beijing time, overseas ones by UTC (the provider's documentation of 2024; older pages say UTC
for all, against their own examples). Neither has daylight saving, so a fixed offset is the whole zone, and integer
arithmetic on ms is right over every midnight, month, year and leap day.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from archiver.model import HOUR_MS, MINUTE_MS, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZONES_MS = range(-12 * HOUR_MS, 14 * HOUR_MS + 1)
_BORDER_MS = 5 * MINUTE_MS


def hour_of(timestamp_ms: int, offset_ms: int) -> Window:
    """The hour of the zone that an instant lies in."""
    lo_ms = (timestamp_ms + offset_ms) // HOUR_MS * HOUR_MS - offset_ms
    return Window(lo_ms, lo_ms + HOUR_MS)


def first_hour(origin_ms: int, offset_ms: int) -> int:
    """Where the first hour begins that lies wholly behind an instant, in ms."""
    return hour_of(origin_ms - 1, offset_ms).hi_ms


def hour_name(lo_ms: int, offset_ms: int) -> str:
    """What the provider calls the hour that begins at `lo_ms`. ValueError where none of this zone does."""
    if (lo_ms + offset_ms) % HOUR_MS:
        raise ValueError(f"no hour of the zone begins at {lo_ms}")
    try:
        there = _EPOCH + timedelta(milliseconds=lo_ms + offset_ms)
    except OverflowError:
        raise ValueError(f"{lo_ms} lies beyond the calendar") from None
    return f"{there:%Y%m%d%H}".zfill(10)  # %Y does not fill up early years on every system


class ZoneCheck:
    """Gathers proof that the hours are not those of the configured zone: reading on would file away the wrong hours.

    Proof is that all messages of at least two files, at least twenty of them, are stamped the same whole number of
    hours beside their file's hour, so that an existing zone would put all of them right. A single message within its
    hour refutes it for good. Not counted at all: what is stamped close to the border of any hour, as a file holds what
    *arrived* in its hour and 07:59:59.9 may lie in file 08, and what no zone explains, such as imported history.
    """

    FILES, MESSAGES = 2, 20

    def __init__(self, offset_ms: int) -> None:
        self._offset_ms = offset_ms
        self._shift: int | None = None
        self._refuted = False
        self._files: set[int] = set()
        self._messages = 0

    def take(self, hour: Window, timestamps: Iterable[int]) -> None:
        """Look at the timestamps of an hour's file, all at once or page by page; each file once."""
        if self._refuted:
            return
        for timestamp_ms in timestamps:
            hours, beside_ms = divmod(timestamp_ms - hour.lo_ms, HOUR_MS)
            if not _BORDER_MS <= beside_ms < HOUR_MS - _BORDER_MS:
                continue
            if self._offset_ms - hours * HOUR_MS not in _ZONES_MS:
                continue
            if hours == 0 or self._shift not in (None, hours):
                self._refuted = True
                return
            self._shift = hours
            self._files.add(hour.lo_ms)
            self._messages += 1

    @property
    def right_offset_ms(self) -> int | None:
        """The offset that would put every message into its file's hour; None while nothing is proven."""
        return None if (hours := self.shift_hours) is None else self._offset_ms - hours * HOUR_MS

    @property
    def shift_hours(self) -> int | None:
        """By how many hours messages are stamped behind (or, negative, before) their file's hour; None: not proven."""
        proven = not self._refuted and len(self._files) >= self.FILES and self._messages >= self.MESSAGES
        return self._shift if proven else None
