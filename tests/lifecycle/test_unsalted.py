"""Hashes without salt are emptied when the longest audit is over, and not before; nothing else asked for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Event

import psycopg
import pytest
import sqlalchemy as sa

from archiver.lifecycle import unsalted as emptying
from archiver.lifecycle.unsalted import Emptied
from archiver.sources.easemob.hours import hour_name
from archiver.store import installation, pages, unsalted, watermarks, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.schema import pages as page_rows
from archiver.store.schema import windows as window_rows
from tests.export.samples import said
from tests.fixtures.archive import Archive, MakeSimulated, check_sums
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed, page_of, record
from tests.flow.test_hourly import HOUR, make
from tests.lifecycle.conftest import Persons
from tests.lifecycle.erasing import IDS, TEXT, again, requested, speaking
from tests.lifecycle.test_erase_faults import guessed
from tests.postgres import migrated

LEFT = "SELECT count(*) FROM pages WHERE sha256 <> ''"
DAY = 86_400_000


def deleting(archive: Archive) -> None:
    """Configure deletion, as its operator does."""
    archive.sections += "\n[lifecycle]\n"
    archive.write_config()
    assert archive("migrate") == 0


def kept_and_over(archive: Archive) -> tuple[int, int]:
    """Pages with a hash: of windows behind the longest audit, and of those that it has passed."""
    joined = "SELECT w.id FROM windows w JOIN watermarks m ON m.source = w.source"
    counted = f"{LEFT} AND window_id IN ({joined} WHERE w.hi_ms"
    until = "CASE WHEN m.audited_pass IS NULL THEN m.complete_until_ms ELSE m.audited_until_ms END)"
    return archive.database.value(f"{counted} > {until}"), archive.database.value(f"{counted} <= {until}")


@pytest.mark.parametrize("audits", [["1h"], []], ids=["audited", "never audited"])
def test_a_pull_empties_them_when_the_longest_audit_is_over_and_not_before(archive: Archive, audits: list[str]) -> None:
    assert archive("pull", audits=audits) == 0
    before = archive.database.value(LEFT)
    assert before == archive.count("pages")
    archive.settings["audits"] = audits
    deleting(archive)
    assert archive("pull") == 0
    kept, over = kept_and_over(archive)
    assert over == 0
    assert kept > 0 if audits else kept == 0
    start = archive.server.start_ms
    assert archive("audit", "--from", str(start), "--to", str(start + DAY)) == 0, "what is audited again is known"
    assert archive.count("message_revisions") == 0
    assert kept_and_over(archive)[1] > 0
    assert archive("pull") == 0
    assert kept_and_over(archive)[1] == 0


@pytest.mark.parametrize("section", ["", "[lifecycle]\ndeletion = false\n"])
def test_where_nothing_is_deleted_hashes_stay(archive: Archive, section: str) -> None:
    archive.sections = section
    archive.write_config()
    assert archive("migrate") == 0
    assert archive("pull") == 0
    assert archive.database.value(LEFT) == archive.count("pages") > 0


def test_with_a_ledger_a_page_keeps_its_hash_until_it_is_sealed(archive: Archive, place: Path) -> None:
    assert archive("pull") == 0
    older = archive.count("pages")
    archive.sections = (
        f'[evidence]\nname = "a.example/x"\nkey_file = "{place}/key"\nstate_file = "{place}/state"\n'
        f'[lifecycle]\nerasures_file = "{place}/erasures"\n'
    )
    archive.write_config()
    assert archive("migrate") == 0
    assert archive("evidence", "init", "--keeper", "audit", "--output", str(place / "vkey")) == 0
    start = archive.server.start_ms
    assert archive("audit", "--from", str(start), "--to", str(start + DAY)) == 0
    assert archive("pull") == 0
    assert archive.count("pages") > older
    assert archive.database.value(LEFT) == older, "what was there before the ledger waits for the baseline"
    assert archive("evidence", "baseline") == 0, archive.errors
    assert archive("pull") == 0
    assert archive.database.value(LEFT) == 0
    assert archive("evidence", "seal") == 0
    assert archive("evidence", "verify") == 0, archive.output
    assert archive("evidence", "baseline") == 0
    assert archive("status") == 0


@pytest.mark.full
def test_hours_and_those_that_are_presumed_empty_ask_whether_there_was_a_file(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=10, age=26, messages=100, audits=["30h"])
    with archive.store.write() as tx:
        installation.begin(tx, deletion=True)
    missing = archive.server.start_ms + 7 * HOUR
    archive.server.faults.hour_unstored = hour_name(missing, 8 * HOUR)
    files = 0
    for _ in range(12):
        archive.pull()
        files += emptying.empty(archive.store, sealed=False, stop=Event()).files
        archive.clock.now_ms += 4 * HOUR
    assert "presumed_empty" in archive.states()
    hashed = "SELECT count(*) FROM windows WHERE file_sha256"
    assert files == archive.database.value(f"{hashed} = ''") >= 10
    assert archive.status()["complete_until_ms"] > missing + HOUR
    behind = f"{hashed} <> '' AND hi_ms <= (SELECT audited_until_ms FROM watermarks)"
    assert archive.database.value(behind) == 0
    assert archive.served() - archive.stored() == {
        row.msg_id for row in archive.server.records if missing <= row.timestamp_ms < missing + HOUR
    }


@pytest.fixture
def paged(store: Store, key: SourceKey) -> Store:
    """A closed window of 7 pages with a message each, in an archive that deletes."""
    claim = claimed(store, key)
    for number in range(7):
        with store.write(lock="shared") as tx:
            pages.insert(windows.hold(tx, claim), [page_of(record(f"m{number}", f"text {number}"))], ORIGIN)
    with store.write() as tx:
        locked = watermarks.lock(tx, key)
        windows.close(windows.hold(tx, claim), by_order=False)
        watermarks.move(tx, key, locked)
        installation.begin(tx, deletion=True)
    return store


def hashed(store: Store) -> list[int]:
    with store.read() as tx:
        return list(tx.conn.scalars(sa.select(page_rows.c.id).where(page_rows.c.sha256 != "").order_by(page_rows.c.id)))


def test_it_goes_on_where_it_was_and_begins_anew_behind_the_end(paged: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsalted, "AT_ONCE", 2)
    ids, stop = hashed(paged), Event()
    for left, emptied in ((ids[4:], 4), ([], 3), ([], 0)):
        done = emptying.empty(paged, sealed=False, stop=stop, most=2)
        assert (hashed(paged), done) == (left, Emptied(emptied, 0))
    with paged.read() as tx:
        assert unsalted.stands_at(tx) == 0


def test_nobody_who_pulls_waits_for_it(paged: Store, database: Database) -> None:
    """Another process holds the rows, and the window of a walk; on SQLite it is a transaction like any other."""
    if database.kind == "sqlite":
        assert emptying.empty(paged, sealed=False, stop=Event()) == Emptied(7, 0)
        return
    with psycopg.connect(database.url) as other:
        other.execute("SELECT id FROM pages WHERE id % 2 = 0 FOR UPDATE")
        other.execute("SELECT id FROM windows FOR UPDATE")
        held = [number for number in hashed(paged) if number % 2 == 0]
        emptying.empty(paged, sealed=False, stop=Event())
        assert hashed(paged) == held
    emptying.empty(paged, sealed=False, stop=Event())
    assert hashed(paged) == []


def test_windows_that_are_open_keep_theirs_for_a_month(paged: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last windows of a source that is given up are never audited."""
    with paged.write() as tx:
        tx.conn.execute(window_rows.update().values(state="pending", file_sha256="ab", file_seen_at=tx.now_ms()))
    assert emptying.empty(paged, sealed=False, stop=Event()) == Emptied(0, 0)
    now_ms = Tx.now_ms
    monkeypatch.setattr(Tx, "now_ms", lambda tx: now_ms(tx) + 31 * DAY)
    assert emptying.empty(paged, sealed=False, stop=Event()) == Emptied(7, 1)


@pytest.mark.full
def test_a_copy_that_was_begun_before_goes_on_behind_it(archive: Archive, tmp_path: Path) -> None:
    assert archive("pull") == 0
    target = f"sqlite:///{tmp_path}/target.db"
    migrated(target)
    assert archive("copy", "--to", target) == 0
    deleting(archive)
    assert archive("pull") == 0
    assert archive.database.value(LEFT) == 0
    assert archive("copy", "--to", target) == 0, archive.errors
    copied = Database("sqlite", target)
    assert copied.value(LEFT) == 0
    check_sums(copied)


def page_hash(archive: Archive, lo_ms: int, hi_ms: int) -> str:
    """The hash of a page with all that the provider offers of a range, as anybody can make it who has that."""
    offered = [row for row in archive.server.records if lo_ms <= row.timestamp_ms < hi_ms]
    offered.sort(key=lambda row: row.timestamp_ms)
    return hashlib.sha256(b"".join(row.raw for row in offered)).hexdigest()


def test_no_hash_tells_of_a_text_that_the_provider_still_offers(persons: Persons) -> None:
    """Behind an erasure every walk brings the message again: whoever has its neighbours could guess its text."""
    archive, database = persons.archive, persons.archive.database
    start = speaking(archive)
    ranges = {"erased": (start, start + 60_000)}
    last = max(row.timestamp_ms for row in archive.server.records)
    ranges["others"] = (last - HOUR, last + 1)

    def walked() -> set[str]:
        for lo_ms, hi_ms in ranges.values():
            assert archive("audit", "--from", str(lo_ms), "--to", str(hi_ms)) in (0, 3), archive.errors
        return {row[0] for row in database.rows("SELECT sha256 FROM pages")}

    assert {page_hash(archive, *limits) for limits in ranges.values()} <= walked(), "that is how it is made"
    number = requested(persons)
    assert archive("erase", "run", number) == 0
    left = walked()
    assert page_hash(archive, *ranges["erased"]) not in left
    assert page_hash(archive, *ranges["others"]) in left, "what holds nothing of it keeps its hash until the audit"


@pytest.mark.full
def test_a_page_that_was_emptied_in_time_tells_no_guess_from_another(persons: Persons) -> None:
    """Whatever goes of it later, and whoever kept its other records."""
    archive, database = persons.archive, persons.archive.database
    start = archive.server.start_ms
    people = {"from": "erased-1", "to": "erased-2"}
    archive.server.add(said(IDS[0], TEXT, start + 1, **people) | people, visible_ms=0)
    archive.server.add(said("beside", "a neighbour", start + 2), visible_ms=0)
    again(archive)
    rows = database.rows(f"SELECT page_id, raw FROM messages WHERE msg_id = '{IDS[0]}'")
    page_id, erased = rows[0][0], bytes(rows[0][1])
    offered = [row for row in archive.server.records if start <= row.timestamp_ms < start + 60_000]
    records = [row.raw for row in sorted(offered, key=lambda row: row.timestamp_ms)]
    (hashed_as,) = database.rows(f"SELECT sha256 FROM pages WHERE id = {page_id}")[0]
    guesses = [f"my number is 1101011990{number:08}" for number in range(2_000)] + [TEXT]
    assert guessed(archive, {page_id: records}, erased, guesses) == [TEXT], "the control: until then it tells"
    persons.operate()
    assert archive("migrate") == 0
    assert archive("pull") == 0
    assert guessed(archive, {page_id: records}, erased, guesses) == []
    number = requested(persons)
    assert archive("erase", "run", number) == 0
    assert guessed(archive, {page_id: records}, erased, guesses) == []
    assert hashed_as not in {row[0] for row in database.rows("SELECT sha256 FROM pages")}
