"""Sinks that are away or hang for an hour, and a ledger's end that is held for long, in simulated time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from archiver import connect, signing
from archiver.evidence import beginning, report
from archiver.evidence.anchors.calls import AnchorOutcome
from archiver.evidence.publish import WITHIN_S, Publisher
from archiver.model import HOUR_MS, MINUTE_MS
from archiver.store import apps
from archiver.store.engine import Store, open_store
from tests.evidence.tampering import Builder, settings_of
from tests.fixtures.archive import Clock
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, page_of, record


@dataclass
class SinkInTime:
    """A sink whose calls take simulated time: a moment when it works, all that it is given when it hangs."""

    name: str
    clock: Clock
    takes_ms: int = 700
    state: str = "works"
    every_ms: int = MINUTE_MS
    readable: bool = False
    notes: list[bytes] = field(default_factory=list)

    def put(self, note: bytes, *, within_s: float) -> AnchorOutcome:
        if self.state == "hangs":
            self.clock.now_ms += int(within_s * 1000)
            return AnchorOutcome("failed", f"no answer within {WITHIN_S:g} s")
        self.clock.now_ms += self.takes_ms
        if self.state == "is away":
            return AnchorOutcome("failed", "nobody is there")
        self.notes.append(note)
        return AnchorOutcome("anchored")

    def newer(self, size: int, *, within_s: float) -> list[bytes]:
        raise AssertionError("it cannot be read")


class Minutes:
    """An archive with a page a minute, and a round of publishing after each of them, as `run` has them."""

    def __init__(self, database: Database, place: Path) -> None:
        self.clock = Clock(ORIGIN)
        self.settings = settings_of(database.url, place)
        self.section = beginning.section(self.settings)
        (name,) = self.section.sinks
        self.store: Store = open_store(self.settings.database.sqlalchemy_url, self.clock)
        beginning.init(self.store, self.settings, "internal audit", "me")
        connect.seal(self.store, self.settings)
        self.sink = SinkInTime(name, self.clock)
        self.publish = Publisher(self.store, self.section, signing.load(self.section.key_file), [self.sink])
        with self.store.write() as tx:
            key = apps.register(tx, "o#a", "cursor", ORIGIN, settle_ms=1000, retention_ms=None)
        self.builder, self.rounds = Builder(self.store, key), 0

    def round(self, at_ms: int) -> None:
        """A page and a round of publishing, at a time since the beginning."""
        self.clock.now_ms = max(self.clock.now_ms, ORIGIN + at_ms)
        lo, began_ms = self.rounds * 1000, self.clock.now_ms
        self.builder.walk(lo, lo + 1000, page_of(record(f"{self.rounds}", stamp=ORIGIN + lo)))
        self.publish()
        self.rounds += 1
        assert self.clock.now_ms - began_ms <= WITHIN_S * 1000, "nobody waits longer for it"

    def alerts(self, at_ms: int) -> set[str]:
        """The alerts that stand at a time since the beginning."""
        self.clock.now_ms = ORIGIN + at_ms
        found = report.report(self.store, self.section)
        assert found is not None
        return {problem.name for problem in found.problems}

    def count(self, what: str) -> int:
        with self.store.read() as tx:
            return int(tx.conn.exec_driver_sql(f"SELECT count(*) FROM {what}").scalar_one())


@pytest.fixture
def minutes(database: Database, tmp_path: Path) -> Iterator[Minutes]:
    place = tmp_path / "keys"
    place.mkdir()
    made = Minutes(database, place)
    yield made
    made.store.dispose()


def test_each_round_anchors_although_the_last_anchor_is_younger_than_a_minute(minutes: Minutes) -> None:
    for number in range(3):
        minutes.round(number * MINUTE_MS)
        assert len(minutes.sink.notes) == number + 1


@pytest.mark.full
@pytest.mark.parametrize("state", ["is away", "hangs"])
def test_a_sink_in_trouble_for_an_hour_alarms_after_eleven_minutes_and_catches_up_alone(
    minutes: Minutes, state: str
) -> None:
    minutes.round(0)
    minutes.sink.state = state
    for number in range(1, 12):
        minutes.round(number * MINUTE_MS)
    began_ms, late_ms = MINUTE_MS, 11 * MINUTE_MS
    assert "ArchiverUnanchored" not in minutes.alerts(began_ms + late_ms - 1000)
    assert "ArchiverUnanchored" in minutes.alerts(began_ms + late_ms + 1000)
    for number in range(15, 60, 15):
        minutes.round(number * MINUTE_MS)
        assert "ArchiverUnanchored" in minutes.alerts((number + 1) * MINUTE_MS)
    minutes.sink.state = "works"
    minutes.round(HOUR_MS + MINUTE_MS)
    assert minutes.alerts(HOUR_MS + 2 * MINUTE_MS) == set()
    assert minutes.count("pages") == minutes.rounds
    assert minutes.count("anchorings WHERE outcome = 'failed'") == 1, "the same failure is noted once"
    assert len(minutes.sink.notes) == 2


@pytest.mark.full
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_ledgers_end_that_is_held_for_longer_alarms_and_holds_up_no_page(
    minutes: Minutes, database: Database
) -> None:
    minutes.round(0)
    with psycopg.connect(database.url) as holding:
        holding.execute("SELECT * FROM ledger_head FOR UPDATE")
        before_s = time.monotonic()
        minutes.round(MINUTE_MS)
        assert time.monotonic() - before_s < 60, "the wait for the lock has its own limit"
        assert minutes.alerts(2 * MINUTE_MS) == set()
        assert minutes.alerts(12 * MINUTE_MS + 1000) == {"ArchiverUnanchored"}
        assert minutes.count("pages") == 2
    minutes.round(13 * MINUTE_MS)
    assert minutes.alerts(14 * MINUTE_MS) == set()
    assert minutes.count("ledger_queue WHERE entry IS NOT NULL") == 0
