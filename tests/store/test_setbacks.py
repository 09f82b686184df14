"""What becomes of a window after a failure of its walk, kind by kind: its state, its reason, and who may claim it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa

from archiver.errors import (
    AnswerUnusable,
    ArchiverError,
    FileMissing,
    HourMissing,
    LeaseLost,
    OrderLost,
    ProviderUnavailable,
    QuotaExceeded,
    RequestRefused,
    Stopped,
    WalkFailed,
)
from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, Pass, Setup, Source, Window
from archiver.pull.context import WalkContext
from archiver.pull.setbacks import Fate, Setback
from archiver.sources.easemob.cursor import CursorSource
from archiver.sources.easemob.hourly import HourlySource
from archiver.store import apps, pages, planning, runs, windows
from archiver.store.planning import LIVE
from archiver.store.schema import windows as table
from archiver.store.windows import Claim, ClaimOptions, Target
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database, page_of

LAG_MS = 10 * MINUTE_MS
TERMS = ClaimOptions("somebody", 60_000)
PASSES = (Pass(1, LAG_MS), Pass(2, DAY_MS))


def unused(*_: object) -> NoReturn:
    raise AssertionError("no request belongs to giving a window back")


class Scene:
    """A source with one window that is walked now and, where asked for, others that were walked meanwhile."""

    def __init__(self, database: Database, *, hourly: bool, retention_ms: int | None = None) -> None:
        self.store, self.database = open_database(database), database
        self.source: Source
        if hourly:
            self.source = HourlySource("o#a", PASSES, retention_ms, 100, 0, unused, unused, unused)
        else:
            self.source = CursorSource("o#a", PASSES, retention_ms, 100, False, unused)
        with self.store.write() as tx:
            self.now_ms = tx.now_ms()
            self.hour_ms = self.now_ms - self.now_ms % HOUR_MS
            origin_ms = self.hour_ms - 100 * DAY_MS
            self.key = apps.register(tx, "o#a", self.source.kind, origin_ms, settle_ms=0, retention_ms=None)
            self.run = runs.start(tx, self.key, "pull", "somebody")

    def claim(self, window: Window, *, pass_no: int = 1, tries: int = 1, failing_ms: int | None = None) -> Claim:
        """A window in its attempt `tries`, failing for so long by now."""
        with self.store.write() as tx:
            planning.plan(tx, self.key, pass_no, LIVE, LAG_MS, [window])
        self.note(window, attempts=tries - 1, failed_at=None if failing_ms is None else self.now_ms - failing_ms)
        with self.store.write() as tx:
            claim = windows.claim(tx, self.key, Target(pass_no, LIVE, 2**60), TERMS)
        assert claim is not None
        assert claim.window == window
        return claim

    def note(self, window: Window, **values: Any) -> None:
        with self.store.write() as tx:
            tx.conn.execute(table.update().where(table.c.lo_ms == window.lo_ms).values(**values))

    def close_another(self, lo_ms: int | None = None, **values: Any) -> None:
        """Another window was walked and closed; just now, if nothing else is said."""
        lo_ms = self.hour_ms - 50 * DAY_MS if lo_ms is None else lo_ms
        with self.store.write() as tx:
            planning.plan(tx, self.key, 1, LIVE, LAG_MS, [Window(lo_ms, lo_ms + HOUR_MS)])
            other = windows.claim(tx, self.key, Target(1, LIVE, lo_ms + HOUR_MS), TERMS)
            assert other is not None
            held = windows.hold(tx, other)
            pages.insert(held, [page_of()], lo_ms)
            windows.close(held, by_order=False, **{"walked_at": tx.now_ms(), **values})

    def give_back(self, claim: Claim, error: ArchiverError, *, advanced: bool = False, may_split: bool = True) -> Fate:
        setup = Setup(PASSES, self.source.hour_offset_ms)
        context = WalkContext(
            self.store, self.source, setup, self.run, 60_000, 0, Event(), lambda _: None, lambda _: None, ahead=False
        )
        return Setback(context, claim, advanced=advanced, in_order=True).give_back(error, may_split=may_split)

    def states(self, pass_no: int = 1) -> list[tuple[str, str | None]]:
        """State and reason of the windows that this scene is about, from the bottom up."""
        newest = self.hour_ms - 40 * DAY_MS
        query = f"SELECT state, reason FROM windows WHERE pass = {pass_no} AND lo_ms >= {newest} ORDER BY lo_ms"
        return [(state, reason) for state, reason in self.database.rows(query)]

    def rests_s(self) -> float | None:
        """For how long nobody but a one-shot pull may try the window again."""
        with self.store.read() as tx:
            until_ms = tx.conn.scalar(sa.select(table.c.next_attempt_at))
        return None if until_ms is None else (until_ms - self.now_ms) / 1000


Made = Callable[..., Scene]


@pytest.fixture
def make(database: Database) -> Iterator[Made]:
    scenes: list[Scene] = []

    def made(**how: Any) -> Scene:
        scenes.append(Scene(database, **how))
        return scenes[-1]

    yield made
    for scene in scenes:
        scene.store.dispose()


def recent(scene: Scene, span_ms: int = HOUR_MS, age_ms: int = 3 * HOUR_MS) -> Window:
    lo_ms = scene.hour_ms - age_ms
    return Window(lo_ms, lo_ms + span_ms)


@pytest.mark.parametrize(
    ("error", "fate"), [(Stopped(), Fate.LATER), (LeaseLost(), Fate.LATER), (OrderLost(), Fate.AGAIN)], ids=repr
)
def test_what_is_no_failure_of_the_window_lets_it_be_claimed_at_once(
    make: Made, error: ArchiverError, fate: Fate
) -> None:
    scene = make(hourly=False)
    assert scene.give_back(scene.claim(recent(scene)), error) is fate
    assert scene.states() == [("pending", str(error))]
    assert scene.rests_s() is None
    assert scene.database.value("SELECT count(*) FROM windows WHERE failed_at IS NOT NULL") == 0


@pytest.mark.parametrize(
    "error", [ProviderUnavailable("503"), QuotaExceeded("429"), AnswerUnusable("?"), RequestRefused("400")], ids=repr
)
@pytest.mark.parametrize("hourly", [False, True])
def test_a_first_failure_is_tried_again_later(make: Made, error: ArchiverError, hourly: bool) -> None:
    scene = make(hourly=hourly)
    assert scene.give_back(scene.claim(recent(scene)), error) is Fate.LATER
    assert scene.states() == [("pending", str(error))]
    rests_s = scene.rests_s()
    assert rests_s is not None
    assert rests_s >= 5


@pytest.mark.parametrize("error", [ProviderUnavailable("503"), RequestRefused("400")], ids=repr)
def test_a_window_is_not_to_blame_while_nothing_else_is_had(make: Made, error: ArchiverError) -> None:
    scene = make(hourly=False)
    assert scene.give_back(scene.claim(recent(scene), tries=9, failing_ms=HOUR_MS), error) is Fate.LATER
    assert scene.states() == [("pending", str(error))]


def test_a_walk_that_fails_is_cut_in_halves(make: Made) -> None:
    scene = make(hourly=False)
    window = recent(scene)
    assert scene.give_back(scene.claim(window), WalkFailed("a loop")) is Fate.CUT
    assert scene.states() == [("pending", "a loop"), ("pending", None)]
    middle = (window.lo_ms + window.hi_ms) // 2
    assert scene.database.value(f"SELECT count(*) FROM windows WHERE lo_ms = {middle}") == 1


def test_a_walk_that_came_further_goes_on_at_once(make: Made) -> None:
    scene = make(hourly=False)
    assert scene.give_back(scene.claim(recent(scene)), WalkFailed("a loop"), advanced=True) is Fate.AGAIN
    assert scene.states() == [("pending", "a loop")]
    assert scene.rests_s() is None


def test_a_pull_that_has_cut_enough_cuts_no_more(make: Made) -> None:
    scene = make(hourly=False)
    assert scene.give_back(scene.claim(recent(scene)), WalkFailed("a loop"), may_split=False) is Fate.LATER
    assert len(scene.states()) == 1


@pytest.mark.parametrize(("failing_ms", "state"), [(MINUTE_MS, "pending"), (11 * MINUTE_MS, "stuck")])
def test_a_millisecond_that_the_provider_does_not_answer_for_is_stuck_after_a_while(
    make: Made, failing_ms: int, state: str
) -> None:
    """Cut down and tried three times in one pull, it may be the provider that fails now and then."""
    scene = make(hourly=False)
    claim = scene.claim(recent(scene, span_ms=1), tries=3, failing_ms=failing_ms)
    scene.close_another()
    scene.give_back(claim, ProviderUnavailable("500"))
    assert scene.states() == [(state, "500")]


@pytest.mark.parametrize("others", [False, True])
def test_a_single_millisecond_is_stuck_when_others_close(make: Made, others: bool) -> None:
    scene = make(hourly=False)
    claim = scene.claim(recent(scene, span_ms=1), tries=3, failing_ms=HOUR_MS)
    if others:
        scene.close_another()
    scene.give_back(claim, WalkFailed("a loop"))
    assert scene.states() == [("stuck" if others else "pending", "a loop")]


def test_a_stuck_audit_is_a_look_that_was_missed(make: Made) -> None:
    scene = make(hourly=False)
    claim = scene.claim(recent(scene, span_ms=1), pass_no=2, tries=3, failing_ms=HOUR_MS)
    scene.close_another()
    scene.give_back(claim, WalkFailed("a loop"))
    assert scene.states(2) == [("skipped", "a loop")]
    assert scene.database.value("SELECT count(*) FROM windows WHERE pass = 2 AND unproven") == 1


@pytest.mark.parametrize("hourly", [False, True])
def test_what_the_provider_keeps_no_longer_is_expired_whatever_went_wrong(make: Made, hourly: bool) -> None:
    scene = make(hourly=hourly, retention_ms=2 * HOUR_MS)
    window = recent(scene, age_ms=10 * HOUR_MS)
    assert scene.give_back(scene.claim(window), ProviderUnavailable("503")) is Fate.LOST
    assert scene.states() == [("expired", "beyond the retention: 503")]


def test_our_own_trouble_makes_nothing_expired(make: Made) -> None:
    scene = make(hourly=False, retention_ms=2 * HOUR_MS)
    window = recent(scene, age_ms=10 * HOUR_MS)
    assert scene.give_back(scene.claim(window), QuotaExceeded("429")) is Fate.LATER
    assert scene.states() == [("pending", "429")]


@pytest.mark.parametrize(
    ("failing_ms", "others", "state"),
    [
        (HOUR_MS, True, "pending"),
        (7 * HOUR_MS, False, "pending"),
        (7 * HOUR_MS, True, "stuck"),
    ],
)
def test_an_hour_is_stuck_when_it_failed_for_long_while_others_were_had(
    make: Made, failing_ms: int, others: bool, state: str
) -> None:
    scene = make(hourly=True)
    claim = scene.claim(recent(scene, age_ms=10 * HOUR_MS), tries=5, failing_ms=failing_ms)
    if others:
        scene.close_another(file_sha256="0" * 64)
    scene.give_back(claim, FileMissing("NoSuchKey"))
    assert scene.states() == [(state, "NoSuchKey")]


def missing(scene: Scene, *, was_there: bool = False) -> HourMissing:
    return HourMissing("no file", server_ms=scene.now_ms, was_there=was_there)


def test_an_hour_without_a_file_is_not_ready_before_its_time(make: Made) -> None:
    scene = make(hourly=True)
    window = Window(scene.hour_ms, scene.hour_ms + HOUR_MS)
    assert scene.give_back(scene.claim(window), missing(scene)) is Fate.LATER
    assert scene.states() == [("not_ready", "no file")]


@pytest.mark.parametrize(
    ("asked_ms", "later_ms", "state"),
    [
        (7 * HOUR_MS, DAY_MS, "presumed_empty"),
        (HOUR_MS, DAY_MS, "not_ready"),
        (7 * HOUR_MS, 20 * HOUR_MS, "not_ready"),
        (7 * HOUR_MS, None, "not_ready"),
    ],
)
def test_an_hour_is_presumed_empty_when_it_was_asked_for_twice_and_a_later_file_is_a_day_old(
    make: Made, asked_ms: int, later_ms: int | None, state: str
) -> None:
    scene = make(hourly=True)
    window = recent(scene, age_ms=39 * HOUR_MS)
    claim = scene.claim(window)
    scene.note(window, missing_at=scene.now_ms - asked_ms)
    if later_ms is not None:
        scene.close_another(window.hi_ms, file_sha256="0" * 64, walked_at=scene.now_ms - later_ms)
    scene.give_back(claim, missing(scene))
    assert scene.states()[0] == (state, "no file")


def test_an_hour_whose_file_was_there_is_never_presumed_empty(make: Made) -> None:
    scene = make(hourly=True)
    claim = scene.claim(recent(scene, age_ms=30 * HOUR_MS))
    scene.close_another(file_sha256="0" * 64)
    scene.give_back(claim, missing(scene, was_there=True))
    assert scene.states() == [("not_ready", "no file")]
