"""Servers that do not do what they should: nothing is lost, nothing closes by mistake, requests stay bounded."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest

from archiver.sandbox import Faults
from archiver.store.schema import iso
from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database

FULL = pytest.mark.full
# Not here: a list cut silently in no order at all. What it withholds cannot be known from this server alone, and
# docs/proof.md says that it is not promised.
MISBEHAVIOUR = (
    "order_ignored",
    "always_descending",
    "truncate_after=60",
    "always_descending truncate_after=60",
    "dead_cursor=0.3",
    "dead_cursor=1",
    "loop_cursor=0.2",
    "lost_cursor=0.2",
    "repeat_pages=0.2",
    "empty_pages=0.3",
    "short_pages=0.5",
    "duplicate_rows=0.5",
    "outside_rows=0.5",
    "limit_ignored=10",
    "day_ahead=0.2",
    "clock_jitter_ms=3000",
    "timestamp_missing",
    "html_200=0.2",
    "cut_json=0.2",
    "empty_entities_missing=0.2",
    "http_500=0.2 reset=0.1",
    "last_cursor=empty",
    "lower_only",
)


def stored(archive: Archive) -> set[str]:
    return {row[0] for row in archive.database.rows("SELECT msg_id FROM messages")}


def claim_is_true(archive: Archive) -> None:
    status = archive.status()
    low, high = status["complete_from_ms"], status["complete_until_ms"]
    claimed = {row.msg_id for row in archive.server.records if low <= row.timestamp_ms < high}
    assert claimed <= stored(archive)


@pytest.mark.parametrize("faults", [*MISBEHAVIOUR[:3], *(pytest.param(each, marks=FULL) for each in MISBEHAVIOUR[3:])])
def test_nothing_is_lost(database: Database, make_archive: MakeArchive, faults: str) -> None:
    archive = make_archive(database, messages=400, span_ms=DAY)
    archive.server.faults = Faults.parse([*faults.split(), "only=/chatmessages"])
    dialect = "lower_only" if "lower_only" in faults else "both"
    for _ in range(12):
        code = archive("pull", page_size=20, dialect=dialect)
        claim_is_true(archive)
        if code == 0:
            break
        assert code in (75, 3), archive.errors
    assert archive.pages_asked() < 1500
    archive.server.faults = Faults.parse(["lower_only"] if dialect == "lower_only" else [])
    assert archive("pull", "--retry-stuck", page_size=20, dialect=dialect) == 0, archive.errors
    assert stored(archive) == {row.msg_id for row in archive.server.records}
    archive.check_sums()


@pytest.mark.full
def test_an_order_that_proves_false_is_not_trusted_until_it_was_good_for_long(archive: Archive) -> None:
    archive.server.faults.always_descending = True
    assert archive("pull", page_size=20) == 0
    assert archive.status()["order_trusted"] is False
    assert stored(archive) == {row.msg_id for row in archive.server.records}
    archive.server.faults.always_descending = False
    archive("pull")
    assert archive.status()["order_trusted"] is False


def test_a_clock_a_day_ahead_closes_nothing_early(archive: Archive) -> None:
    archive.server.faults.clock_offset_ms = DAY
    now = archive.server.true_ms()
    assert archive("pull") == 0
    assert "clock" in archive.errors
    assert archive.status()["complete_until_ms"] <= now + 60_000


@pytest.mark.full
def test_a_single_millisecond_that_cannot_be_walked_holds_up_no_other_window(
    database: Database, make_archive: MakeArchive
) -> None:
    """More rows in one millisecond than a page holds, on a server whose cursors are all dead."""
    archive = make_archive(database, messages=100, span_ms=DAY)
    middle = archive.server.start_ms + DAY // 2
    for at in range(30):
        crowd = {"msg_id": f"crowd-{at}", "timestamp": middle, "from": "a", "to": "b", "chat_type": "chat"}
        archive.server.add(crowd, visible_ms=0)
    archive.server.faults = Faults.parse(["dead_cursor=1", "only=/chatmessages"])
    for _ in range(6):
        code = archive("pull", page_size=20)
    assert code == 3
    (hole,) = archive.status()["holes"]
    assert (hole["lo_ms"], hole["hi_ms"], hole["state"]) == (middle, middle + 1, "stuck")
    others = {row.msg_id for row in archive.server.records if row.timestamp_ms != middle}
    assert others <= stored(archive)
    assert archive.pages_asked() < 1500
    archive.server.faults = Faults()
    assert archive("pull", "--retry-stuck", page_size=20) == 0
    assert stored(archive) == {row.msg_id for row in archive.server.records}


@pytest.mark.full
def test_a_burst_is_cut_so_that_no_walk_grows_long(database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(database, messages=200, span_ms=10 * DAY)
    burst = archive.server.start_ms + 5 * DAY
    for at in range(3000):
        row = {"msg_id": f"burst-{at}", "timestamp": burst + at * 100, "from": "a", "to": "b", "chat_type": "chat"}
        archive.server.add(row, visible_ms=0)
    assert archive("pull", page_size=20) == 0
    assert stored(archive) == {row.msg_id for row in archive.server.records}
    assert int(archive.database.value("SELECT max(pages) FROM windows")) <= 22
    assert archive.pages_asked() < 250
    archive.check_sums()


@pytest.mark.full
def test_several_workers_walk_at_once(database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(database, messages=600, span_ms=60 * DAY)
    assert archive("pull", workers=4, page_size=50) == 0
    assert stored(archive) == {row.msg_id for row in archive.server.records}
    archive.check_sums()


@pytest.mark.full
def test_a_restored_backup_heals_itself(database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(database, messages=300, span_ms=2 * DAY)
    half = archive.server.start_ms + DAY
    early = {row.msg_id for row in archive.server.records if row.timestamp_ms < half}
    assert archive("pull") == 0
    # As a dump of yesterday: rows and claim of the second day are gone together.
    for table in ("attachments", "late_arrivals", "message_revisions", "message_bodies"):
        archive.database.alter(
            f"DELETE FROM {table} WHERE msg_id IN (SELECT msg_id FROM messages WHERE timestamp_ms >= {half})"
        )
    archive.database.alter(f"DELETE FROM messages WHERE timestamp_ms >= {half}")
    archive.database.run(f"DELETE FROM pages WHERE window_id IN (SELECT id FROM windows WHERE lo_ms >= {half})")
    archive.database.run(f"DELETE FROM windows WHERE lo_ms >= {half}")
    archive.database.run(f"UPDATE watermarks SET complete_until_ms = {half}")
    assert stored(archive) == early
    assert archive("pull") == 0
    assert stored(archive) == {row.msg_id for row in archive.server.records}
    assert archive.status()["late_arrivals"] == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # a server's disk is its operator's to watch
def test_a_disk_that_is_nearly_full_stops_claims(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage(10**10, 10**10, 10**6))
        assert archive("pull") == 75
    assert "MiB are free" in archive.errors
    assert archive.count("messages") == 0
    assert archive("pull") == 0


def test_coverage_names_every_window(archive: Archive) -> None:
    archive("pull")
    assert archive("coverage") == 0
    assert "closed" in archive.output
    assert str(iso(archive.server.start_ms))[:10] in archive.output
