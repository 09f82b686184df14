"""The arithmetic of windows: when one may close, how wide the next one is, and what a set of them proves. Pure.

A window is half-open, `[lo_ms, hi_ms)`, in server time. It may close only when the first request of its walk ran at
`hi + lag + EPS_MS` or later: whatever the server shows within `lag` of its stamp was visible to the whole walk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, Window

EPS_MS = 2_000
"""Covers the differences between the clocks of the provider's nodes."""

TOLERATED_SKEW_MS = 5 * MINUTE_MS
"""A server clock further ahead of the database's than this is not believed."""

_MEASURABLE_MS = 30 * 1000
"""Two looks at the clocks tell something of their pace after so long; a request and a node's clock take less."""

PAGES_AIMED_AT = 10
PAGES_PER_WALK = 20
"""After this many pages the part already walked is closed, and the rest goes on as a window of its own."""


def trusted_now(server_ms: int, database_ms: int) -> int:
    """The instant that planning and closing go by: the server's, unless it runs ahead of the database's clock.

    A second clock may delay, never advance: an answer stamped a day ahead counts as the database's own time.
    """
    return server_ms if server_ms <= database_ms + TOLERATED_SKEW_MS else database_ms


def is_expired(at_ms: int, server_ms: int, database_ms: int, retention_ms: int | None) -> bool | None:
    """Whether the provider keeps what is stamped at `at_ms` no longer, so that no answer about it proves anything.

    None where two clocks that disagree say different things: then it is neither had nor lost. Small differences are
    settled by the later clock.
    """
    if retention_ms is None:
        return False
    late_ms, early_ms = max(server_ms, database_ms) - retention_ms, min(server_ms, database_ms) - retention_ms
    if at_ms >= late_ms:
        return False
    return True if at_ms < early_ms or late_ms - early_ms <= TOLERATED_SKEW_MS else None


def clock_problem(before: tuple[int, int] | None, server_ms: int, database_ms: int) -> str | None:
    """What is wrong with the server's clock, held against the database's since `before` (both clocks, in ms).

    A clock that stands still, or is slow, makes nothing due any more, and looks well otherwise.
    """
    if before is None:
        return None
    gone_ms, server_gone_ms = database_ms - before[1], server_ms - before[0]
    # One that seems to gain hides nothing: a process that was paused between its looks at both sees that, too.
    if gone_ms < _MEASURABLE_MS or gone_ms - server_gone_ms <= max(_MEASURABLE_MS, gone_ms // 10):
        return None
    if server_gone_ms <= 0:
        return "the server's clock stands still or goes back"
    return f"the server's clock runs slower than the database's: {server_gone_ms // 1000} s in {gone_ms // 1000} s"


def common(one: Window, other: Window) -> Window | None:
    """What two windows have in common; None where that is nothing."""
    lo_ms, hi_ms = max(one.lo_ms, other.lo_ms), min(one.hi_ms, other.hi_ms)
    return Window(lo_ms, hi_ms) if lo_ms < hi_ms else None


def without(window: Window, parts: Iterable[Window]) -> Iterator[Window]:
    """What is left of a window when these parts are taken out. They come in order of time, and may overlap."""
    lo_ms = window.lo_ms
    for part in parts:
        if part.lo_ms > lo_ms and lo_ms < window.hi_ms:
            yield Window(lo_ms, min(part.lo_ms, window.hi_ms))
        lo_ms = max(lo_ms, part.hi_ms)
    if lo_ms < window.hi_ms:
        yield Window(lo_ms, window.hi_ms)


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
    aimed_ms = span_ms * PAGES_AIMED_AT // max(pages, 1)
    return max(1, min(max(aimed_ms, span_ms // 4), span_ms * 4, longest_ms))


def cut(from_ms: int, until_ms: int, span_ms: int, most: int) -> list[Window]:
    """At most `most` windows, `span_ms` wide or less, that tile `[from_ms, until_ms)` from its start."""
    windows: list[Window] = []
    while from_ms < until_ms and len(windows) < most:
        hi_ms = min(from_ms + span_ms, until_ms)
        windows.append(Window(from_ms, hi_ms))
        from_ms = hi_ms
    return windows


def cut_hours(from_ms: int, until_ms: int, offset_ms: int, most: int) -> list[Window]:
    """Like `cut`, at the full hours of a zone; the first piece is shorter where the range begins between two."""
    windows: list[Window] = []
    while from_ms < until_ms and len(windows) < most:
        hi_ms = min(hour_floor(from_ms, offset_ms) + HOUR_MS, until_ms)
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
_BORDER_MS = 5 * MINUTE_MS
QUARTER_MS = 15 * MINUTE_MS
_PROOF_MESSAGES, _PROOF_FILES, _QUIET_FILES, _SCATTERED_MESSAGES = 20, 2, 6, 3

Evidence = Mapping[int, int]
"""What a file says of the zone: how many of its messages are stamped so many quarters of an hour after its hour began.

The quarters 0 to 3 lie in the hour itself; a zone is made of whole quarters."""


def hour_floor(timestamp_ms: int, offset_ms: int) -> int:
    """The last full hour of a zone at an instant."""
    return (timestamp_ms + offset_ms) // HOUR_MS * HOUR_MS - offset_ms


def zone_evidence(lo_ms: int, stamps_ms: Iterable[int], offset_ms: int) -> Counter[int]:
    """Count the messages of the file of the hour that begins at `lo_ms`.

    Left out is what says nothing: stamps close behind or before the hour, as a file holds what *arrived* in its hour
    and 07:59:59.9 may lie in file 08; and what no zone on earth explains, such as imported history.
    """
    quarters = Counter((stamp_ms - lo_ms) // QUARTER_MS for stamp_ms in stamps_ms if _says_something(stamp_ms - lo_ms))
    return Counter({at: count for at, count in quarters.items() if offset_ms - at * QUARTER_MS in _ZONES_MS})


def _says_something(beside_ms: int) -> bool:
    return 0 <= beside_ms < HOUR_MS or not -_BORDER_MS <= beside_ms < HOUR_MS + _BORDER_MS


def agrees(evidence: Evidence) -> bool:
    """Whether hardly fewer messages of a file lie in its hour than in any other; False, too, where there are none.

    A few late ones must not speak for a zone that is a quarter of an hour off.
    """
    own = in_hour(evidence, 0)
    return own > 0 and own * 10 >= best_shift(evidence)[1] * 9


def best_shift(evidence: Evidence) -> tuple[int, int]:
    """The shift in quarters, other than 0, that explains the most messages, the nearest if several do; and how many.

    A whole hour goes before others that explain hardly more: nearly all zones are made of them, a single message fits
    four shifts, and a few late arrivals make a file begin early.
    """
    shifts = {at - part for at in evidence for part in range(4)} - {0}
    if not shifts:
        return 0, 0
    most = max(in_hour(evidence, shift) for shift in shifts)
    likely = [shift for shift in shifts if in_hour(evidence, shift) * 10 >= most * 9]
    best = max(likely, key=lambda shift: (shift % 4 == 0, shift % 2 == 0, in_hour(evidence, shift), -abs(shift)))
    return best, in_hour(evidence, best)


def shift_hours(evidence: Evidence) -> int | None:
    """By how many hours most messages of a file lie beside it, for people; 0: in it; None: nothing speaks."""
    if not evidence:
        return None
    return 0 if agrees(evidence) else round(best_shift(evidence)[0] / 4)


def in_hour(evidence: Evidence, shift: int = 0) -> int:
    """How many messages lie in the file's hour, or in what that is when it is shifted by so many quarters."""
    return sum(evidence.get(shift + part, 0) for part in range(4))


class ZoneVerdict(NamedTuple):
    """What files say of the zone whose hours they are named by, none of which agrees with it.

    `shift_ms`: by how much the zone is wrong; None: nothing is proven. `doubtful`: it may be wrong. `late`: what speaks
    against it may have arrived late. `one_zone`: a single other zone explains most of it.
    """

    shift_ms: int | None
    messages: int
    doubtful: bool
    late: bool = False
    one_zone: bool = False


def judge_zone(files: Sequence[Evidence]) -> ZoneVerdict:
    """Judge by the files since the last that agreed: by three quarters of their messages, never by a single one.

    A message cannot arrive before it is stamped. So stamps *after* their hours, in two files, are proof already; stamps
    before them may be late arrivals, and are proof only by their number, or in a quiet app by that of its files.
    """
    speaking = [evidence for evidence in files if evidence]
    together: Counter[int] = Counter()
    for evidence in speaking:
        together.update(evidence)
    messages = together.total()
    shift, fitting = best_shift(together)
    most = 4 * fitting > 3 * messages and 4 * in_hour(together, 0) < messages
    agreeing = sum(1 for evidence in speaking if in_hour(evidence, shift))
    if shift > 0:
        proved = most and agreeing >= _PROOF_FILES
    elif shift < -4:
        proved = most and (agreeing >= _QUIET_FILES or (agreeing >= _PROOF_FILES and fitting >= _PROOF_MESSAGES))
    else:  # within the hour before its file lies most of what is late at all; but not all that a file holds
        nearly_all = 10 * fitting >= 9 * messages
        proved = nearly_all and agreeing >= _QUIET_FILES and fitting >= _PROOF_MESSAGES
    if proved:
        return ZoneVerdict(shift * QUARTER_MS, messages, doubtful=True)
    one_zone = 2 * fitting > messages
    doubtful = bool(speaking) and (one_zone or messages < _SCATTERED_MESSAGES)
    return ZoneVerdict(None, messages, doubtful, late=shift < 0, one_zone=one_zone)


def offset_text(offset_ms: int) -> str:
    """An offset as the configuration writes it: "+08:00"."""
    hours, minutes = divmod(abs(offset_ms) // MINUTE_MS, 60)
    return f"{'-' if offset_ms < 0 else '+'}{hours:02d}:{minutes:02d}"
