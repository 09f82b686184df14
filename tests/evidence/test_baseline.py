"""What was stored before there was a ledger: not sealed yet, then sealed by the baseline, and from then on guarded."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event

import pytest

from archiver.config import load
from archiver.errors import Stopped
from archiver.evidence import baseline, sinks
from archiver.evidence.scrub import ScrubJob
from archiver.sources import decode
from archiver.store import scrubs
from archiver.store.engine import open_store
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.evidence import NAME


@pytest.fixture
def older(database: Database, make_archive: MakeArchive, tmp_path: Path) -> Archive:
    """An archive that was filled before its ledger began: with quarantine, revisions and an export."""
    archive = make_archive(database, messages=120)
    start = archive.server.start_ms
    archive.server.add(b'{"broken": 1}', timestamp_ms=start + 1000, visible_ms=0)
    assert archive("pull", page_size=20, audits=["1h"]) == 0
    edited = {"msg_id": "late", "timestamp": start + 5, "from": "a", "to": "b", "chat_type": "chat"}
    archive.server.add(edited, visible_ms=0)
    archive("audit", "--from", str(start), "--to", str(start + 3_600_000))
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "out")) == 0
    place = tmp_path / "keys"
    place.mkdir()
    archive.sections = f'[evidence]\nname = "{NAME}"\nkey_file = "{place}/key"\nstate_file = "{place}/state"\n'
    archive.write_config(page_size=20, audits=["1h"])
    assert archive("evidence", "init", "--keeper", "internal audit") == 0
    return archive


def findings(archive: Archive) -> dict[str, object]:
    archive("evidence", "verify", "--format", "json")
    found: dict[str, object] = json.loads(archive.output)
    return found


@pytest.mark.full
def test_what_is_older_than_the_ledger_is_sealed_by_the_baseline(older: Archive) -> None:
    before = findings(older)
    assert (before["differences"], list(before["classes"])) == (0, ["not sealed yet"])  # type: ignore[call-overload]
    rows = older.database.rows("SELECT * FROM messages ORDER BY msg_id")
    assert older("evidence", "baseline") == 0
    assert older.database.rows("SELECT * FROM messages ORDER BY msg_id") == rows, "no message is touched"
    after = findings(older)
    assert (after["differences"], after["classes"]) == (0, {}), after
    assert older("evidence", "baseline") == 0
    assert "already" in older.output
    older.server.add({"msg_id": "new", "timestamp": older.server.now_ms() - 200_000, "from": "a"})
    assert older("pull", settle="1s") == 0
    assert findings(older)["differences"] == 0
    older.database.alter("UPDATE messages SET sender = 'mallory' WHERE msg_id = (SELECT min(msg_id) FROM messages)")
    assert older("evidence", "verify") == 3


@pytest.mark.full
def test_a_page_that_was_changed_before_the_baseline_is_named_by_it(older: Archive) -> None:
    (page,) = older.database.rows("SELECT min(id) FROM pages WHERE received = new AND received > 1")[0]
    first = f"(SELECT min(msg_id) FROM messages WHERE page_id = {page})"
    older.database.run(f"DELETE FROM attachments WHERE msg_id = {first}")
    older.database.run(f"DELETE FROM search_texts WHERE msg_id = {first}")
    older.database.alter(f"DELETE FROM message_bodies WHERE msg_id = {first}")
    older.database.alter(f"DELETE FROM messages WHERE msg_id = {first}")
    assert older("evidence", "baseline") == 3
    assert f"pages {page}:" in older.errors


@pytest.mark.full
def test_a_baseline_that_was_stopped_goes_on(older: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "PAGES_AT_ONCE", 2)
    settings, stop = load(older.config, {}), Event()
    store = open_store(settings.database.sqlalchemy_url)
    publisher = sinks.publisher(store, settings)
    assert settings.evidence is not None
    run = baseline.BaselineRun(
        *(store, settings.evidence, publisher.signer, decode), stop=stop, progress=lambda *_: stop.set()
    )
    with pytest.raises(Stopped):
        run(publisher, "me")
    store.dispose()
    assert older.database.value("SELECT count(*) FROM seals WHERE page_id IS NOT NULL") == 2
    assert older("evidence", "baseline") == 0
    pages = "SELECT count(*), count(DISTINCT page_id) FROM seals WHERE page_id IS NOT NULL"
    assert set(older.database.rows(pages)[0]) == {older.count("pages")}
    assert findings(older)["differences"] == 0


@pytest.mark.full
def test_the_scrub_of_the_daemon_goes_on_where_it_was_stopped(older: Archive) -> None:
    assert older("evidence", "baseline") == 0
    settings = load(older.config, {})
    store = open_store(settings.database.sqlalchemy_url)
    ScrubJob(store, settings, decode, Event(), share=0)()
    with store.read() as tx:
        last = scrubs.last(tx)
    assert last is not None
    assert last.differences == 0
    ScrubJob(store, settings, decode, Event(), share=0)()
    assert older.count("scrubs") == 1, "it is not due again"
    older.database.run("UPDATE scrubs SET ended_at = NULL, position = 3")
    older.database.alter("UPDATE pages SET server_ms = 7 WHERE id IN (2, 5)")
    halted = Event()
    halted.set()
    ScrubJob(store, settings, decode, halted, share=0)()
    ScrubJob(store, settings, decode, Event(), share=0)()
    with store.read() as tx:
        last = scrubs.last(tx)
    store.dispose()
    assert last is not None
    assert last.differences == 1, "page 2 lay before the position"
    older("status")
    assert "ArchiverDifference" in older.output
