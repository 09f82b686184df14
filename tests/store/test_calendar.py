"""What a calendar is drawn from, against a look at every minute: made-up windows, some open, lost or missing."""

from __future__ import annotations

import random

import pytest

from archiver.model import Window
from archiver.store import planning
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.planning import LIVE
from archiver.store.read import calendar, status
from tests.fixtures.store import ORIGIN

MINUTE, COUNT = 60_000, 60
STATES = ("closed", "closed", "closed", "presumed_empty", "pending", "expired", "stuck")


def at(number: int) -> Window:
    return Window(ORIGIN + number * MINUTE, ORIGIN + (number + 1) * MINUTE)


@pytest.mark.parametrize("seed", range(4))
def test_windows_are_drawn_as_they_are(store: Store, key: SourceKey, seed: int) -> None:
    made = random.Random(seed)
    missing = set(made.sample(range(1, COUNT - 1), seed * 3))  # of one seed there is none
    states = {number: made.choice(STATES) for number in range(COUNT) if number not in missing}
    with store.write() as tx:
        planning.plan(tx, key, 1, LIVE, 0, [at(number) for number in states])
        for number, state in states.items():
            tx.conn.exec_driver_sql(f"UPDATE windows SET state = '{state}' WHERE lo_ms = {at(number).lo_ms}")
    with store.read() as tx:
        drawn = calendar.closed(tx, key, Window(ORIGIN, ORIGIN + COUNT * MINUTE))
        empty = calendar.presumed_empty(tx, key, Window(ORIGIN, ORIGIN + COUNT * MINUTE))
        holes = status.holes(tx, key)
        some = calendar.windows_in(tx, key, Window(at(5).lo_ms, at(9).lo_ms), 3)
    for number in range(COUNT):
        window, known = at(number), states.get(number)
        inside = any(one.lo_ms <= window.lo_ms and window.hi_ms <= one.hi_ms for one in drawn)
        covered = any(one.window.lo_ms <= window.lo_ms < one.window.hi_ms for one in holes)
        assert inside == (known in ("closed", "presumed_empty", None)), (number, known)
        assert (window in empty) == (known == "presumed_empty")
        assert covered == (known in ("expired", "stuck", None)), (number, known)
    assert [one.window for one in some] == [at(number) for number in range(5, 9) if number in states][:3]
    assert (
        sum(one.window.hi_ms - one.window.lo_ms for one in holes if one.state == "uncovered") == len(missing) * MINUTE
    )
