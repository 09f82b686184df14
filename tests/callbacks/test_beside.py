"""Callbacks lie beside the record: an archive is the same with and without them, and its ledger has what stays."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from archiver.sandbox import Sandbox
from archiver.store import reconciliations
from tests.callbacks.sending import Receiving, edit, message, now_ms, recall
from tests.callbacks.test_comparison import Compared, compared
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database

TABLES = {
    "messages": "msg_id, timestamp_ms, sender, recipient, conversation, chat_type, raw, digest, lossy, position",
    "message_bodies": "msg_id, position, type, text, url, filename, file_length",
    "watermarks": "source, complete_from_ms",
    "late_arrivals": "msg_id, timestamp_ms",
    "quarantine": "reason, raw",
}
__all__ = ["compared"]


def content(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What a pull stores, but for numbers and times of our own, by which windows end as well."""
    return {
        table: sorted(tuple(map(plainly, row)) for row in database.rows(f"SELECT {columns} FROM {table}"))
        for table, columns in TABLES.items()
    }


def plainly(value: Any) -> str:
    """The two databases have different values for the same."""
    return repr(bytes(value) if isinstance(value, memoryview) else int(value) if isinstance(value, bool) else value)


@pytest.mark.full
@pytest.mark.parametrize("messages", [10_000 if os.environ.get("ARCHIVER_PROVE_KILLS") else 1_000])
def test_what_is_archived_is_the_same_with_and_without_callbacks(
    both: list[Database], make_archive: MakeArchive, messages: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pulled, late ones come, pulled again; beside one of the archives all of it is announced, recalled and edited."""
    plain = make_archive(both[0], messages=messages, seed=7)
    (tmp_path / "beside").mkdir()
    beside = Archive(both[1], plain.server, tmp_path / "beside", capsys)
    receiving = Receiving(beside, tmp_path / "spool")
    codes: dict[str, list[int]] = {"plain": [], "beside": []}
    for round_ in range(3):
        if round_ == 1:
            add_late(plain.server)
        announce(receiving, plain.server, round_)
        codes["plain"] += [plain("pull", "--app", receiving.app), plain("status")]
        codes["beside"] += [beside("pull", "--app", receiving.app), beside("status")]
    assert codes["plain"] == codes["beside"]
    assert beside.count("events") > messages
    ours, theirs = content(both[1]), content(both[0])
    for table in TABLES:
        assert ours[table] == theirs[table], table
    marked = "SELECT count(*) FROM messages_readable WHERE recalled_at IS NOT NULL"
    assert both[1].value(marked) >= 20
    assert both[0].value(marked) == 0
    receiving.close()


def add_late(server: Sandbox) -> None:
    """Records that were written a while ago and are served only now."""
    first = server.records[0].record
    for number in range(5):
        server.add(first | {"msg_id": f"late-{number}", "timestamp": server.records[10].timestamp_ms + number})


def announce(receiving: Receiving, server: Sandbox, round_: int) -> None:
    app, ids = receiving.app, [row.msg_id for row in server.records]
    bodies = [message(app, msg_id, timestamp=now_ms() - round_) for msg_id in ids]
    bodies += [recall(app, msg_id, own=f"r{round_}{n}") for n, msg_id in enumerate(ids[:20])]
    bodies += [edit(app, msg_id, "other", own=f"e{round_}{n}") for n, msg_id in enumerate(ids[20:40])]
    receiving.segment(*bodies)


@pytest.mark.full
def test_events_that_stay_are_sealed_and_a_verification_has_nothing_to_say(compared: Compared) -> None:
    pytest.importorskip("cryptography")
    archive = compared.receiving.archive
    place = archive.config.parent
    archive.sections += (
        f'[evidence]\nname = "test.example.com/a"\nkey_file = "{place}/key"\nstate_file = "{place}/state"\n'
    )
    archive.write_config()
    assert archive("evidence", "init", "--keeper", "notary") == 0, archive.errors
    compared.announced("gone", *compared.archived(3))
    compared.receiving.take(recall(compared.app, "m0"))
    result = compared.compare()
    assert isinstance(result, reconciliations.Comparison)
    assert (result.both, result.only_callback) == (3, 1)
    archive("evidence", "seal")
    sealed = archive.database.rows("SELECT keys FROM seals WHERE table_name = 'events'")
    ids = {key[0] for row in sealed for key in json.loads(row[0])}
    kept = archive.database.rows("SELECT id FROM events WHERE kind <> 'message' OR msg_id = 'gone'")
    assert ids == {row[0] for row in kept}
    archive("evidence", "verify", "--language", "en")
    assert "events" not in archive.output
