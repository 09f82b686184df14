"""What is planned: touching what there is, no more than may wait, and a single look where several are due."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from archiver.errors import UsageError
from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, Pass, Setup, Window
from archiver.pull import plan as planning
from archiver.store import apps, passes, watermarks, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.planning import AUDIT, BACKFILL, LIVE
from archiver.store.windows import ClaimOptions, Target
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, open_database

HOUR0 = ORIGIN - ORIGIN % HOUR_MS
AHEAD = 4
TERMS = ClaimOptions("somebody", 60_000)


class Plans:
    """One source that is planned for, at instants of the test's choice."""

    def __init__(self, store: Store, database: Database, kind: str) -> None:
        self.store, self.database = store, database
        self.hourly = kind == "hourly"
        self.origin_ms = HOUR0 if self.hourly else ORIGIN
        with store.write() as tx:
            self.key: SourceKey = apps.register(tx, "o#a", kind, self.origin_ms, settle_ms=0, retention_ms=None)

    def plan(self, now_ms: int, *configured: Pass, causes: tuple[str, ...] = (LIVE,), **setup: Any) -> None:
        with self.store.write() as tx:
            remembered = apps.lock(tx, self.key)
            all_passes = passes.numbered(tx, self.key, configured)
            offset = 0 if self.hourly else None
            due = [Target(p.pass_no, LIVE, now_ms - p.lag_ms, p.lag_ms) for p in all_passes]
            due = due if LIVE in causes else []
            if BACKFILL in causes:
                due.append(Target(1, BACKFILL, now_ms))
            planning.plan(tx, self.key, Setup(all_passes, offset, **setup), remembered, due, ahead=AHEAD)

    def rows(self, pass_no: int = 1) -> list[tuple[int, int, str]]:
        """The windows of a pass, from `lo_ms` to `hi_ms` in ms after the origin, with their states."""
        query = f"SELECT lo_ms, hi_ms, state FROM windows WHERE pass = {pass_no} ORDER BY lo_ms"
        return [(lo - self.origin_ms, hi - self.origin_ms, state) for lo, hi, state in self.database.rows(query)]

    def close(self, pass_no: int = 1, cause: str = LIVE, **counted: int) -> None:
        """Walk and close what is planned, with a page a window if nothing else is said."""
        while True:
            with self.store.write() as tx:
                claim = windows.claim(tx, self.key, Target(pass_no, cause, 2**60), TERMS)
                if claim is None:
                    return
                windows.close(windows.hold(tx, claim), by_order=False, **{"pages": 1, **counted})

    def fail(self) -> None:
        with self.store.write() as tx:
            claim = windows.claim(tx, self.key, Target(1, LIVE, 2**60), TERMS._replace(patient=False))
            assert claim is not None
            windows.retry(windows.hold(tx, claim), "torn", at_ms=None, keep_progress=False, failed_at=tx.now_ms())


@pytest.fixture
def cursor(database: Database) -> Iterator[Plans]:
    store = open_database(database)
    yield Plans(store, database, "cursor")
    store.dispose()


@pytest.fixture
def hourly(database: Database) -> Iterator[Plans]:
    store = open_database(database)
    yield Plans(store, database, "hourly")
    store.dispose()


def test_windows_touch_and_no_more_are_planned_than_may_wait(cursor: Plans) -> None:
    cursor.plan(ORIGIN + 10 * DAY_MS, Pass(1, MINUTE_MS))
    half = DAY_MS // 2
    assert cursor.rows() == [(at * half, (at + 1) * half, "pending") for at in range(AHEAD)]
    cursor.plan(ORIGIN + 10 * DAY_MS, Pass(1, MINUTE_MS))
    assert len(cursor.rows()) == AHEAD
    cursor.close()
    cursor.plan(ORIGIN + 10 * DAY_MS, Pass(1, MINUTE_MS))
    rows = cursor.rows()
    assert len(rows) == 2 * AHEAD
    assert [row[0] for row in rows[1:]] == [row[1] for row in rows[:-1]]


def test_a_plan_ends_where_nothing_is_due(cursor: Plans) -> None:
    cursor.plan(ORIGIN + HOUR_MS, Pass(1, MINUTE_MS))
    assert cursor.rows() == [(0, HOUR_MS - MINUTE_MS, "pending")]
    cursor.plan(ORIGIN + MINUTE_MS, Pass(1, MINUTE_MS))
    assert len(cursor.rows()) == 1, "a clock that goes back plans nothing"


def test_windows_that_failed_leave_room_for_others(cursor: Plans) -> None:
    cursor.plan(ORIGIN + 20 * DAY_MS, Pass(1, MINUTE_MS))
    for _ in range(2):
        cursor.fail()
    cursor.plan(ORIGIN + 20 * DAY_MS, Pass(1, MINUTE_MS))
    assert len(cursor.rows()) == AHEAD + 2


@pytest.mark.parametrize(("outside", "narrower"), [(0, True), (1990, False)])
def test_dense_windows_are_followed_by_narrower_ones_unless_it_lies_outside(
    cursor: Plans, outside: int, narrower: bool
) -> None:
    """A list without an end and without order is read whole for any window: narrower ones would multiply that."""
    cursor.plan(ORIGIN + 20 * DAY_MS, Pass(1, MINUTE_MS))
    cursor.close(pages=40, received=2000, new=1000, known=1000, outside=outside)
    cursor.plan(ORIGIN + 20 * DAY_MS, Pass(1, MINUTE_MS))
    before, after = (hi - lo for lo, hi, _ in (cursor.rows()[0], cursor.rows()[-1]))
    assert after == (before // 4 if narrower else DAY_MS)


def test_of_the_audits_that_are_due_only_the_longest_looks(cursor: Plans) -> None:
    configured = Pass(1, MINUTE_MS), Pass(2, DAY_MS), Pass(3, 3 * DAY_MS)
    cursor.plan(ORIGIN + 2 * DAY_MS + MINUTE_MS, *configured[:1])
    cursor.close()
    cursor.plan(ORIGIN + 2 * DAY_MS + MINUTE_MS, *configured)
    assert {state for *_, state in cursor.rows(2)} == {"pending"}
    assert cursor.rows(2)[-1][1] <= DAY_MS + MINUTE_MS
    assert cursor.rows(3) == []
    looked_ms = cursor.rows(2)[-1][1]
    cursor.plan(ORIGIN + 5 * DAY_MS, *configured)
    longest = cursor.rows(3)
    assert looked_ms < longest[-1][1] <= 2 * DAY_MS, "no audit goes beyond what pass 1 has planned"
    assert {state for *_, state in longest} == {"pending"}
    assert cursor.rows(2)[-1] == (looked_ms, longest[-1][1], "skipped")


def test_audits_of_what_the_provider_keeps_no_longer_are_missed_and_say_so(cursor: Plans) -> None:
    configured = Pass(1, MINUTE_MS), Pass(2, DAY_MS)
    cursor.plan(ORIGIN + 2 * DAY_MS, Pass(1, MINUTE_MS))
    cursor.close()
    cursor.plan(ORIGIN + 4 * DAY_MS, *configured, expired_ms=ORIGIN + DAY_MS)
    assert cursor.rows(2)[0] == (0, DAY_MS, "skipped")
    query = "SELECT reason, CASE WHEN unproven THEN 1 ELSE 0 END FROM windows WHERE pass = 2 ORDER BY lo_ms LIMIT 1"
    assert cursor.database.rows(query) == [("beyond the retention when it was due", 1)]
    assert [state for *_, state in cursor.rows(2)[1:]] == ["pending"] * (len(cursor.rows(2)) - 1)


def test_an_hour_is_looked_at_early_until_its_own_time_has_come(hourly: Plans) -> None:
    configured = Pass(0, HOUR_MS), Pass(1, 5 * HOUR_MS)
    hourly.plan(HOUR0 + 4 * HOUR_MS, *configured)
    assert hourly.rows(1) == []
    assert hourly.rows(0) == [(at * HOUR_MS, (at + 1) * HOUR_MS, "pending") for at in range(3)]
    hourly.plan(HOUR0 + 7 * HOUR_MS, *configured)
    assert hourly.rows(1) == [(0, HOUR_MS, "pending"), (HOUR_MS, 2 * HOUR_MS, "pending")]
    early = hourly.rows(0)
    assert early[0] == (-HOUR_MS, 0, "pending"), "the file before the origin is looked at once"
    assert [state for *_, state in early[1:3]] == ["skipped", "skipped"]
    assert early[3:] == [(at * HOUR_MS, (at + 1) * HOUR_MS, "pending") for at in range(2, 5)]


def test_the_file_before_the_origin_is_not_asked_for_where_it_is_kept_no_longer(hourly: Plans) -> None:
    hourly.plan(HOUR0 + 7 * HOUR_MS, Pass(0, HOUR_MS), Pass(1, 5 * HOUR_MS), expired_ms=HOUR0 - 1)
    assert all(lo >= 0 for lo, *_ in hourly.rows(0))


def test_a_backfill_goes_back_from_the_origin_and_leaves_no_gap(cursor: Plans) -> None:
    with cursor.store.write() as tx:
        with pytest.raises(UsageError, match="would leave a gap"):
            planning.request_backfill(tx, cursor.key, ORIGIN - 9 * DAY_MS, ORIGIN - DAY_MS)
        assert planning.request_backfill(tx, cursor.key, ORIGIN - DAY_MS, ORIGIN)
    cursor.plan(ORIGIN + DAY_MS, Pass(1, MINUTE_MS), causes=(BACKFILL,))
    half = DAY_MS // 2
    assert cursor.rows() == [(-2 * half, -half, "pending"), (-half, 0, "pending")]
    with cursor.store.write() as tx:
        assert not planning.request_backfill(tx, cursor.key, ORIGIN - DAY_MS, None)


def test_a_backfill_is_refused_where_files_are_read_by_the_hour(hourly: Plans) -> None:
    with hourly.store.write() as tx, pytest.raises(UsageError, match="reach back no further"):
        planning.request_backfill(tx, hourly.key, HOUR0 - DAY_MS, None)


def test_an_audit_that_is_asked_for_looks_at_what_is_closed_in_whole_hours(hourly: Plans) -> None:
    with hourly.store.write() as tx, pytest.raises(UsageError, match="an audit covers what is closed"):
        planning.plan_audit(tx, hourly.key, Window(HOUR0, HOUR0 + HOUR_MS), 0)
    hourly.plan(HOUR0 + 5 * HOUR_MS, Pass(1, HOUR_MS))
    hourly.close()
    with hourly.store.write() as tx:
        watermarks.move(tx, hourly.key, watermarks.lock(tx, hourly.key))
        pass_no = planning.plan_audit(tx, hourly.key, Window(HOUR0 + 1, HOUR0 + HOUR_MS + 1), 0)
    assert hourly.rows(pass_no) == [(0, HOUR_MS, "pending"), (HOUR_MS, 2 * HOUR_MS, "pending")]
    causes = hourly.database.rows(f"SELECT DISTINCT cause FROM windows WHERE pass = {pass_no}")
    assert causes == [(AUDIT,)]
