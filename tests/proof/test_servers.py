"""What worlds rarely meet, told one by one: servers that lie about order or length, and what is claimed then."""

from __future__ import annotations

import random

import pytest

from archiver.model import HOUR_MS, MINUTE_MS
from tests.proof.provider import Nature, Provider, Record
from tests.proof.world import START_MS, Crash, Plan, World, make_record


def world_of(stamps: list[int], **ways: object) -> World:
    """A world without mishaps; messages are numbered, and in a "numbered" order listed, as they stand here."""
    world = World(1, Plan(**ways))  # type: ignore[arg-type]
    draw = random.Random(1)
    world.provider.keep([plain(draw, number, START_MS + stamp) for number, stamp in enumerate(stamps)])
    return world


def plain(draw: random.Random, number: int, stamp_ms: int) -> Record:
    while True:
        record = make_record(draw, number, stamp_ms, stamp_ms, 0)
        if record.readable and len(record.raws) == 1:
            return record


def crash_at_request(provider: Provider, number: int) -> None:
    def within_request() -> None:
        if provider.asked == number:
            raise Crash

    provider.meanwhile = within_request


def pull(world: World, wait_ms: int = 10 * MINUTE_MS) -> int | None:
    world.clock.now_ms += wait_ms
    outcome = world.pull()
    return None if outcome is None else outcome.exit_code


def windows(world: World) -> list[tuple[int, int, str]]:
    rows = world.ask("SELECT lo_ms, hi_ms, state FROM windows WHERE pass = 1 ORDER BY lo_ms")
    return [(lo_ms - START_MS, hi_ms - START_MS, state) for lo_ms, hi_ms, state in rows]


def stored(world: World) -> int:
    return int(world.ask("SELECT count(*) FROM messages")[0][0])


def trusted(world: World) -> bool:
    return bool(world.ask("SELECT order_trusted FROM sources")[0][0])


def test_what_was_resumed_on_the_strength_of_order_is_reopened_when_the_order_proves_false() -> None:
    """A page that looked sorted, a crash, and the rest: the walk after the crash never saw what lies before."""
    stamps = [10_000, 20_000, 30_000, 11_000, 12_000, 31_000, 40_000]  # by number: 30, then 11 and 12
    world = world_of(stamps, nature=Nature(order="numbered"), page_size=3)
    crash_at_request(world.provider, 3)  # the time, a page, and then nothing
    with world.surroundings():
        assert pull(world) is None
        world.clock.now_ms += 2 * MINUTE_MS
        assert pull(world, 0) == 0
        assert stored(world) == 5, "11 and 12 lie before the place where the walk went on"
        assert world.oracles.unproven == 0 or trusted(world)
        late = [world.clock.now_ms + 60_000 - START_MS, world.clock.now_ms + 50_000 - START_MS]
        draw = random.Random(2)
        more = [plain(draw, 100 + number, START_MS + stamp) for number, stamp in enumerate(late)]
        world.provider.keep([*world.provider.records, *more])
        assert pull(world) == 0
        assert not trusted(world)
        assert pull(world) == 0
    assert stored(world) == 9


@pytest.mark.parametrize("lower_only", [False, pytest.param(True, marks=pytest.mark.full)])
def test_rows_withheld_in_one_millisecond_are_never_claimed(lower_only: bool) -> None:
    """A list is cut after ten rows, and one millisecond has fifteen: nothing can read them, and nobody says so."""
    stamps = [*range(10_000, 10_010), *[60_000] * 15, *range(70_000, 70_015)]
    world = world_of(stamps, nature=Nature(cut_after=10, eager_end=True, lower_only=lower_only))
    with world.surroundings():
        codes = [pull(world, HOUR_MS) for _ in range(3)]
    assert codes[-1] == 3
    assert world.oracles.mark is not None
    assert (60_000, 60_001, "stuck") in windows(world)
    if lower_only:  # every list runs into that millisecond, and what lies before it stays open, too
        assert world.oracles.mark[1] <= START_MS + 60_000
        return
    assert world.oracles.mark[1] == START_MS + 60_000, "the claim ends where the millisecond begins"
    assert all(state == "closed" for lo_ms, _, state in windows(world) if lo_ms != 60_000)
    assert stored(world) == 35, "what can be read is stored all the same"


@pytest.mark.full
def test_trust_in_the_order_returns_after_a_hundred_clean_walks_that_had_something_to_show() -> None:
    stamps = [30_000, 20_000, 10_000]
    world = world_of(stamps, nature=Nature(order="numbered"))
    draw = random.Random(2)
    first_ms = 20 * MINUTE_MS
    later = [plain(draw, 10 + n, START_MS + first_ms + n * MINUTE_MS // 2) for n in range(300)]
    world.provider.keep([*world.provider.records, *later])
    with world.surroundings():
        assert pull(world) == 0
        assert not trusted(world)
        for _ in range(5):
            assert pull(world, MINUTE_MS) == 0  # nothing to show: says nothing
        assert world.ask("SELECT clean_walks FROM sources") == [(0,)]
        world.clock.now_ms = START_MS + first_ms + 5_000
        for _ in range(99):
            assert pull(world, MINUTE_MS) == 0
        assert not trusted(world)
        assert pull(world, MINUTE_MS) == 0
        assert pull(world, MINUTE_MS) == 0
        assert trusted(world)


def test_an_audit_whose_windows_are_reopened_is_no_longer_claimed() -> None:
    """The later dialect closes by order; when the order proves false, the second look has to be taken again, too."""
    nature = Nature(lower_only=True, order="descending", order_from_ms=START_MS + 4 * HOUR_MS + MINUTE_MS)
    stamps = [*range(60_000, 60_030), *range(2 * HOUR_MS, 2 * HOUR_MS + 30 * MINUTE_MS, MINUTE_MS)]
    stamps += range(4 * HOUR_MS + MINUTE_MS, 4 * HOUR_MS + MINUTE_MS + 5)
    world = world_of(stamps, nature=nature, audits_ms=(HOUR_MS,))

    def within_request() -> None:
        if world.ask("SELECT 1 FROM sources") and not trusted(world):
            raise Crash

    with world.surroundings():
        assert pull(world, 4 * HOUR_MS) == 0
        audited_ms = world.ask("SELECT audited_until_ms FROM watermarks")[0][0]
        assert audited_ms > START_MS + 2 * HOUR_MS
        assert world.ask("SELECT 1 FROM windows WHERE pass = 2 AND by_order")
        world.provider.meanwhile = within_request
        assert pull(world) is None, "it crashed as soon as the order had proved false"
        assert world.ask("SELECT audited_until_ms FROM watermarks")[0][0] < audited_ms
        world.provider.meanwhile = lambda: None
        world.clock.now_ms += 4 * MINUTE_MS
        assert pull(world) == 0
    assert world.ask("SELECT audited_until_ms FROM watermarks")[0][0] > audited_ms
    assert stored(world) == 65


def test_a_walk_that_relied_on_order_does_not_close_once_another_process_found_it_false() -> None:
    """Two processes, the later dialect: the second one finds disorder while the first one is within its request."""
    stamps = [*range(10_000, 10_030), *range(1_500_000, 1_500_020)]
    world = world_of(stamps, nature=Nature(lower_only=True), page_size=10)
    provider = world.provider

    def within_request() -> None:
        if provider.asked == 3:
            provider.nature = Nature(lower_only=True, order="descending")
            draw = random.Random(2)
            now_ms = world.clock.now_ms - START_MS
            more = [plain(draw, 100 + n, START_MS + now_ms + n) for n in range(25)]
            provider.keep([*provider.records, *more])
            world.clock.now_ms += MINUTE_MS  # within the lease: the first one keeps its window
            world.pull()

    provider.meanwhile = within_request
    with world.surroundings():
        pull(world, HOUR_MS)
        assert not trusted(world)
        provider.meanwhile = lambda: None
        assert pull(world) == 0
    by_order = world.ask("SELECT count(*) FROM windows WHERE by_order AND state = 'closed'")
    assert by_order == [(0,)]
    assert stored(world) == 75
