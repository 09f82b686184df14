"""What wider worlds are made of, by kind: a seed's kind is `seed % len(KINDS)`, all else is drawn from the seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from tests.proof import world
from tests.proof.hours import NEVER_MS, Filed, HourNature, HourTrouble
from tests.proof.hours import RATES as HOUR_RATES
from tests.proof.provider import RATES, Nature, Record, Trouble
from tests.proof.wide import T0, Lie, Settings, SidePlan, WidePlan
from tests.proof.world import Mishaps

APP = "proof#wide"


def draw_plan(draw: random.Random, seed: int) -> WidePlan:
    """The plan of a wider world."""
    plan = KINDS[kind_of(seed)](draw)
    plan.kind = kind_of(seed)
    return plan


def kind_of(seed: int) -> str:
    """What kind of world a seed makes."""
    return list(KINDS)[seed % len(KINDS)]


# Records


def _stamps(draw: random.Random, from_ms: int, until_ms: int, an_hour: float) -> list[int]:
    """Stamps with bursts and ties, and many that lie at a full hour or just beside it."""
    found: list[int] = []
    at_ms = float(from_ms)
    while True:
        at_ms += draw.expovariate(an_hour) * HOUR_MS
        if at_ms >= until_ms:
            return found
        stamp_ms = int(at_ms)
        if draw.random() < 0.2:
            stamp_ms = (stamp_ms // HOUR_MS + 1) * HOUR_MS + draw.choice((-1, 0, 1, -100, 50))
        found += [stamp_ms] * draw.choice((1, 1, 1, 1, 2, 4))


def _filed(
    draw: random.Random, nature: HourNature, number: int, stamp_ms: int, settle_ms: int, *, slow: float, late: float
) -> Filed:
    """`slow`: how many are filed minutes or hours after their stamp; `late`: how many come after `settle`."""
    filed_ms = stamp_ms + draw.choice((-8, 0, 3, 800, 5_000))
    if draw.random() < slow:
        most_ms = max(MINUTE_MS, settle_ms - 2 * HOUR_MS)
        least_ms = 5 * MINUTE_MS
        filed_ms = stamp_ms + int(least_ms * (max(most_ms, least_ms) / least_ms) ** draw.random())
    grown_ms = filed_ms
    if nature.file_of(filed_ms) - nature.file_of(stamp_ms) <= HOUR_MS:
        # A file grows while pass 1 waits; what is filed hours later is in its file as soon as there is one.
        grown_ms = draw.choice((filed_ms, filed_ms, stamp_ms + draw.randrange(settle_ms), stamp_ms + settle_ms))
    if draw.random() < late:
        grown_ms = stamp_ms + settle_ms + draw.randrange(1, 40 * HOUR_MS)
    visible_ms = nature.visible_ms(filed_ms, max(filed_ms, grown_ms))
    made = world.make_record(draw, number, stamp_ms, visible_ms, visible_ms - stamp_ms)
    parts = (made.number, made.msg_id, made.stamp_ms, made.visible_ms, made.lateness_ms, made.raws)
    return Filed(*parts, made.edited_ms, made.readable, filed_ms)


def _shown(draw: random.Random, number: int, stamp_ms: int, settle_ms: int, late: float) -> Record:
    lateness_ms = min(settle_ms, draw.choice((0, 3, draw.randrange(2_000), draw.randrange(settle_ms), settle_ms)))
    if draw.random() < late:
        lateness_ms = settle_ms + draw.randrange(1, 3 * HOUR_MS)
    return world.make_record(draw, number, stamp_ms, stamp_ms + lateness_ms, lateness_ms)


# Sides


def _hour_nature(draw: random.Random) -> HourNature:
    return HourNature(
        offset_ms=8 * HOUR_MS,
        delay_ms=draw.choice((MINUTE_MS, 20 * MINUTE_MS, 55 * MINUTE_MS)),
        early=draw.choice(("400", "400", "404")),
        members=draw.choice((1, 1, 2, 3)),
        nodes_ms=draw.choice(((0,), (-1_000, 0, 1_000))),
        doubles=draw.random() < 0.15,
    )


def _hour_settings(draw: random.Random) -> Settings:
    settle_ms = draw.choice((HOUR_MS, 3 * HOUR_MS, 24 * HOUR_MS, 24 * HOUR_MS, 30 * HOUR_MS))
    longest = (59 * HOUR_MS,)
    audits = ((), (), longest, (30 * HOUR_MS, *longest)) if settle_ms < 30 * HOUR_MS else ((), longest)
    return Settings(
        settle_ms=settle_ms,
        audits_ms=draw.choice(audits),
        early_ms=draw.choice((None, None, HOUR_MS)),
        page_size=draw.choice((2, 20, 100)),
    )


def _hour_trouble(draw: random.Random, most: int = 2) -> HourTrouble:
    some = draw.choice((0, 0, *range(1, most + 1)))
    return HourTrouble({name: draw.choice((0.03, 0.1, 0.3)) for name in draw.sample(HOUR_RATES, some)})


def _hourly(
    draw: random.Random,
    *,
    app: str = APP,
    hours: int,
    settings: Settings | None = None,
    nature: HourNature | None = None,
    slow: float = 0.0,
    late: float = 0.0,
    stamps: list[int] | None = None,
) -> SidePlan:
    settings = settings or _hour_settings(draw)
    nature = nature or _hour_nature(draw)
    if stamps is None:
        until_ms = T0 + hours * HOUR_MS
        stamps = _stamps(draw, T0 - 2 * HOUR_MS, until_ms, draw.choice((0.1, 0.5, 1.5, 3.0)))
    records = [
        _filed(draw, nature, number, stamp_ms, settings.settle_ms, slow=slow, late=late)
        for number, stamp_ms in enumerate(stamps)
    ]
    return SidePlan(app, settings, nature, _hour_trouble(draw), records)


def _cursor(
    draw: random.Random, *, app: str = APP, span_ms: int, settings: Settings | None = None, nature: Nature | None = None
) -> SidePlan:
    settle_ms = draw.choice((10_000, 120_000, 300_000))
    page_size = draw.choice((3, 5, 10, 20))
    audits = draw.choice(((), (), (HOUR_MS,), (2 * HOUR_MS, 12 * HOUR_MS)))
    settings = settings or Settings(settle_ms=settle_ms, audits_ms=audits, page_size=page_size)
    nature = nature or Nature(
        lower_only=draw.random() < 0.4,
        cursors=draw.choice(("bound", "place", "offset")),
        eager_end=draw.random() < 0.3,
        nodes_ms=draw.choice(((0,), (-1_000, 0, 1_000))),
    )
    some = draw.choice((0, 0, 1, 2))
    rates = {name: draw.choice((0.03, 0.1)) for name in draw.sample(RATES, some)}
    stamps = _stamps(draw, T0 - HOUR_MS, T0 + span_ms, draw.choice((5, 20, 40)) * HOUR_MS / span_ms)
    late = draw.choice((0, 0, 0.05))
    records = [_shown(draw, number, ms, settings.settle_ms, late) for number, ms in enumerate(stamps)]
    return SidePlan(app, settings, nature, Trouble(rates), records)


# Times


def _pulls(draw: random.Random, first_ms: int, until_ms: int, every_ms: tuple[int, ...]) -> list[int]:
    found = [first_ms + draw.randrange(HOUR_MS)]
    while found[-1] < until_ms:
        found.append(found[-1] + draw.choice(every_ms) + draw.randrange(5 * MINUTE_MS))
    return found


_OFTEN = (20 * MINUTE_MS, HOUR_MS, HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS)


def _hour_pulls(draw: random.Random, side: SidePlan, hours: int, *, outage_ms: int = 0) -> list[int]:
    """So many hours become due while somebody pulls, with one outage in the middle."""
    first_ms = T0 + draw.choice((-2, 1, side.settings.settle_ms // HOUR_MS)) * HOUR_MS
    due_ms = T0 + side.settings.settle_ms
    every = draw.choice((_OFTEN, (HOUR_MS,), (3 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS)))
    early = [first_ms + draw.randrange(HOUR_MS)] if first_ms < due_ms else []
    pulls = early + _pulls(draw, max(first_ms, due_ms), due_ms + hours * HOUR_MS, every)
    if outage_ms:
        at = draw.randrange(len(pulls))
        pulls = pulls[:at] + [ms + outage_ms for ms in pulls[at:]]
    return pulls


def _mishaps(draw: random.Random) -> Mishaps:
    def rate(*rates: float) -> float:
        return draw.choice((0, 0, 0, 0, *rates))

    return Mishaps(rate(0.01, 0.03), rate(0.02), rate(0.02), rate(0.03), rate(0.03))


def _with(plan: WidePlan, draw: random.Random) -> WidePlan:
    plan.patient, plan.one_host = draw.random() < 0.3, draw.random() < 0.7
    plan.accepts, plan.audits = draw.choice((0, 0, 0.3)), draw.choice((0, 0, 0, 0.2))
    return plan


# Kinds


def hourly_plain(draw: random.Random) -> WidePlan:
    hours = draw.choice((6, 12, 18))
    side = _hourly(draw, hours=hours + 4, slow=draw.choice((0, 0.1)), late=draw.choice((0, 0, 0.05)))
    return _with(WidePlan("", [side], _hour_pulls(draw, side, hours), _mishaps(draw)), draw)


def hourly_slow(draw: random.Random) -> WidePlan:
    """Records filed minutes or hours after their stamp, all visible within `settle`."""
    settings = replace(_hour_settings(draw), settle_ms=draw.choice((3, 24, 24)) * HOUR_MS)
    side = _hourly(draw, hours=16, settings=settings, slow=0.25)
    return _with(WidePlan("", [side], _hour_pulls(draw, side, 10)), draw)


def hourly_outage(draw: random.Random) -> WidePlan:
    """Outages up to five days, against files that are dropped after three."""
    retention_ms = draw.choice((24, 48, 72)) * HOUR_MS
    settle_ms = draw.choice((HOUR_MS, 3 * HOUR_MS, min(24 * HOUR_MS, retention_ms // 2)))
    audits = draw.choice(((), (retention_ms * 3 // 4,)))
    settings = Settings(settle_ms, audits, draw.choice((None, HOUR_MS)), retention_ms)
    nature = replace(_hour_nature(draw), retention_ms=retention_ms, beyond=draw.choice(("400", "404", "lost")))
    hours = draw.choice((6, 12))
    outage_ms = draw.choice(
        (retention_ms // 2, retention_ms - settle_ms, retention_ms, retention_ms + 9 * HOUR_MS, 5 * DAY_MS)
    )
    side = _hourly(draw, hours=hours + outage_ms // HOUR_MS + 4, settings=settings, nature=nature, slow=0.05)
    pulls = _hour_pulls(draw, side, hours, outage_ms=outage_ms)
    if draw.random() < 0.4:
        side.settings = replace(settings, start_ms=T0 - 4 * DAY_MS)
    return _with(WidePlan("", [side], pulls, _mishaps(draw)), draw)


def hourly_spoilt(draw: random.Random) -> WidePlan:
    """Hours whose file can never be had; and spans in which links or files cannot."""
    hours = draw.choice((8, 12))
    spoilt = {T0 + draw.randrange(hours) * HOUR_MS: draw.choice(("never", "lost", "damaged")) for _ in range(2)}
    retention_ms = draw.choice((None, 72 * HOUR_MS))
    nature = replace(_hour_nature(draw), spoilt=spoilt, retention_ms=retention_ms, beyond=draw.choice(("400", "404")))
    settings = replace(_hour_settings(draw), settle_ms=draw.choice((1, 3, 24)) * HOUR_MS, retention_ms=retention_ms)
    settings = replace(settings, audits_ms=draw.choice(((), (40 * HOUR_MS,))))
    side = _hourly(draw, hours=hours + 4, settings=settings, nature=nature, slow=0.1)
    pulls = _hour_pulls(draw, side, hours)
    assert isinstance(side.trouble, HourTrouble)
    from_ms = draw.choice(pulls)
    span = (from_ms, from_ms + draw.choice((HOUR_MS, 5 * HOUR_MS)))
    if draw.random() < 0.5:
        side.trouble.no_links = span
    else:
        side.trouble.no_files = span
    return _with(WidePlan("", [side], pulls, _mishaps(draw), outage_only=not side.trouble.rates), draw)


def hourly_zone(draw: random.Random) -> WidePlan:
    """The zone is set wrong, or set right later, or set wrong and back; or the cluster changes its names."""
    true_ms = draw.choice((0, 8 * HOUR_MS, -5 * HOUR_MS, 5 * HOUR_MS + 30 * MINUTE_MS, 9 * HOUR_MS))
    wrong_ms = draw.choice((8 * HOUR_MS, 8 * HOUR_MS, 0, 9 * HOUR_MS, true_ms + HOUR_MS))
    # Messages that lie in the next file as well look like those of an hour by a wrong name: see docs/protocol.md.
    nature = replace(_hour_nature(draw), offset_ms=true_ms, later_offset_ms=true_ms, doubles=False)
    hours = draw.choice((8, 12))
    settings = replace(_hour_settings(draw), settle_ms=draw.choice((1, 3, 24)) * HOUR_MS, audits_ms=(), early_ms=None)
    settings = replace(settings, offset_ms=true_ms)
    way = draw.choice(("wrong", "corrected", "there and back", "renamed"))
    if way == "renamed":
        at_ms = T0 + settings.settle_ms + draw.randrange(hours) * HOUR_MS
        other_ms = true_ms + draw.choice((-8, 1, -1)) * HOUR_MS
        nature = replace(nature, renamed_ms=at_ms, later_offset_ms=other_ms)
    stamps = _stamps(draw, T0 - 14 * HOUR_MS, T0 + (hours + 30) * HOUR_MS, draw.choice((0.2, 1.0, 3.0)))
    side = _hourly(draw, hours=hours, settings=settings, nature=nature, slow=draw.choice((0, 0.2)), stamps=stamps)
    pulls = _hour_pulls(draw, side, hours)
    other = replace(settings, offset_ms=wrong_ms)
    some = sorted(draw.choice(pulls) for _ in range(2))
    match way:
        case "wrong":
            side.settings = other
        case "corrected":
            side.settings, side.changes = other, [(some[0], settings)]
        case "there and back":
            side.changes = [(some[0], other), (some[1], settings)]
    return _with(WidePlan("", [side], pulls), draw)


def _changed(draw: random.Random, side: SidePlan, pulls: list[int], others: dict[str, tuple[object, ...]]) -> SidePlan:
    """Settings that change at pulls, one or two at a time."""
    now = side.settings
    for at_ms in sorted(draw.choice(pulls) for _ in range(draw.choice((1, 2, 3)))):
        names = draw.sample(list(others), draw.choice((1, 1, 2)))
        now = replace(now, **{name: draw.choice(others[name]) for name in names})  # type: ignore[arg-type]
        now = replace(now, audits_ms=tuple(lag for lag in now.audits_ms if lag > now.settle_ms))
        side.changes.append((at_ms, now))
    return side


def hourly_settings(draw: random.Random) -> WidePlan:
    """Every setting changes, between pulls and between any two steps."""
    hours = draw.choice((8, 12))
    settings = replace(_hour_settings(draw), settle_ms=draw.choice((1, 3, 24)) * HOUR_MS)
    side = _hourly(draw, hours=hours + 6, settings=settings, late=draw.choice((0, 0, 0.1)))
    pulls = _hour_pulls(draw, side, hours)
    hour = HOUR_MS
    others: dict[str, tuple[object, ...]] = {
        "settle_ms": (hour, 2 * hour, 6 * hour, 24 * hour, 30 * hour),
        "audits_ms": ((), (40 * hour,), (59 * hour,), (40 * hour, 59 * hour), (59 * hour, 40 * hour), (12 * hour,)),
        "early_ms": (None, hour, 2 * hour),
        "page_size": (1, 7, 100),
        "retention_ms": (None, 200 * hour, 240 * hour),
        "start_ms": (T0 - 5 * hour, T0 + 5 * hour),
    }
    mishaps = replace(_mishaps(draw), other_process=draw.choice((0, 0.05)))
    plan = WidePlan("", [_changed(draw, side, pulls, others)], pulls, mishaps, strays=0.5)
    return _with(plan, draw)


def hourly_forgets(draw: random.Random) -> WidePlan:
    hours = draw.choice((5, 8))
    settings = replace(_hour_settings(draw), settle_ms=draw.choice((1, 3)) * HOUR_MS)
    side = _hourly(draw, hours=hours + 4, settings=settings)
    plan = WidePlan("", [side], _hour_pulls(draw, side, hours), _mishaps(draw))
    plan.forgets, plan.forgets_most = draw.choice((0.01, 0.03, 0.1)), draw.choice((2, 4, 10))
    return _with(plan, draw)


def _lies(draw: random.Random, pulls: list[int], *kinds: str | int) -> list[Lie]:
    from_ms = draw.choice(pulls)
    return [Lie(from_ms, from_ms + draw.choice((HOUR_MS, 6 * HOUR_MS, 30 * HOUR_MS)), draw.choice(kinds))]


def hourly_clocks(draw: random.Random) -> WidePlan:
    """The database's clock is wrong by days, or jumps; or the server's stands still or counts in seconds."""
    hours = draw.choice((8, 12))
    retention_ms = draw.choice((None, 72 * HOUR_MS))
    settings = replace(_hour_settings(draw), settle_ms=draw.choice((1, 3, 24)) * HOUR_MS, retention_ms=retention_ms)
    nature = replace(_hour_nature(draw), retention_ms=retention_ms)
    side = _hourly(draw, hours=hours + 4, settings=settings, nature=nature)
    outage_ms = 0 if retention_ms is None else draw.choice((0, retention_ms + 5 * HOUR_MS))
    pulls = _hour_pulls(draw, side, hours, outage_ms=outage_ms)
    plan = _with(WidePlan("", [side], pulls), draw)
    day = DAY_MS
    if draw.random() < 0.5:
        plan.database_lies = _lies(draw, pulls, day, -day, 2 * day, -2 * day, 5 * day, -5 * day, -HOUR_MS, HOUR_MS)
        plan.database_lies += _lies(draw, pulls, day, -day) * draw.choice((0, 1))
        if draw.random() < 0.3:  # from the beginning on
            plan.database_lies = [Lie(0, NEVER_MS, draw.choice((-2 * day, 2 * day)))]
    else:
        plan.server_lies = _lies(draw, pulls, "frozen", "seconds", -HOUR_MS, -3 * HOUR_MS, day, 30 * day)
    return plan


def cursor_retention(draw: random.Random) -> WidePlan:
    retention_ms = draw.choice((6 * HOUR_MS, 24 * HOUR_MS, 72 * HOUR_MS))
    side = _cursor(draw, span_ms=3 * retention_ms, settings=None)
    side.settings = replace(side.settings, retention_ms=retention_ms, audits_ms=draw.choice(((), (retention_ms // 4,))))
    assert isinstance(side.nature, Nature)
    side.nature = replace(side.nature, retention_ms=retention_ms)
    if draw.random() < 0.3:
        side.settings = replace(side.settings, start_ms=T0 - 2 * retention_ms)
    gaps = (MINUTE_MS, HOUR_MS, retention_ms // 2, retention_ms + HOUR_MS, 2 * retention_ms)
    pulls = [T0 + draw.choice((MINUTE_MS, HOUR_MS, retention_ms))]
    for _ in range(draw.randint(2, 5)):
        pulls.append(pulls[-1] + draw.choice(gaps))
    if draw.random() < 0.3:
        side.changes = [(draw.choice(pulls), replace(side.settings, retention_ms=retention_ms // 2))]
    return _with(WidePlan("", [side], pulls, _mishaps(draw)), draw)


def _cursor_pulls(draw: random.Random, span_ms: int) -> list[int]:
    pulls = [T0 + draw.choice((MINUTE_MS, HOUR_MS))]
    for _ in range(draw.randint(3, 6)):
        pulls.append(pulls[-1] + draw.choice((MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, span_ms // 3)))
    return pulls


def cursor_outage(draw: random.Random) -> WidePlan:
    """The question for the time is answered and pages are not, for minutes or hours; ties longer than a page."""
    span_ms = draw.choice((1, 3)) * HOUR_MS
    side = _cursor(draw, span_ms=span_ms)
    ties_ms = T0 + draw.randrange(span_ms)
    ties = [_shown(draw, 1_000 + number, ties_ms, side.settings.settle_ms, 0) for number in range(draw.choice((0, 30)))]
    side.records += ties
    pulls = [T0 + MINUTE_MS]
    for _ in range(draw.choice((12, 45))):
        pulls.append(pulls[-1] + draw.choice((MINUTE_MS, MINUTE_MS, MINUTE_MS, MINUTE_MS, 10 * MINUTE_MS)))
    from_ms = draw.choice(pulls[:4])
    no_pages = (from_ms, from_ms + draw.choice((10 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS)))
    side.trouble = Trouble(no_pages=no_pages)
    return _with(WidePlan("", [side], pulls, outage_only=True), draw)


def cursor_disorder(draw: random.Random) -> WidePlan:
    """Lists that are not ascending, or not any more; walks that fail, stop or die just after they showed it."""
    span_ms = draw.choice((1, 3)) * HOUR_MS
    order = draw.choice(("descending", "scrambled", "scrambled"))
    nature = Nature(
        lower_only=draw.random() < 0.4,
        order=order,
        order_from_ms=draw.choice((0, T0 + HOUR_MS)),
        cursors=draw.choice(("bound", "place")),
    )
    side = _cursor(draw, span_ms=span_ms, nature=nature)
    rates = dict.fromkeys(draw.sample(("error", "garbage", "dead_cursor", "loop_cursor"), draw.choice((0, 1))), 0.15)
    side.trouble = Trouble(rates)
    if draw.random() < 0.3:
        side.settings = replace(side.settings, retention_ms=2 * HOUR_MS, audits_ms=())
        side.nature = replace(nature, retention_ms=2 * HOUR_MS)
    mishaps = Mishaps(draw.choice((0, 0.05)), 0, draw.choice((0, 0.05)), draw.choice((0, 0.05)), draw.choice((0, 0.1)))
    return _with(WidePlan("", [side], _cursor_pulls(draw, span_ms), mishaps), draw)


def cursor_settings(draw: random.Random) -> WidePlan:
    span_ms = draw.choice((2, 12)) * HOUR_MS
    side = _cursor(draw, span_ms=span_ms)
    pulls = _cursor_pulls(draw, span_ms)
    hour, second = HOUR_MS, SECOND_MS
    others: dict[str, tuple[object, ...]] = {
        "settle_ms": (10 * second, 60 * second, 300 * second),
        "audits_ms": ((), (hour // 2,), (hour,), (hour // 2, hour), (3 * hour, hour), (12 * hour,)),
        "page_size": (2, 7, 50),
        "retention_ms": (None, 100 * hour),
        "start_ms": (T0 - hour, T0 + hour),
    }
    mishaps = replace(_mishaps(draw), other_process=draw.choice((0, 0.1)))
    plan = WidePlan("", [_changed(draw, side, pulls, others)], pulls, mishaps, strays=0.5)
    return _with(plan, draw)


def cursor_forgets(draw: random.Random) -> WidePlan:
    span_ms = draw.choice((1, 4)) * HOUR_MS
    side = _cursor(draw, span_ms=span_ms)
    plan = WidePlan("", [side], _cursor_pulls(draw, span_ms), _mishaps(draw))
    plan.forgets, plan.forgets_most = draw.choice((0.01, 0.03, 0.1)), draw.choice((2, 4, 10))
    return _with(plan, draw)


def cursor_clocks(draw: random.Random) -> WidePlan:
    span_ms = draw.choice((4, 12)) * HOUR_MS
    side = _cursor(draw, span_ms=span_ms)
    pulls = _cursor_pulls(draw, span_ms)
    plan = _with(WidePlan("", [side], pulls, _mishaps(draw)), draw)
    if draw.random() < 0.5:
        plan.database_lies = _lies(draw, pulls, DAY_MS, -DAY_MS, 3 * DAY_MS, -3 * DAY_MS, -HOUR_MS, HOUR_MS)
    else:
        plan.server_lies = _lies(draw, pulls, "frozen", "seconds", -HOUR_MS, DAY_MS, 30 * DAY_MS)
    return plan


def several(draw: random.Random) -> WidePlan:
    """Two apps in one database, or both sources of one app."""
    hours = 6
    settings = replace(_hour_settings(draw), settle_ms=draw.choice((1, 3)) * HOUR_MS, audits_ms=())
    hourly = _hourly(draw, hours=hours + 4, settings=settings)
    cursor = _cursor(draw, span_ms=(hours + 4) * HOUR_MS, app=draw.choice((APP, "other#app")))
    if cursor.app == APP:  # the same messages by both ways
        settle_ms = cursor.settings.settle_ms
        cursor.records = []
        for record in hourly.records:
            lateness_ms = draw.choice((0, draw.randrange(settle_ms), settle_ms))
            visible_ms = record.stamp_ms + lateness_ms
            parts = (record.number, record.msg_id, record.stamp_ms, visible_ms, lateness_ms, record.raws)
            cursor.records.append(Record(*parts, record.edited_ms, record.readable))
    sides = [hourly, cursor]
    if draw.random() < 0.3:
        sides.append(_hourly(draw, app="third#app", hours=hours, settings=settings))
    draw.shuffle(sides)
    return _with(WidePlan("", sides, _hour_pulls(draw, hourly, hours), _mishaps(draw)), draw)


KINDS: dict[str, Callable[[random.Random], WidePlan]] = {
    made.__name__.replace("_", " "): made
    for made in (
        hourly_plain,
        hourly_slow,
        hourly_outage,
        hourly_spoilt,
        hourly_zone,
        hourly_settings,
        hourly_forgets,
        hourly_clocks,
        cursor_retention,
        cursor_outage,
        cursor_disorder,
        cursor_settings,
        cursor_forgets,
        cursor_clocks,
        several,
    )
}
