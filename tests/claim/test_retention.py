"""What the provider has dropped is never claimed: it is a hole, or lies before the archive, on whichever pass."""

from __future__ import annotations

import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS
from tests.claim.archive import T0, Archive, Make, filed, message, pages_archive
from tests.fixtures.databases import Database
from tests.proof.hours import HourNature
from tests.proof.provider import Nature, Record

KEPT = 24 * HOUR_MS
NODES_MS = MINUTE_MS
"""How far beside the retention's edge, as computed here, a hole may end: a pull takes some requests."""


def every_ten_minutes(hours: int) -> list[Record]:
    return [message(number, T0 + number * 10 * MINUTE_MS) for number in range(6 * hours)]


def make(make_pages: Make, hours: int, *, now_ms: int, **settings: object) -> Archive:
    nature = Nature(eager_end=True, retention_ms=KEPT)
    settings = {"retention_ms": KEPT} | settings
    return make_pages(every_ten_minutes(hours), now_ms=now_ms, nature=nature, **settings)


def lost_to_the_outage(archive: Archive, from_ms: int, edge_ms: int) -> None:
    """One hole from where the last pull had come to, to the retention's edge, and nothing claimed of it."""
    assert archive.until_ms <= from_ms
    holes = archive.holes()
    assert {state for *_, state in holes} == {"expired"}
    assert holes[0][0] == archive.until_ms
    assert all(before[1] == after[0] for before, after in pairwise(holes))
    assert 0 <= holes[-1][1] - edge_ms < NODES_MS
    assert archive.holes_in_sql() == holes
    assert archive.truth(holes[-1][1], archive.clock.now_ms - 3 * MINUTE_MS) <= archive.stored(), "the rest is archived"


@pytest.mark.parametrize("audits", [(), (3 * HOUR_MS,)], ids=["no audits", "an audit"])
def test_an_outage_longer_than_the_retention_is_a_hole(make_pages: Make, audits: tuple[int, ...]) -> None:
    archive = make(make_pages, 100, now_ms=T0 + 6 * HOUR_MS, audits_ms=audits)
    assert archive.pull().exit_code == 0
    before_ms = archive.until_ms
    archive.clock.now_ms = T0 + 80 * HOUR_MS
    assert archive.pull().exit_code == 3
    lost_to_the_outage(archive, before_ms, T0 + 56 * HOUR_MS)
    assert {"Hole", "LossNear", "Overdue"} <= archive.alarms().keys()
    assert archive.audited_ms <= before_ms or archive.status()["unaudited"], "nobody has looked again at what is lost"
    archive.accept_all()
    assert archive.pull_each(MINUTE_MS, 2)[-1] == 0
    assert archive.until_ms > T0 + 79 * HOUR_MS
    assert f"except the holes listed ({len(archive.holes())} accepted, 0 hours presumed empty)" in archive.words()


def test_the_archive_of_an_old_start_begins_where_the_provider_does(make_pages: Make) -> None:
    archive = make(make_pages, 100, now_ms=T0 + 80 * HOUR_MS)
    assert archive.pull().exit_code == 0
    before = archive.status()["before"]
    assert before["lo_ms"] == T0
    assert before["hi_ms"] == archive.from_ms == archive.status()["origin_ms"]
    assert 0 <= archive.from_ms - (T0 + 56 * HOUR_MS) < 10 * MINUTE_MS, (
        "the edge moves on while the first window is walked"
    )
    assert archive.holes() == archive.holes_in_sql() == [], "nobody accepted it, so it is no hole of the archive"
    assert "Before the archive's beginning lies" in archive.words()
    assert archive.pull_each(MINUTE_MS, 3) == [0, 0, 0]
    assert archive.status()["origin_ms"] == before["hi_ms"], "the origin stays, while the retention's edge moves on"


def test_a_backfill_claims_nothing_that_the_provider_kept_no_longer(make_pages: Make) -> None:
    archive = make(make_pages, 100, now_ms=T0 + 80 * HOUR_MS, start_ms=T0 + 78 * HOUR_MS)
    assert archive.pull().exit_code == 0
    archive.backfill(T0 + 10 * HOUR_MS)
    assert 0 <= archive.from_ms - (T0 + 56 * HOUR_MS) < NODES_MS
    holes = archive.holes()
    assert (holes[0][0], holes[-1][1]) == (T0 + 10 * HOUR_MS, archive.from_ms)
    assert {state for *_, state in holes} == {"expired"}
    assert archive.truth(archive.from_ms, T0 + 79 * HOUR_MS) <= archive.stored()


def test_a_restored_backup_that_is_older_than_the_retention(sqlite_template: Path, tmp_path: Path) -> None:
    """What was pulled after the backup is lost with the database, and at the provider by now."""
    path, backup = tmp_path / "archive.db", tmp_path / "backup.db"
    shutil.copy(sqlite_template, path)
    nature, records = Nature(eager_end=True, retention_ms=KEPT), every_ten_minutes(100)
    database = Database("sqlite", f"sqlite:///{path}")
    first = pages_archive(database, records, now_ms=T0 + 6 * HOUR_MS, nature=nature, retention_ms=KEPT)
    assert first.pull().exit_code == 0
    before_ms = first.until_ms
    with sqlite3.connect(path) as live, sqlite3.connect(backup) as copy:
        live.backup(copy)
    live.close()
    copy.close()
    assert first.pull_until(T0 + 80 * HOUR_MS, 8 * HOUR_MS) == 0
    assert first.holes() == []
    first.store.dispose()
    database = Database("sqlite", f"sqlite:///{backup}")
    restored = pages_archive(database, records, now_ms=T0 + 80 * HOUR_MS, nature=nature, retention_ms=KEPT)
    assert restored.pull().exit_code == 3
    lost_to_the_outage(restored, before_ms, T0 + 56 * HOUR_MS)
    restored.store.dispose()


def test_rows_that_expire_during_a_long_walk_are_not_claimed(make_pages: Make) -> None:
    """The walk began while all was there; its later pages came when the first rows of the range were dropped."""
    archive = make(make_pages, 40, now_ms=T0 + KEPT - MINUTE_MS, page_size=10)
    walked = 0

    def slow() -> None:
        nonlocal walked
        walked += 1
        archive.clock.now_ms += 20 * MINUTE_MS if walked > 1 else 0

    archive.provider.meanwhile = slow
    archive.pull()
    archive.provider.meanwhile = lambda: None
    holes = archive.holes()
    assert holes
    assert {state for *_, state in holes} == {"expired"}, "what a dropped row may have lain in is listed"


@pytest.mark.full
@pytest.mark.parametrize("beyond", ["404", "400", "lost"])
def test_an_hour_beyond_the_retention_is_lost_whatever_is_said_of_it(make_hours: Make, beyond: str) -> None:
    """The service may know no file, or give a link to one that storage has dropped: neither means an empty hour."""
    nature = HourNature(retention_ms=KEPT, beyond=beyond)
    records = [filed(nature, number, T0 + number * HOUR_MS + 20 * MINUTE_MS) for number in range(60)]
    archive = make_hours(records, now_ms=T0 + 8 * HOUR_MS, nature=nature)
    assert archive.pull().exit_code == 0
    before_ms = archive.until_ms
    archive.clock.now_ms = T0 + 48 * HOUR_MS + 5 * MINUTE_MS
    assert archive.pull().exit_code == 3
    assert archive.pull_each(HOUR_MS, 3) == [3, 3, 3]
    assert archive.until_ms <= before_ms
    lost = archive.states()["expired"]
    assert 18 <= lost <= 22
    assert archive.states()["presumed_empty"] == 0
    whole = archive.accept_all()
    assert archive.pull().exit_code == 0
    assert archive.until_ms >= T0 + 46 * HOUR_MS
    assert archive.truth(whole.hi_ms, archive.until_ms) <= archive.stored()


@pytest.mark.full
@pytest.mark.parametrize("beyond", ["404", "400", "lost"])
def test_a_file_that_could_never_be_read_is_lost_once_it_is_dropped(make_hours: Make, beyond: str) -> None:
    damaged = T0 + 4 * HOUR_MS
    nature = HourNature(retention_ms=12 * HOUR_MS, beyond=beyond, spoilt={damaged: "damaged"})
    records = [filed(nature, number, T0 + number * HOUR_MS + 20 * MINUTE_MS) for number in range(40)]
    archive = make_hours(records, now_ms=T0 + 8 * HOUR_MS, nature=nature)
    archive.pull()
    assert archive.pull_until(T0 + 20 * HOUR_MS) == 3
    holes = archive.holes()
    assert holes[0][0] <= damaged < damaged + HOUR_MS <= holes[-1][1]
    assert archive.until_ms <= damaged
    archive.accept_all()
    assert archive.pull().exit_code == 0
    assert archive.until_ms > T0 + 14 * HOUR_MS
    assert archive.truth(holes[-1][1], archive.until_ms) <= archive.stored()


@pytest.mark.full
def test_a_shorter_retention_than_before_loses_nothing_that_was_archived(make_pages: Make) -> None:
    archive = make(make_pages, 60, now_ms=T0 + 20 * HOUR_MS)
    assert archive.pull().exit_code == 0
    archive.configure(retention_ms=2 * HOUR_MS)
    assert archive.pull_each(HOUR_MS, 5) == [0] * 5
    assert archive.holes() == []
    assert archive.from_ms == T0
    assert archive.audit(T0, T0 + 5 * HOUR_MS).exit_code == 3, "by what is configured nobody keeps that any more"
    archive.configure(retention_ms=3 * DAY_MS)
    assert archive.pull().exit_code == 0
    assert archive.holes() == []
