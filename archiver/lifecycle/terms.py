"""When a term of retention is over: by the calendar in UTC, where years and 29 February are whole days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from archiver.model import DAY_MS
from archiver.store.retention import RetentionTerms

_EPOCH = date(1970, 1, 1)


def day(ms: int) -> date:
    """The date of an instant in UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC).date()


def cutoff_ms(today: date, term: str) -> int:
    """Before which stamp every message's term has ended, at the beginning of a day in UTC."""
    count = int(term[:-1])
    if term[-1] == "d":
        return _midnight_ms(max(date.min, today - timedelta(days=min(count, today.toordinal() - 1))))
    year = today.year - count
    if year < 1:
        return _midnight_ms(date.min)
    try:
        then = today.replace(year=year)
    except ValueError:  # 29 February
        return _midnight_ms(date(year, 3, 1))
    before, before_today = then - timedelta(days=1), today - timedelta(days=1)
    if (before.month, before.day) == (2, 29) and before_today.day != 29:
        return _midnight_ms(then - timedelta(days=1))  # the term of 29 February ends in the course of today
    return _midnight_ms(then)


def _midnight_ms(day: date) -> int:
    return (day - _EPOCH).days * DAY_MS


def floor_ms(terms: RetentionTerms, today: date) -> int | None:
    """Before which stamp messages are due for deletion, and none has to stay; None where they may stay for ever."""
    if terms.keep_at_most is None:
        return None
    ends = [cutoff_ms(today, term) for term in terms if term is not None]
    return min(ends)
