"""An erasure and the proof: the ledger stays whole, what stays keeps its proofs, and no salt of what went is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from archiver import salts
from archiver.store.erasures import RequestItem, digest_of
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.evidence import NAME
from tests.fixtures.store import open_database
from tests.lifecycle.erasing import IDS, left_of, speaking


@pytest.fixture
def proven(begun: Archive) -> Archive:
    """An archive with a ledger, and erased-1's messages in it."""
    assert begun("pull") == 0
    file = begun.config.with_name("erasures.jsonl")
    begun.config.write_text(f'[lifecycle]\nerasures_file = "{file}"\n' + begun.config.read_text())
    speaking(begun)
    return begun


def erase(archive: Archive, *more: str) -> None:
    """Erase these messages as if two persons had decided on it."""
    ids = (*IDS, *more)
    store = open_database(archive.database)
    with store.write() as tx:
        body = {"items_sha256": digest_of([RequestItem(1, one) for one in ids]), "apps": [], "exports": []}
        number = approved(tx, "erase", body, items=ids)
    store.dispose()
    assert archive("erase", "run", str(number)) == 0, archive.errors


def verified(archive: Archive) -> dict[str, int]:
    assert archive("evidence", "verify") == 0, archive.output
    assert archive("evidence", "verify", "--format", "json") == 0, archive.output
    return dict(json.loads(archive.output)["checked"])


def test_the_ledger_stays_whole_and_neighbours_keep_their_proofs(proven: Archive, tmp_path: Path) -> None:
    archive, database = proven, proven.database
    archive.server.add({"msg_id": "beside", "timestamp": archive.server.start_ms + 9, "from": "iris", "to": "b",
                        "payload": {"bodies": [{"type": "txt", "msg": "beside"}]}}, visible_ms=0)  # fmt: skip
    verified(archive)
    picture = database.value("SELECT min(msg_id) FROM attachments WHERE msg_id NOT LIKE '9000%'")
    erase(archive, str(picture))
    found = verified(archive)
    assert found["erased"] == 3
    assert left_of(archive, "erased-1") == []
    erased = database.rows("SELECT leaf, seal_id FROM tombstones WHERE page_id > 0")
    assert all(leaf is not None and seal is not None for leaf, seal in erased)
    beside = database.value(
        "SELECT min(msg_id) FROM messages WHERE withheld IS NULL"
        " AND page_id IN (SELECT page_id FROM messages WHERE withheld = 2)"
    )
    assert archive("evidence", "proof", str(beside), "--output", str(tmp_path / "proof")) == 0, archive.errors
    folder = tmp_path / "copy"
    assert archive("export", "--format", "jsonl", "--proofs", "--output", str(folder)) in (0, 3), archive.errors
    assert "not as they were sealed" not in archive.errors
    assert archive("export", "verify", str(folder)) == 0
    checked = subprocess.run([sys.executable, "verify.py"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert archive("evidence", "proof", IDS[0], "--output", str(tmp_path / "none")) != 0


@pytest.mark.full
def test_no_salt_of_what_went_is_left(proven: Archive) -> None:
    database = proven.database
    erase(proven)
    places = database.rows("SELECT page_id, position FROM tombstones WHERE msg_id IS NOT NULL AND page_id IS NOT NULL")
    assert places
    for page_id, position in places:
        count, seeds = database.rows(f"SELECT leaves, seeds FROM seals WHERE page_id = {page_id}")[0]
        there = {
            row[0]
            for table in ("messages", "message_revisions", "quarantine")
            for row in database.rows(f"SELECT position FROM {table} WHERE page_id = {page_id}")
        }
        gone = {row[0] for row in database.rows(f"SELECT position FROM tombstones WHERE page_id = {page_id}")}
        at = sorted(there | gone).index(position)
        left = salts.salts(salts.unpack(bytes(seeds)), count)
        assert left[at] == b""
        assert sum(one == b"" for one in left) == len(gone)


@pytest.mark.full
def test_an_archive_that_is_sealed_after_an_erasure_is_whole(
    database: Database, make_archive: MakeArchive, place: Path
) -> None:
    archive = make_archive(database, messages=20)
    assert archive("pull") == 0
    file = archive.config.with_name("erasures.jsonl")
    section = f'[lifecycle]\nerasures_file = "{file}"\n'
    archive.config.write_text(section + archive.config.read_text())
    speaking(archive)
    erase(archive)
    keys = f'[evidence]\nname = "{NAME}"\nkey_file = "{place}/key"\nstate_file = "{place}/state"\n'
    archive.config.write_text(keys + archive.config.read_text())
    assert archive("evidence", "init", "--keeper", "internal audit", "--output", str(place / "vkey")) == 0
    assert archive("evidence", "baseline") == 0, archive.errors
    assert verified(archive)["erased"] == 2
