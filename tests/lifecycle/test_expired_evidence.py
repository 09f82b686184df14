"""With evidence, what has expired is counted, its neighbours keep their proofs, and nothing else may be missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archiver.store.seals import key_text
from tests.fixtures.archive import Archive
from tests.lifecycle.halves import expire_half


def findings(archive: Archive) -> dict[str, Any]:
    archive("evidence", "verify", "--format", "json")
    return dict(json.loads(archive.output))


def test_neighbours_of_what_has_expired_keep_proofs_that_verify(begun: Archive, tmp_path: Path) -> None:
    archive = begun
    assert archive("pull", page_size=7) == 0
    assert archive("evidence", "seal") == 0
    assert findings(archive)["differences"] == 0
    before = archive.count("messages")
    sender = archive.database.value(
        "SELECT lower(sender) FROM messages WHERE sender IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    )
    expire_half(archive, hold=sender)
    assert archive("evidence", "seal") == 0
    partly = archive.database.value("SELECT count(*) FROM tombstones WHERE position IS NOT NULL")
    whole = archive.database.value("SELECT count(*) FROM tombstones WHERE position IS NULL")
    assert partly > 0
    assert whole > 0
    report = findings(archive)
    assert report["differences"] == 0, report
    assert report["checked"]["expired"] == before - archive.count("messages") > 0
    out = tmp_path / "out"
    assert archive("export", "--format", "jsonl", "--proofs", "--output", str(out)) == 0, archive.errors
    proofs = [json.loads(line) for line in (out / "proofs.jsonl").read_text().splitlines()]
    assert len(proofs) >= archive.count("messages")
    assert not [one for one in proofs if "missing" in one]
    assert archive("export", "verify", str(out)) == 0, archive.errors
    left = archive.database.value("SELECT min(msg_id) FROM messages")
    archive.database.alter(f"DELETE FROM message_bodies WHERE msg_id = '{left}'")
    for table in ("late_arrivals", "attachments", "search_texts"):
        archive.database.alter(f"DELETE FROM {table} WHERE msg_id = '{left}'")
    archive.database.alter(f"DELETE FROM messages WHERE msg_id = '{left}'")
    assert findings(archive)["differences"] > 0, "what no tombstone stands for is missed"


@pytest.mark.full
def test_a_baseline_takes_the_leaves_of_what_had_expired_before(begun: Archive, place: Path) -> None:
    archive = begun
    sections, archive.sections = archive.sections, ""
    archive.database.alter("DELETE FROM ledger_head")
    for table in ("ledger_queue", "ledger", "checkpoints", "evidence_log"):
        archive.database.alter(f"DELETE FROM {table}")
    archive.write_config()
    assert archive("pull", page_size=7) == 0
    sender = archive.database.value("SELECT lower(sender) FROM messages GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
    expire_half(archive, hold=sender)
    archive.sections = sections
    archive.write_config()
    for name in ("key", "state", "vkey"):
        (place / name).unlink(missing_ok=True)
    assert archive("evidence", "init", "--keeper", "audit", "--output", str(place / "vkey")) == 0, archive.errors
    assert archive("evidence", "baseline") == 0, archive.errors
    report = findings(archive)
    assert report["differences"] == 0, report
    assert report["checked"]["expired"] > 0


def test_sealed_rows_of_attachments_go_with_their_messages_and_older_exports_stay_whole(
    begun: Archive, tmp_path: Path
) -> None:
    archive, database = begun, begun.database
    assert archive("pull", page_size=7) == 0
    files = database.rows("SELECT app_id, msg_id, position, kind FROM attachments ORDER BY msg_id, position, kind")
    assert files
    at = "2026-11-29T00:00:00.000Z"
    for number, key in enumerate(files):
        app_id, msg_id, position, kind = key
        database.run(
            f"UPDATE attachments SET state = 'stored', sha256 = '{number:064x}', size = 1, fetched_at = '{at}'"
            f" WHERE app_id = {app_id} AND msg_id = '{msg_id}' AND position = {position} AND kind = '{kind}'"
        )
        database.run(f"INSERT INTO ledger_queue (table_name, key) VALUES ('attachments', '{key_text(key)}')")
    assert archive("evidence", "seal") == 0
    assert findings(archive)["differences"] == 0
    out = tmp_path / "out"
    assert archive("export", "--format", "jsonl", "--output", str(out)) == 0
    expire_half(archive)
    left = {row[0] for row in database.rows("SELECT sha256 FROM attachments")}
    wiped = {row[0] for row in database.rows("SELECT sha256 FROM blob_wipes")}
    assert wiped == {f"{number:064x}" for number in range(len(files))} - left
    assert wiped
    of_rows = database.value("SELECT count(*) FROM tombstones WHERE page_id IS NULL AND seal_id IS NOT NULL")
    assert of_rows == len(wiped)
    assert archive("evidence", "seal") == 0
    report = findings(archive)
    assert report["differences"] == 0, report
    assert archive("export", "verify", str(out)) == 0, archive.errors
    database.alter("DELETE FROM tombstones WHERE page_id IS NULL")
    assert findings(archive)["differences"] > 0
