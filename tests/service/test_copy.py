"""`copy`: from one kind of database to the other, and nothing is lost on the way."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import event

from archiver import copy, search
from archiver.errors import Stopped
from archiver.sources.easemob import decode
from archiver.store import decisions, holds
from archiver.store.admin.copy import TABLES
from archiver.store.engine import Store
from archiver.store.holds import HoldCriteria, HoldRow
from archiver.store.read.filters import Filter
from archiver.store.schema import iso, retention_terms
from tests.fixtures.archive import DAY, Archive, MakeArchive, check_sums
from tests.fixtures.databases import Database
from tests.fixtures.service import opened
from tests.fixtures.store import open_database

pytestmark = pytest.mark.one_server("what is copied here has holds, of which a distributed archive has none")

ROOT = Path(__file__).parents[2]
WEIRD = (
    b'{"msg_id":"n%d","timestamp":%d,"from":"a","to":"b","chat_type":"chat","payload":{"bodies":[{"type":"txt","msg":"x"}],'
    b'"ext":{"n":1.0,"big":12345678901234567890.5,"e":1e3,"z":-0,"\xe4\xbd\xa0":["\\u0000",{"b":1,"a":[2.50,true,null]}]}}}'
)


@pytest.fixture(params=[pytest.param("to PostgreSQL", marks=pytest.mark.full), "to SQLite"])
def pair(request: pytest.FixtureRequest, both: Sequence[Database]) -> tuple[Database, Database]:
    sqlite, postgres = both
    return (sqlite, postgres) if request.param == "to PostgreSQL" else (postgres, sqlite)


@pytest.fixture
def filled(pair: tuple[Database, Database], make_archive: MakeArchive) -> Archive:
    """With revisions, quarantine, late arrivals, odd JSON and every kind of run."""
    archive = make_archive(pair[0], messages=300)
    at = archive.server.start_ms
    for number, line in enumerate((ROOT / "tests/corpus/records.txt").read_text().splitlines()):
        if line.startswith("{") and len(line) < 2_000:
            archive.server.add(line.encode("utf-8", "surrogateescape"), at + number)
    for number in range(3):
        archive.server.add(WEIRD % (number, at + number))
    archive("pull")
    archive.server.add({"msg_id": "late", "timestamp": at + 5, "from": "a", "to": "b", "chat_type": "chat"})
    archive.server.add({"timestamp": at + 6})
    edited = {"type": "txt", "msg": "edited", "was": {"n": 1.0}}
    archive.server.add({"msg_id": "late", "timestamp": at + 7, "payload": {"bodies": [edited]}})
    archive("audit", "--from", str(iso(at)), "--to", str(iso(at + DAY)))
    plain = archive.config.read_text()
    archive.config.write_text("[review]\n" + plain)
    archive("search", "x", "--limit", "3")
    archive.config.write_text(plain)
    store = open_database(pair[0])
    _decide(store)
    store.dispose()
    return archive


def _decide(store: Store) -> None:
    """A hold that was released by two, a list, and terms that two have shortened."""
    with store.write() as tx:
        if tx.postgres:  # two persons who are no logins here
            tx.conn.exec_driver_sql("SET LOCAL archiver.copying = 'on'")
        row = HoldRow(1, "x", "placed", "K7", "a letter", "alice")
        holds.place(tx, row, HoldCriteria(participant="a"))
        holds.place(tx, row._replace(event="widened"), HoldCriteria(Filter("sandbox"), ids=("late", "other")))
        terms = {"app_id": 1, "reason": "law", "who": "alice", "at": tx.now_ms()}
        tx.conn.execute(retention_terms.insert().inline(), terms | {"keep_at_least": "5y"})
        shorter = {"app_id": 1, "keep_at_least": "3y", "keep_at_most": None}
        before = {"keep_at_least": "5y", "keep_at_most": None}
        for kind, body in (("hold-release", {"hold": 1}), ("shorten", shorter | {"before": before})):
            number = decisions.add(tx, kind, body, "alice")
            decisions.decide(tx, decisions.read(tx, number)[0], "approved", "bob")
        holds.release(tx, row._replace(event="released", who="bob"), 1, tx.now_ms())
        tx.conn.execute(retention_terms.insert().inline(), terms | {"keep_at_least": "3y", "request_id": 2})


def counts(database: Database) -> dict[str, int]:
    return {table.name: database.value(f"SELECT count(*) FROM {table.name}") for table in TABLES}


@pytest.mark.full
def test_a_copy_is_noted_as_a_look_at_everything(filled: Archive, pair: tuple[Database, Database]) -> None:
    source, target = pair
    filled.config.write_text("[review]\nrequire_case = true\n" + filled.config.read_text())
    assert filled("copy", "--to", target.url) == 2
    assert filled("copy", "--to", target.url, "--case", "K 7", "--reason", "a new server") == 0
    begun, done = source.rows("SELECT outcome, format, case_id, messages, manifest_sha256 FROM audit_log ORDER BY id")
    assert begun == ("begun", "copy", "K 7", 0, None)
    assert done[:4] == ("done", "copy", "K 7", source.value("SELECT count(*) FROM messages"))
    assert len(done[4]) == 64
    by_officer = source.rows("SELECT action, looks FROM looks_by_officer ORDER BY action")
    assert by_officer == [("copy", 1), ("search", 1)]
    assert source.rows("SELECT login FROM looks") == target.rows("SELECT login FROM looks"), "of who looked, not copied"


def test_a_copy_is_whole_and_goes_on_pulling(
    filled: Archive, pair: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    # So that bodies of one message lie on both sides of a batch's end.
    monkeypatch.setattr("archiver.store.admin.copy._ROWS", 7)
    assert filled("copy", "--to", target.url) == 0
    assert "both databases hold the same" in filled.output
    assert counts(source) == counts(target)
    for table in ("revision_bodies", "hold_events", "hold_conversations", "hold_items", "retention_terms"):
        assert counts(target)[table] > 0
    assert target.rows("SELECT who, decision FROM approvals") == [("bob", "approved"), ("bob", "approved")]
    before = filled.status()
    raw = "SELECT msg_id, raw FROM messages ORDER BY msg_id"
    assert {row[0]: bytes(row[1]) for row in source.rows(raw)} == {row[0]: bytes(row[1]) for row in target.rows(raw)}
    filled.database = target
    filled.write_config()
    after = filled.status()
    for key in ("complete_until_ms", "messages", "late_arrivals", "quarantined", "requests", "holes"):
        assert after[key] == before[key], key
    filled.server.add(
        {"msg_id": "new", "timestamp": filled.server.now_ms() - 200_000, "from": "a", "chat_type": "chat"}
    )
    assert filled("pull", settle="1s") == 0
    check_sums(target)
    assert filled("index") == 0, "what is derived is made anew"


@pytest.mark.full
def test_what_the_source_has_no_more_is_taken_out(filled: Archive, pair: tuple[Database, Database]) -> None:
    source, target = pair
    for name in ("gone", "stays"):
        source.run(f"INSERT INTO rate_budgets (rate_group) VALUES ('{name}')")
    assert filled("copy", "--to", target.url) == 0
    source.run("DELETE FROM rate_budgets WHERE rate_group = 'gone'")
    assert filled("copy", "--to", target.url) == 0
    groups = "SELECT rate_group FROM rate_budgets"
    left = sorted(target.rows(groups))
    assert left == sorted(source.rows(groups))
    assert ("stays",) in left


@pytest.mark.full
def test_what_was_requeued_is_found_in_the_copy(
    filled: Archive, pair: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a page that brought nothing, and so is not queued by itself: the copy takes it in as it is, resolved."""
    start_ms = filled.server.start_ms
    needle = b'{"msg_id":"again","timestamp":"1e3","payload":{"bodies":[{"type":"txt","msg":"needle"}]}}'
    filled.server.add(needle, timestamp_ms=start_ms + 1000, visible_ms=0)
    filled("audit", "--from", str(iso(start_ms)), "--to", str(iso(start_ms + DAY)))
    plain = decode._timestamp_ms
    # A later program can read this one.
    monkeypatch.setattr(decode, "_timestamp_ms", lambda value: 1000 if value == "1e3" else plain(value))
    assert filled("quarantine", "requeue") == 0
    assert filled("copy", "--to", pair[1].url) == 0
    filled.database = pair[1]
    filled.write_config()
    for _ in range(2):
        assert filled("search", "needle", "--format", "jsonl") == 0
        assert '"again"' in filled.output, "the index lacks it, and it is read all the same; or the index has it"
        assert filled("index") == 0


def index(store: Store) -> None:
    search.index(store)


@pytest.mark.full
def test_an_index_that_is_made_meanwhile_lacks_nothing_at_the_end(
    filled: Archive, pair: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archiver.store.admin.copy._ROWS", 50)
    with opened(pair[0]) as ours, opened(pair[1]) as theirs:
        copy.prepare(ours, theirs)
        copy.copy(ours, theirs, stop=Event(), on_batch=lambda *_: index(theirs))
        index(ours)
        index(theirs)
    texts = "SELECT msg_id, revision, position, part FROM search_texts ORDER BY 1, 2, 3, 4"
    assert pair[0].rows(texts) == pair[1].rows(texts)


@pytest.mark.full
def test_neither_side_waits_while_the_other_is_read(filled: Archive, pair: tuple[Database, Database]) -> None:
    """A server ends a transaction that does nothing for a while: what writes never does, and a comparison neither."""
    server = next(one for one in pair if one.kind == "postgresql")
    idle = "FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    seen: list[tuple[int, int]] = []

    def look(*_: object) -> None:
        seen.append((server.value(f"SELECT count(*) {idle}"), server.value(f"SELECT count(backend_xid) {idle}")))

    with opened(pair[0]) as ours, opened(pair[1]) as theirs:
        event.listen((theirs if server is pair[0] else ours).engine, "before_cursor_execute", look)
        copy.prepare(ours, theirs)
        seen.clear()
        copy.copy(ours, theirs, stop=Event(), on_batch=lambda *_: None)
        assert {writing for _, writing in seen} == {0}
        seen.clear()
        assert all(one.same for one in copy.compare(ours, theirs))
        assert set(seen) == {(0, 0)}


@pytest.mark.full
def test_a_copy_that_was_stopped_goes_on_and_follows_what_changed(
    filled: Archive, pair: tuple[Database, Database]
) -> None:
    source, target = pair
    stop = Event()
    with opened(source) as ours, opened(target) as theirs:
        copy.prepare(ours, theirs)
        with pytest.raises(Stopped):
            copy.copy(ours, theirs, stop=stop, on_batch=lambda table, _: stop.set() if table == "messages" else None)
    assert filled("copy", "--to", target.url, "--compare-only") == 3
    assert "DIFFERENT" in filled.output
    assert filled("copy", "--to", target.url) == 0
    filled.server.add({"msg_id": "!", "timestamp": filled.server.start_ms + 9, "from": "a", "to": "b"})
    day = ["--from", str(iso(filled.server.start_ms)), "--to", str(iso(filled.server.start_ms + DAY))]
    filled("audit", *day)
    assert filled("copy", "--to", target.url, "--compare-only") == 3
    assert filled("copy", "--to", target.url) == 0
    assert counts(source) == counts(target)
    check_sums(target)


@pytest.mark.full
def test_a_difference_is_found(filled: Archive, pair: tuple[Database, Database]) -> None:
    assert filled("copy", "--to", pair[1].url) == 0
    pair[1].alter("UPDATE messages SET sender = 'mallory' WHERE msg_id = 'late'")
    assert filled("copy", "--to", pair[1].url, "--compare-only") == 3
    assert filled("copy", "--to", pair[1].url) == 3
    assert "holds other rows under the same keys" in filled.errors


@pytest.mark.full
def test_another_archive_is_never_written_into(filled: Archive, pair: tuple[Database, Database]) -> None:
    pair[1].run("INSERT INTO apps (id, name, created_at) VALUES (7, 'else#where', '2026-11-01T00:00:00.000Z')")
    assert filled("copy", "--to", pair[1].url) == 2
    assert "else#where" in filled.errors
    assert filled("copy", "--to", filled.database.url) == 2
    assert filled("copy", "--to", "mysql://x") == 2


@pytest.mark.full
def test_into_an_empty_database(empty_database: Database, sqlite_archive: Archive) -> None:
    assert sqlite_archive("copy", "--to", empty_database.url) == 0
    assert empty_database.value("SELECT count(*) FROM messages") == 20


@pytest.fixture
def sqlite_archive(sqlite_template: Path, tmp_path: Path, make_archive: MakeArchive) -> Archive:
    shutil.copy(sqlite_template, tmp_path / "source.db")
    archive = make_archive(Database("sqlite", f"sqlite:///{tmp_path / 'source.db'}"), name="source", messages=20)
    archive("pull")
    return archive
