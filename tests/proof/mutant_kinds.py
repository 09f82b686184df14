"""Kinds of wider worlds made for mutants that those of `kinds.py` meet too seldom."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS
from tests.proof.hours import NEVER_MS, HourTrouble
from tests.proof.kinds import KINDS, _cursor, _hour_nature, _hour_pulls, _hour_settings, _hourly, _pulls, _shown
from tests.proof.provider import Nature, Trouble
from tests.proof.wide import T0, Lie, Settings, WidePlan


def hourly_cut(draw: random.Random) -> WidePlan:
    """Files of several members, cut between two of them; looked at once before they count."""
    nature = replace(_hour_nature(draw), members=draw.choice((2, 3)))
    side = _hourly(draw, hours=8, settings=Settings(HOUR_MS), nature=nature)
    side.trouble = HourTrouble({"cut_between": 0.4})
    due_ms = T0 + 2 * HOUR_MS
    return WidePlan("", [side], _pulls(draw, due_ms, due_ms + 8 * HOUR_MS, (3 * HOUR_MS, 5 * HOUR_MS)))


def hourly_asked(draw: random.Random) -> WidePlan:
    """Somebody asks for an audit after nearly each pull; messages come late, and `settle` grows."""
    settings = replace(_hour_settings(draw), settle_ms=HOUR_MS, audits_ms=())
    side = _hourly(draw, hours=12, settings=settings, late=0.2)
    pulls = _hour_pulls(draw, side, 8)
    if draw.random() < 0.5:
        side.changes = [(draw.choice(pulls), replace(settings, settle_ms=draw.choice((3, 6, 24)) * HOUR_MS))]
    return WidePlan("", [side], pulls, audits=0.7)


def hourly_settle(draw: random.Random) -> WidePlan:
    """`settle` grows, and shrinks, while hours wait for their neighbours; files grow until it is over."""
    settings = replace(_hour_settings(draw), settle_ms=draw.choice((1, 2)) * HOUR_MS, audits_ms=())
    side = _hourly(draw, hours=12, settings=replace(settings, settle_ms=6 * HOUR_MS))
    side.settings = settings
    pulls = _pulls(draw, T0 + settings.settle_ms, T0 + 12 * HOUR_MS, (20 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS))
    lags = (4 * HOUR_MS, HOUR_MS, 6 * HOUR_MS)[draw.choice((0, 0, 1)) :]
    at = sorted(draw.choice(pulls) for _ in lags)
    side.changes = [(ms, replace(settings, settle_ms=lag)) for ms, lag in zip(at, lags, strict=True)]
    return WidePlan("", [side], pulls)


def hourly_gone(draw: random.Random) -> WidePlan:
    """Damaged files that are dropped earlier than anybody was told; the others are read while they are there."""
    spoilt = {T0 + draw.randrange(6) * HOUR_MS: "damaged" for _ in range(2)}
    nature = replace(_hour_nature(draw), spoilt=spoilt, retention_ms=30 * HOUR_MS, beyond="404")
    settings = replace(_hour_settings(draw), settle_ms=HOUR_MS, audits_ms=(), retention_ms=None)
    side = _hourly(draw, hours=10, settings=settings, nature=nature)
    side.trouble = HourTrouble()
    pulls = _pulls(draw, T0 + 2 * HOUR_MS, T0 + 40 * HOUR_MS, (HOUR_MS, 3 * HOUR_MS))
    return WidePlan("", [side], pulls)


def hourly_row(draw: random.Random) -> WidePlan:
    """As many hours in a row whose files can never be had as end a pull; behind them lie good ones."""
    from_ms = T0 + draw.choice((1, 2)) * HOUR_MS
    spoilt = {from_ms + number * HOUR_MS: draw.choice(("lost", "damaged")) for number in range(7)}
    side = _hourly(draw, hours=14, settings=Settings(HOUR_MS), nature=replace(_hour_nature(draw), spoilt=spoilt))
    side.trouble = HourTrouble()
    return WidePlan("", [side], [T0 + number * HOUR_MS for number in (12, 13, 14)], accepts=0.5)


def hourly_heads(draw: random.Random) -> WidePlan:
    """Messages at the full hour, which other nodes file in the hour before; and an outage that is too long."""
    settings = Settings(HOUR_MS, retention_ms=24 * HOUR_MS, early_ms=draw.choice((None, HOUR_MS)))
    nature = replace(_hour_nature(draw), retention_ms=24 * HOUR_MS, beyond=draw.choice(("400", "404", "lost")))
    stamps = [T0 + number * HOUR_MS + draw.choice((0, 0, 3)) for number in range(40) for _ in range(5)]
    side = _hourly(draw, hours=40, settings=settings, nature=nature, stamps=stamps)
    side.trouble = HourTrouble()
    first_ms = T0 + 3 * HOUR_MS
    return WidePlan("", [side], [first_ms, first_ms + HOUR_MS, first_ms + draw.choice((30, 34)) * HOUR_MS])


def hourly_behind(draw: random.Random) -> WidePlan:
    """The database's clock is days behind or ahead, and an outage is longer than files are kept."""
    retention_ms = 48 * HOUR_MS
    settings = Settings(HOUR_MS, retention_ms=retention_ms, early_ms=draw.choice((None, HOUR_MS)))
    nature = replace(_hour_nature(draw), retention_ms=retention_ms, beyond=draw.choice(("400", "404", "lost")))
    side = _hourly(draw, hours=72, settings=settings, nature=nature)
    side.trouble = HourTrouble()
    first_ms = T0 + 3 * HOUR_MS
    again_ms = first_ms + retention_ms + draw.choice((6, 12)) * HOUR_MS
    pulls = [first_ms, first_ms + HOUR_MS, *(again_ms + number * 7 * HOUR_MS for number in range(5))]
    lie = Lie(0, NEVER_MS, draw.choice((-3, -2, 2)) * DAY_MS)
    return WidePlan("", [side], pulls, database_lies=[lie])


def hourly_quiet(draw: random.Random) -> WidePlan:
    """A wrong zone by which all looks late, and hardly a message an hour to show it."""
    settings = Settings(HOUR_MS, offset_ms=8 * HOUR_MS - draw.choice((2, 3, 6)) * HOUR_MS)
    nature = replace(_hour_nature(draw), doubles=False)
    stamps = [T0 + number * HOUR_MS + draw.randrange(10, 50) * MINUTE_MS for number in range(-8, 24, 2)]
    side = _hourly(draw, hours=24, settings=settings, nature=nature, stamps=stamps)
    side.trouble = HourTrouble()
    pulls = [T0 + number * HOUR_MS + draw.randrange(HOUR_MS) for number in range(3, 14)]
    return WidePlan("", [side], pulls)


def hourly_standing(draw: random.Random) -> WidePlan:
    """The server's clock stands still, or counts in seconds, for a day; somebody pulls all the time."""
    side = _hourly(draw, hours=12, settings=Settings(HOUR_MS))
    side.trouble = HourTrouble()
    pulls = _pulls(draw, T0 + 2 * HOUR_MS, T0 + 14 * HOUR_MS, (HOUR_MS, 2 * HOUR_MS))
    from_ms = pulls[draw.choice((1, 2))]
    lie = Lie(from_ms, from_ms + 24 * HOUR_MS, draw.choice(("frozen", "seconds")))
    return WidePlan("", [side], pulls, server_lies=[lie])


def cursor_audits(draw: random.Random) -> WidePlan:
    """The shorter of two audits is dropped; many messages come after it, and before the longer one."""
    settings = Settings(10_000, audits_ms=(HOUR_MS // 2, 3 * HOUR_MS), page_size=10)
    side = _cursor(draw, span_ms=4 * HOUR_MS, settings=settings, nature=Nature())
    stamps = [T0 + draw.randrange(4 * HOUR_MS) for _ in range(30)]
    side.records = [_shown(draw, number, stamp_ms, 10_000, 0.3) for number, stamp_ms in enumerate(stamps)]
    side.trouble = Trouble()
    pulls = [T0 + number * 40 * MINUTE_MS for number in range(1, 12)]
    side.changes = [(draw.choice(pulls[2:6]), replace(settings, audits_ms=(3 * HOUR_MS,)))]
    return WidePlan("", [side], pulls)


def cursor_ties(draw: random.Random) -> WidePlan:
    """Nothing but full pages of one millisecond: lists that end so are read again, as they may have been cut."""
    page_size = draw.choice((10, 12))
    settings = Settings(10_000, page_size=page_size)
    nature = Nature(cursors=draw.choice(("bound", "place", "offset")), eager_end=True)
    side = _cursor(draw, span_ms=HOUR_MS, settings=settings, nature=nature)
    ties, pulls = page_size * draw.choice((4, 5, 6)), [T0 + number * 20 * MINUTE_MS for number in range(1, 5)]
    at_ms = [T0 + draw.randrange(20 * MINUTE_MS) + number * 20 * MINUTE_MS for number in range(2)]
    side.records = [_shown(draw, number, at_ms[number // ties], 10_000, 0) for number in range(2 * ties)]
    side.trouble = Trouble()
    return WidePlan("", [side], pulls, outage_only=True)


_MADE = (
    hourly_cut,
    hourly_asked,
    hourly_settle,
    hourly_gone,
    hourly_row,
    hourly_heads,
    hourly_behind,
    hourly_quiet,
    hourly_standing,
    cursor_audits,
    cursor_ties,
)
MUTANT_KINDS: dict[str, Callable[[random.Random], WidePlan]] = KINDS | {
    made.__name__.replace("_", " "): made for made in _MADE
}
