"""Time zones: by their names, the days that people in them count, and instants as they write and read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from math import gcd
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from archiver.model import DAY_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = _EPOCH.date().toordinal(), date.max.toordinal() - _EPOCH.date().toordinal()
_END_MS = (_LAST + 1) * DAY_MS

_SPOKEN = {
    **dict.fromkeys(("beijing", "peking", "china", "prc", "北京", "shanghai", "cst"), "Asia/Shanghai"),
    **dict.fromkeys(("hong kong", "hongkong", "香港"), "Asia/Hong_Kong"),
    **dict.fromkeys(("taipei", "台北"), "Asia/Taipei"),
    **dict.fromkeys(("singapore", "新加坡"), "Asia/Singapore"),
    **dict.fromkeys(("tokyo", "jst"), "Asia/Tokyo"),
}
"""Names that people use and no list of zones has, or not alone; `cst` is American time, too, so it is only a hint."""


def parse_zone(text: str) -> tzinfo:
    """A zone by its name, as Asia/Shanghai, or its distance from UTC, as +08:00. ValueError says what is meant."""
    name = text.strip()
    if name.upper() in ("UTC", "Z"):
        return UTC
    if re.fullmatch(r"[+-][0-9]{2}:?[0-9]{2}", name):
        return timezone(datetime.strptime(name, "%z").utcoffset() or timedelta())
    if hours := re.fullmatch(r"(?:UTC|GMT)?([+-])([0-9]{1,2})", name, re.IGNORECASE):
        raise ValueError(f"{text!r} is not a known zone; write {hours[1]}{int(hours[2]):02}:00")
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        pass
    if meant := _SPOKEN.get(name.lower()):
        raise ValueError(f"{text!r} is not a known zone; did you mean {meant}?")
    raise ValueError(f"{text!r} is not a known zone; try +08:00, or a name as Asia/Shanghai")


def machine_zone(environ: Mapping[str, str], localtime: Path = Path("/etc/localtime")) -> tzinfo:
    """The zone that this machine is set to; UTC where that cannot be said by a name."""
    named = environ.get("TZ", "").removeprefix(":")
    if not named and localtime.is_symlink():
        named = str(localtime.resolve()).partition("zoneinfo/")[2]
    try:
        return UTC if named in ("", "UTC", "Etc/UTC") else ZoneInfo(named)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        return UTC


def month(text: str) -> tuple[date, date]:
    """A month as 2026-10: its first day and the next month's. ValueError says what is wrong."""
    parts = re.fullmatch(r"([0-9]{4})-([0-9]{2})", text.strip())
    if not parts or not 1 <= int(parts[2]) <= 12 or not 1970 <= int(parts[1]) < 9999:
        raise ValueError(f"{text!r} is not a month; write it as 2026-10")
    first = date(int(parts[1]), int(parts[2]), 1)
    return first, (first + timedelta(days=32)).replace(day=1)


def local_time(text: str) -> datetime | None:
    """A day, a month or a time without a zone, at its beginning; None for what is none of these."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
            first = month(text)[0]
            return datetime(first.year, first.month, 1)  # noqa: DTZ001 - the zone is the caller's
        moment = datetime.fromisoformat(text) if re.match(r"[0-9]{4}-", text) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is None else None


class Calendar:
    """The days of a zone, by their number from 1970-01-01: one begins where the other ends, whatever the clocks do.

    In a zone with summer time a day has 23 to 25 hours. The calendar ends with 9999, in every zone.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self.begins_ms = lru_cache(maxsize=4096)(self._begins_ms)

    def __reduce__(self) -> tuple[type[Calendar], tuple[tzinfo]]:
        return Calendar, (self.zone,)  # what it remembers stays in its process

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

    def begins(self, day: date) -> int:
        """When a day begins here, in ms."""
        return self.begins_ms(day.toordinal() - _FIRST)

    def at_ms(self, local: datetime) -> int:
        """The instant of a time without a zone, read in this one; a day begins when its date does."""
        if (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0):
            return self.begins(local.date())
        return (local.replace(tzinfo=self.zone) - _EPOCH) // timedelta(milliseconds=1)

    def clock(self, ms: int) -> str:
        """The same without the distance, for a table that names the zone; what is beyond the calendar, in ms."""
        try:
            return f"{(_EPOCH + timedelta(milliseconds=ms)).astimezone(self.zone):%Y-%m-%d %H:%M:%S}"
        except OverflowError:
            return f"{ms} ms"

    def said(self, ms: int) -> str:
        """An instant of the years 1970 to 9999 for people, to the second, with the distance from UTC."""
        moment = (_EPOCH + timedelta(milliseconds=ms)).astimezone(self.zone)
        distance = "UTC" if self.zone is UTC else f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:5]
        return f"{moment:%Y-%m-%d %H:%M:%S} {distance}"

    def exact(self, ms: int) -> str:
        """An instant of the years 1970 to 9999 in ISO 8601, to the millisecond, with the distance from UTC."""
        moment = (_EPOCH + timedelta(milliseconds=ms)).astimezone(self.zone)
        text = moment.isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z") if self.zone is UTC else text

    def written(self, instant: str | None) -> str | None:
        """An instant in ISO 8601, with the zone's distance from UTC."""
        if instant is None or self.zone is UTC:
            return instant
        try:
            return datetime.fromisoformat(instant).astimezone(self.zone).isoformat(timespec="milliseconds")
        except OverflowError:
            return instant

    def local(self, instant: str | None) -> str | None:
        """By the clock of the zone, to the millisecond, as spreadsheets take a time: without the distance from UTC."""
        text = self.written(instant)
        return None if text is None else text[:23].replace("T", " ")

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


IN_UTC = Calendar()
"""What machines read, and who has named no zone."""
