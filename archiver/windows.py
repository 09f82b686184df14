"""The arithmetic of windows: when one may close, how wide the next one is, and what a set of them proves. Pure.

A window is half-open, `[lo_ms, hi_ms)`, in server time. It may close only when the first request of its walk ran at
`hi + lag + EPS_MS` or later: whatever the server shows within `lag` of its stamp was visible to the whole walk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, Window

EPS_MS = 2_000
"""Covers the differences between the clocks of the provider's nodes."""

TOLERATED_SKEW_MS = 5 * MINUTE_MS
"""A server clock further ahead of the database's than this is not believed."""

PAGES_AIMED_AT = 10
PAGES_PER_WALK = 20
"""After this many pages the part already walked is closed, and the rest goes on as a window of its own."""


def trusted_now(server_ms: int, database_ms: int) -> int:
    """The instant that planning and closing go by: the server's, unless it runs ahead of the database's clock.

    A second clock may delay, never advance: an answer stamped a day ahead counts as the database's own time.
    """
    return server_ms if server_ms <= database_ms + TOLERATED_SKEW_MS else database_ms


def due_until(now_ms: int, lag_ms: int) -> int:
    """The latest end that a window with this lag may have, to be walked now."""
    return now_ms - lag_ms - EPS_MS


def settled(walk0_ms: int, hi_ms: int, lag_ms: int) -> bool:
    """Whether a walk whose first request ran at `walk0_ms` may close a window that ends at `hi_ms`."""
    return hi_ms <= due_until(walk0_ms, lag_ms)


def next_span(span_ms: int, pages: int, longest_ms: int = DAY_MS) -> int:
    """How wide the next window is, after one of `span_ms` that took so many pages: about ten pages' worth.

    Grows and shrinks at most fourfold at once, so an idle quarter costs a hundred requests and a burst is cut small.
    """
    wanted = span_ms * PAGES_AIMED_AT // max(pages, 1)
    return max(1, min(max(wanted, span_ms // 4), span_ms * 4, longest_ms))


def cut(from_ms: int, until_ms: int, span_ms: int, most: int) -> list[Window]:
    """At most `most` windows, each `span_ms` wide or less, that tile `[from_ms, until_ms)` from its start."""
    windows: list[Window] = []
    while from_ms < until_ms and len(windows) < most:
        hi_ms = min(from_ms + span_ms, until_ms)
        windows.append(Window(from_ms, hi_ms))
        from_ms = hi_ms
    return windows


def cut_back(from_ms: int, until_ms: int, span_ms: int, most: int) -> list[Window]:
    """Like `cut`, from the end of `[from_ms, until_ms)` backwards: a backfill grows away from what is stored."""
    windows: list[Window] = []
    while from_ms < until_ms and len(windows) < most:
        lo_ms = max(until_ms - span_ms, from_ms)
        windows.append(Window(lo_ms, until_ms))
        until_ms = lo_ms
    return windows


def halves(window: Window) -> tuple[Window, Window] | None:
    """Both halves of a window; None for a single millisecond."""
    middle = (window.lo_ms + window.hi_ms) // 2
    if middle == window.lo_ms:
        return None
    return Window(window.lo_ms, middle), Window(middle, window.hi_ms)


def reach(until_ms: int, above: Iterable[Window]) -> int:
    """How far the contiguous run of these windows (ascending by `lo_ms`) goes up from `until_ms`."""
    for window in above:
        if window.lo_ms != until_ms:
            break
        until_ms = window.hi_ms
    return until_ms


def reach_back(from_ms: int, below: Iterable[Window]) -> int:
    """How far the contiguous run of these windows (descending by `hi_ms`) goes down from `from_ms`."""
    for window in below:
        if window.hi_ms != from_ms:
            break
        from_ms = window.lo_ms
    return from_ms


_ZONES_MS = range(-12 * HOUR_MS, 14 * HOUR_MS + 1)
_ZONE_FILES, _ZONE_MESSAGES = 2, 20
_BORDER_MS = 5 * MINUTE_MS


def hour_floor(timestamp_ms: int, offset_ms: int) -> int:
    """The last full hour of a zone at an instant."""
    return (timestamp_ms + offset_ms) // HOUR_MS * HOUR_MS - offset_ms


def hour_shift(hour: Window, timestamp_ms: int, offset_ms: int) -> int | None:
    """By how many hours a message lies beside the hour whose file it came in, if a zone could explain that; 0: in it.

    None for what says nothing: close to the border of any hour, as a file holds what *arrived* in its hour and
    07:59:59.9 may lie in file 08; and what no zone on earth explains, such as imported history.
    """
    hours, beside_ms = divmod(timestamp_ms - hour.lo_ms, HOUR_MS)
    if not _BORDER_MS <= beside_ms < HOUR_MS - _BORDER_MS:
        return None
    return hours if offset_ms - hours * HOUR_MS in _ZONES_MS else None


def file_shift(shifts: set[int]) -> int | None:
    """What one file says of the zone: 0: it is right; None: nothing; else all its messages are shifted by as much."""
    if not shifts:
        return None
    return shifts.copy().pop() if len(shifts) == 1 else 0


def zone_shift(files: Collection[tuple[int, int]]) -> int | None:
    """By how many hours the configured zone is wrong, from each file's shift and how many messages show it.

    Proof is that all files agree, at least two of them with at least twenty messages. None: nothing is proven.
    """
    shifts = {shift for shift, _ in files}
    enough = len(files) >= _ZONE_FILES and sum(messages for _, messages in files) >= _ZONE_MESSAGES
    return shifts.pop() if enough and len(shifts) == 1 and 0 not in shifts else None


def missing_hour(age_ms: int, *, number: int, retention_ms: int | None, presumed: bool) -> str:
    """The state of an hour that the provider has no file for, by the age of its end.

    The provider says the same of a file that is too old and of one that is not there yet: age decides. `presumed`:
    it was asked for often enough, long after its pass's lag, and later hours have files.
    """
    if retention_ms is not None and age_ms > retention_ms:
        return "expired" if number == 1 else "skipped"
    return "presumed_empty" if presumed and number == 1 else "not_ready"


def offset_text(offset_ms: int) -> str:
    """An offset as the configuration writes it: "+08:00"."""
    hours, minutes = divmod(abs(offset_ms) // MINUTE_MS, 60)
    return f"{'-' if offset_ms < 0 else '+'}{hours:02d}:{minutes:02d}"
