"""What processes share through the database: turns of the rate budget, and windows."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from archiver.model import Window
from archiver.store import owner, rate_limit, watermarks, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, open_store
from archiver.store.planning import LIVE
from archiver.store.windows import ClaimOptions, Target
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed


def test_no_more_turns_in_a_period_than_the_rate_allows(database: Database) -> None:
    now = [ORIGIN]
    store = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"), clock=lambda: now[0])
    taken = []
    for _ in range(35):
        now[0] += 700
        taken.append(now[0] + rate_limit.book(store, "host", 10, 60_000)[0])
    store.dispose()
    assert taken == sorted(taken)
    for at in range(len(taken) - 10):
        assert taken[at + 10] - taken[at] >= 60_000
    assert taken[9] - taken[0] == 9 * 700, "turns that are free are taken at once"


def test_groups_do_not_wait_for_each_other(database: Database) -> None:
    store = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"), clock=lambda: ORIGIN)
    assert rate_limit.book(store, "one", 1, 60_000) == [0]
    assert rate_limit.book(store, "two", 1, 60_000) == [0]
    assert rate_limit.book(store, "one", 1, 60_000) == [60_000]
    store.dispose()


def test_turns_booked_at_once_are_those_booked_one_by_one(database: Database) -> None:
    store = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"), clock=lambda: ORIGIN)
    for count, period_ms in ((10, 60_000), (100, 1_000), (1_000, 1_000), (30, 60_000)):
        group = f"{count} in {period_ms}"
        one_by_one = [rate_limit.book(store, group, count, period_ms)[0] for _ in range(25)]
        assert rate_limit.book(store, f"{group} at once", count, period_ms, 25) == one_by_one
    assert one_by_one == [2_000 * number for number in range(25)], "a high rate is spaced evenly"
    store.dispose()


def test_of_a_high_rate_a_process_books_a_twentieth_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    store = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"), clock=lambda: ORIGIN)
    hasty, other = (rate_limit.RateLimiter(store, "host", 100, 1_000) for _ in range(2))
    waits = [hasty.take() for _ in range(5)]
    assert waits == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04])
    assert other.take() == pytest.approx(0.05), "what was booked is nobody else's"
    slow = rate_limit.RateLimiter(store, "slow", 20, 60_000)
    assert [slow.take() for _ in range(20)] == [0.0] * 20
    assert slow.take() == 60
    store.dispose()


def test_a_process_that_is_gone_is_known_and_one_that_lives_is_not() -> None:
    program = "from archiver.store import owner; print(owner.me())"
    gone = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert owner.dead([gone, owner.me(), "elsewhere - - 1 1", "nonsense"]) == [gone]
    place, _, started = owner.me().rpartition(" ")
    assert owner.dead([f"{place} 1"]) == [f"{place} 1"], "the same pid, begun at another time"
    assert f" {os.getpid()} {started}" in owner.me()


def test_a_window_of_a_dead_owner_is_taken_at_once_and_of_a_living_one_after_its_lease(
    store: Store, key: SourceKey
) -> None:
    claim = claimed(store, key, owner="a dead one")
    wanted = Target(1, LIVE, claim.window.hi_ms)
    with store.write() as tx:
        assert windows.claim(tx, key, wanted, ClaimOptions("me", 60_000)) is None
        again = windows.claim(tx, key, wanted, ClaimOptions("me", -1, dead=["a dead one"]))
    assert again is not None
    assert again.fence == claim.fence + 1
    with store.write() as tx:
        assert windows.claim(tx, key, wanted, ClaimOptions("somebody", 60_000)) is not None, "its lease has run out"


def test_the_watermark_stops_at_the_first_open_window(store: Store, key: SourceKey) -> None:
    claims = [claimed(store, key, Window(ORIGIN + at * 1000, ORIGIN + (at + 1) * 1000)) for at in range(4)]
    for at, reached in ((0, 1), (2, 1), (3, 1), (1, 4)):
        with store.write() as tx:
            held = watermarks.lock(tx, key)
            windows.close(windows.hold(tx, claims[at]), by_order=False)
            mark = watermarks.move(tx, key, held)
        assert mark.complete_until_ms == ORIGIN + reached * 1000
        assert mark.complete_from_ms == ORIGIN
