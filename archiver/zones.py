"""Days as people in a time zone count them, as ranges of milliseconds; and instants as they write them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from math import gcd

from archiver.model import DAY_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = _EPOCH.date().toordinal(), date.max.toordinal() - _EPOCH.date().toordinal()
_END_MS = (_LAST + 1) * DAY_MS


class Calendar:
    """The days of a zone, by their number from 1970-01-01: one begins where the other ends, whatever the clocks do.

    In a zone with summer time a day has 23 to 25 hours. The calendar ends with 9999, in every zone.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self.begins_ms = lru_cache(maxsize=4096)(self._begins_ms)

    @property
    def name(self) -> str:
        return str(self.zone)

    def range_of(self, number: int) -> tuple[int, int]:
        """From where to where a day goes, as far as it lies in the years 1970 to 9999."""
        return max(0, self.begins_ms(number)), min(self.begins_ms(number + 1), _END_MS)

    def number(self, ms: int) -> int:
        """The day in which an instant of 1970 to 9999 lies."""
        try:
            local = (_EPOCH + timedelta(milliseconds=ms)).astimezone(self.zone)
        except OverflowError:
            return _LAST
        number = local.toordinal() - _FIRST
        return number - 1 if ms < self.begins_ms(number) else number + (ms >= self.begins_ms(number + 1))

    def grain_ms(self, utc_days: Iterable[int]) -> int:
        """A stretch of time that divides a day of UTC, and lies in one day of the zone wherever it lies in these."""
        around = {number + more for number in utc_days for more in (-1, 0, 1, 2)}
        return gcd(DAY_MS, *(self.begins_ms(number) for number in around))

    def written(self, instant: str | None) -> str | None:
        """An instant in ISO 8601, with the zone's distance from UTC."""
        if instant is None or self.zone is UTC:
            return instant
        try:
            return datetime.fromisoformat(instant).astimezone(self.zone).isoformat(timespec="milliseconds")
        except OverflowError:
            return instant

    def spoken(self, instant: str) -> str:
        """The same for people: date, time and distance, parted by blanks."""
        text = self.written(instant) or instant
        clock, distance = (text[:-1], "UTC") if text.endswith("Z") else (text[:-6], text[-6:])
        return f"{clock.replace('T', ' ')} {distance}"

    def _begins_ms(self, number: int) -> int:
        if number > _LAST:
            return _END_MS
        day = date.fromordinal(_FIRST + number)
        # Where clocks are set at midnight, it comes twice, and the day begins with the second; or not at all, and the
        # day begins when they are set.
        both = (datetime(day.year, day.month, day.day, tzinfo=self.zone, fold=fold) for fold in (0, 1))
        return max((moment - _EPOCH) // timedelta(milliseconds=1) for moment in both)
