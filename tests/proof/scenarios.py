"""What the deterministic tests play, as functions, so that the mutants can be held against them, too."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from itertools import count

from archiver.errors import LeaseLost, ProviderUnavailable
from archiver.model import HOUR_MS, MINUTE_MS, Pass, Setup, Window
from archiver.pull.context import WalkContext
from archiver.pull.walk import WindowWalker
from archiver.sources.easemob.cursor import CursorSource
from archiver.store import apps, planning, runs, windows
from archiver.store.engine import Store, open_store
from archiver.store.windows import Claim, ClaimOptions, Target
from tests.fixtures.databases import Database
from tests.proof.scene import APP, SETTLE_MS, PointedStore, Points, Scene
from tests.proof.world import LEASE_MS, START_MS, Crash

TALK = [10_000 + 7 * (number // 2) for number in range(24)]
"""Two dozen messages, two in each of their milliseconds: ties lie over the borders of pages."""


# A process dies at each point, as an exception tears it or as the kernel does.


def names_of_points(database: Database) -> list[str]:
    """The points that an undisturbed pull comes by, in their order."""
    scene, points = Scene(database, TALK), Points()
    with scene.surroundings():
        scene.pull(PointedStore(scene.store().engine, scene.clock.database_ms, points))
    return points.names


def crash_at(database: Database, at: int) -> str:
    """An exception that nobody catches, at one point; then a pull as if nothing had been. Gives the point's name."""
    scene, points = Scene(database, TALK), Points(at)
    with scene.surroundings():
        outcome = scene.pull(PointedStore(scene.store().engine, scene.clock.database_ms, points))
        assert outcome is None, f"the pull survived its death at {points.names[at]}"
        scene.complete()
    return points.names[at]


def exit_at(database: Database, at: int) -> None:
    """The process ends at one point, without a word to the database; then a pull as if nothing had been."""
    scene = Scene(database, TALK)
    child = os.fork()
    if child == 0:
        try:
            points = Points(at, lambda: os._exit(9))
            scene.pull(PointedStore(scene.store().engine, scene.clock.database_ms, points))
        finally:
            os._exit(1)  # the point was not reached
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    scene.provider.rows_served = 10**9  # the child's were counted in the child
    scene.check()
    scene.complete()  # by the product's own eyes, which see at once that the owner is gone


# A process is paused for longer than its lease, and another one takes its window over.


def pause_at_request(database: Database, number: int, *, ahead: bool = False) -> None:
    """The zombie asks for its page, and while it waits another process pulls all; then the answer comes."""
    scene = Scene(database, TALK, ahead=ahead)
    asked = count(1)

    def within_request() -> None:
        if next(asked) == number:
            scene.provider.meanwhile = lambda: None
            scene.clock.now_ms += LEASE_MS + MINUTE_MS
            other = scene.pull()
            assert other is not None
            assert ahead or other.exit_code == 0

    scene.provider.meanwhile = within_request
    with scene.surroundings():
        zombie = scene.pull()
        assert zombie is not None
        scene.complete()
    assert all(state == "closed" for _, state in scene.windows())


def pause_at_transaction(database: Database, number: int, *, heir_dies: bool = False) -> bool:
    """The zombie is paused just before one of its transactions; False when it has fewer.

    `heir_dies`: the process that takes the window over is gone after a page, and the window still bears its name.
    """
    scene = Scene(database, TALK)
    store = _PausedStore(scene, number, heir_dies=heir_dies)
    with scene.surroundings():
        scene.pull(store)
        scene.complete()
    return store.paused


class _PausedStore(Store):
    def __init__(self, scene: Scene, number: int, *, heir_dies: bool) -> None:
        super().__init__(scene.store().engine, scene.clock.database_ms)
        self.scene, self.number, self.paused, self.heir_dies = scene, number, False, heir_dies
        self._begun = count(1)

    def write(self, *, durable=True, lock=None):  # type: ignore[no-untyped-def]  # the product's own, a moment later
        if next(self._begun) == self.number:
            self.paused = True
            self.scene.clock.now_ms += LEASE_MS + MINUTE_MS
            asked = count(1)

            def within_request() -> None:
                if self.heir_dies and next(asked) == 3:  # behind the time and a page
                    raise Crash

            self.scene.provider.meanwhile = within_request
            self.scene.pull()
            self.scene.provider.meanwhile = lambda: None
        return super().write(lock=lock)


def refused(database: Database, act: Callable[[WindowWalker], object]) -> None:
    """What a zombie does to a window that is not his any more is refused and changes nothing."""
    scene = Scene(database, TALK)
    store = scene.store()
    zombie = _claim(scene, store, "zombie")
    scene.clock.now_ms += LEASE_MS + MINUTE_MS
    _claim(scene, store, "heir")
    tables = ("windows", "pages", "messages", "watermarks", "runs")
    before = [sorted(map(str, database.rows(f"SELECT * FROM {table}"))) for table in tables]
    try:
        act(zombie)
    except LeaseLost:
        pass
    else:
        raise AssertionError("the zombie was not refused")
    finally:
        store.dispose()
    assert before == [sorted(map(str, database.rows(f"SELECT * FROM {table}"))) for table in tables]


def _claim(scene: Scene, store: Store, owner: str) -> WindowWalker:
    source = CursorSource(APP, (Pass(1, SETTLE_MS),), None, 10, False, scene.fetch_page)
    window_end_ms = START_MS + HOUR_MS // 2
    with store.write() as tx:
        key = apps.register(tx, APP, "cursor", START_MS, settle_ms=SETTLE_MS, retention_ms=None)
        if planning.planned(tx, key, 1) is None:
            planning.plan(tx, key, 1, planning.LIVE, SETTLE_MS, [Window(START_MS, window_end_ms)])
        claim = windows.claim(tx, key, Target(1, planning.LIVE, window_end_ms), ClaimOptions(owner, LEASE_MS))
        run = runs.start(tx, key, "pull", owner)
    assert claim is not None
    return _walker(store, source, run, claim)


def _walker(store: Store, source: CursorSource, run: runs.Run, claim: Claim) -> WindowWalker:
    setup = Setup(source.passes, None)
    context = WalkContext(
        store, source, setup, run, LEASE_MS, 0, threading.Event(), lambda _: None, lambda _: None, False
    )
    return WindowWalker(context, claim, trusted=True)


def walk(zombie: WindowWalker) -> None:
    """A page, or the close with it."""
    zombie.walk()


def give_back(zombie: WindowWalker) -> None:
    zombie.give_back(ProviderUnavailable("simulated"), may_split=True)


# The server's order breaks while a window is held.


def break_the_order(database: Database) -> None:
    """What a walk reached by the order before it broke is walked again, even where it is trusted again."""
    scene = Scene(database, TALK)
    asked = count(1)

    def within_request() -> None:
        if next(asked) == 4:  # behind the time and two pages
            raise Crash

    scene.provider.meanwhile = within_request
    with scene.surroundings():
        assert scene.pull() is None, "the pull survived its death"
        scene.provider.meanwhile = lambda: None
        store = scene.store()
        with store.write() as tx:
            key = apps.find(tx, APP, "cursor")
            assert key is not None
            apps.distrust_order(tx, key)
            apps.note_clean_walk(tx, key, clean_needed=1)
        store.dispose()
        scene.add([TALK[0]])  # it was there, but the server showed it in another place
        scene.complete()


# Two processes close neighbouring windows in two transactions at once.


def close_neighbours(database: Database) -> None:
    """PostgreSQL: each closes its own; whoever is second must count the first one's window, too."""
    scene = Scene(database, TALK)
    store = open_store(scene.url, scene.clock.database_ms)
    edges = [START_MS, START_MS + 10_030, START_MS + HOUR_MS // 2]
    source = CursorSource(APP, (Pass(1, SETTLE_MS),), None, 10, False, scene.fetch_page)
    with store.write() as tx:
        key = apps.register(tx, APP, "cursor", START_MS, settle_ms=SETTLE_MS, retention_ms=None)
        tiles = [Window(*edges[:2]), Window(*edges[1:])]
        planning.plan(tx, key, 1, planning.LIVE, SETTLE_MS, tiles)
        run = runs.start(tx, key, "pull", "two at once")
        wanted, terms = Target(1, planning.LIVE, edges[2]), ClaimOptions("two at once", LEASE_MS)
        claims = [windows.claim(tx, key, wanted, terms) for _ in tiles]
    first, second = (_walker(store, source, run, claim) for claim in claims if claim is not None)
    steps = [
        next(iter(source.walk(walker.claim.window, resume_ms=None, order_trusted=True))) for walker in (first, second)
    ]
    for walker, step in zip((first, second), steps, strict=True):
        walker.walk0_ms = step.page.server_ms

    def close_second() -> None:
        with store.write() as tx:
            second._close(windows.hold(tx, second.claim), "exhausted", None)

    other = threading.Thread(target=close_second)
    with store.write() as tx:
        first._close(windows.hold(tx, first.claim), "exhausted", None)
        other.start()
        _wait_until_blocked_or_done(database, other)
    other.join(60)
    assert not other.is_alive()
    store.dispose()
    stored = database.value("SELECT complete_until_ms FROM watermarks")
    assert stored == edges[2], f"the watermark was left at {stored - START_MS}, the truth is {edges[2] - START_MS}"


def _wait_until_blocked_or_done(database: Database, other: threading.Thread) -> None:
    deadline = time.monotonic() + 60
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while other.is_alive() and not database.value(waiting):
        assert time.monotonic() < deadline
        time.sleep(0.02)
