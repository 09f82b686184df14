"""What an insider may do to an archive, one thing at a time, and that verification names table and row."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import psycopg
import pytest

from archiver import entries, merkle, notes, signing
from archiver.config import Settings
from archiver.config.evidence import FileSink
from archiver.evidence import beginning
from archiver.evidence.verify.findings import VerifyFindings
from archiver.evidence.verify.run import Verification, VerifyOptions
from archiver.evidence.verify.shelf import NoteShelf
from archiver.sources import decode
from archiver.store.engine import Store
from tests.evidence.tampering import build, settings_of, verified
from tests.fixtures.databases import Database
from tests.fixtures.evidence import NAME
from tests.fixtures.store import ORIGIN, open_database
from tests.postgres import Postgres

_numbers = count(1)
_compiled: dict[str, dict[Any, Any]] = {}
"""Statements as each kind of database takes them: most of the time of a verification this small."""


class Copies(NamedTuple):
    """Makes copies of an archive that was built once."""

    kind: str
    place: Path
    copy: Callable[[], contextlib.AbstractContextManager[Database]]


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def copies(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    place = tmp_path_factory.mktemp("tampering")
    if request.param == "sqlite":
        path = place / "built" / "archive.db"
        path.parent.mkdir()
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        _build(Database("sqlite", f"sqlite:///{path}"), place)

        @contextlib.contextmanager
        def copy() -> Iterator[Database]:
            own = path.with_name(f"{next(_numbers)}.db")
            shutil.copy(path, own)
            yield Database("sqlite", f"sqlite:///{own}")
            own.unlink()

        yield Copies("sqlite", place, copy)
        return
    server: Postgres = request.getfixturevalue("postgres")
    built = f"archiver_tampering_{os.getpid()}"
    server.run(f"CREATE DATABASE {built} TEMPLATE archiver_template_{os.getpid()}")
    _build(Database("postgresql", server.of(built)), place)

    @contextlib.contextmanager
    def copy_on_server() -> Iterator[Database]:
        name = f"{built}_{next(_numbers)}"
        server.run(f"CREATE DATABASE {name} TEMPLATE {built} STRATEGY file_copy")
        try:
            yield Database("postgresql", server.of(name))
        finally:
            server.run(f"DROP DATABASE {name} WITH (FORCE)")

    yield Copies("postgresql", place, copy_on_server)
    server.run(f"DROP DATABASE {built} WITH (FORCE)")


def _build(database: Database, place: Path) -> None:
    store = open_database(database)
    build(store, settings_of(database.url, place))
    store.dispose()
    if database.kind == "sqlite":
        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")


class Tampered(NamedTuple):
    database: Database
    store: Store
    settings: Settings

    def verify(self, **options: Any) -> VerifyFindings:
        """As the command does, but that the anchors are read here, and not by a process of their own."""
        (name, sink), *_ = beginning.section(self.settings).sinks.items()
        assert isinstance(sink, FileSink)
        notes_there = NoteShelf()
        notes_there.add(name, notes.find(sink.path.read_text()))
        verification = Verification(self.store, VerifyOptions(NAME, **options), decode, stop=Event())
        verification.entries(notes_there)
        verification.pages()
        verification.claim()
        verification.sinks([name])
        return verification.findings


@pytest.fixture
def archive(copies: Copies, tmp_path: Path) -> Iterator[Tampered]:
    """A copy of the archive, with a copy of what its sink has."""
    for name in ("key", "state", "notes"):
        shutil.copy(copies.place / name, tmp_path / name)
    with copies.copy() as database:
        run_all(database, f"UPDATE anchorings SET sink = replace(sink, '{copies.place}', '{tmp_path}')")
        store = open_database(database)
        store.engine.update_execution_options(compiled_cache=_compiled.setdefault(copies.kind, {}))
        yield Tampered(database, store, settings_of(database.url, tmp_path))
        store.dispose()


def test_an_untouched_archive_has_no_difference_three_times(archive: Tampered) -> None:
    for findings in (archive.verify(), archive.verify(), verified(archive.store, archive.settings)):
        assert findings.differences == []
        assert findings.classes == {}
    assert findings.checked["pages"] == 6
    assert findings.checked["records"] == 8
    assert findings.checked["notes"] >= 4
    assert findings.checked["windows"] == 8
    assert findings.checked["rows"] >= 4


M1, M2, M3 = ("messages WHERE msg_id = '1'", "messages WHERE msg_id = '2'", "messages WHERE msg_id = '3'")
CLOSED = "windows WHERE state = 'closed' AND pass = 1 AND lo_ms = {origin}"
TABLE: dict[str, tuple[str, ...]] = {
    # What was said.
    "messages.raw": ("UPDATE messages SET raw = replace_bytes(raw) WHERE msg_id = '1'", "messages 1"),
    "messages.raw and all columns": (
        (
            "UPDATE messages SET raw = (SELECT raw FROM message_revisions WHERE msg_id = '1'), digest ="
            " (SELECT digest FROM message_revisions WHERE msg_id = '1') WHERE msg_id = '1';"
            "UPDATE message_bodies SET text = 'edited' WHERE msg_id = '1'"
        ),
        "pages 1",
    ),
    "messages.digest": ("UPDATE messages SET digest = raw WHERE msg_id = '2'", "messages 2"),
    "messages.msg_id": (
        (
            "UPDATE message_bodies SET msg_id = '4' WHERE msg_id = '2' AND position = 7;"
            "INSERT INTO messages SELECT app_id, '2x', timestamp_ms, sent_at, sender, recipient, conversation,"
            " chat_type, direction, ext, raw, digest, lossy, page_id, position, archived_at, NULL FROM messages"
            " WHERE msg_id = '2';"
            "UPDATE message_bodies SET msg_id = '2x' WHERE msg_id = '2';"
            "DELETE FROM messages WHERE msg_id = '2'"
        ),
        "messages 2x",
    ),
    "messages.timestamp_ms": ("UPDATE messages SET timestamp_ms = timestamp_ms + 1 WHERE msg_id = '2'", "messages 2"),
    "messages.sent_at": ("UPDATE messages SET sent_at = NULL WHERE msg_id = '2'", "messages 2"),
    "messages.sender": ("UPDATE messages SET sender = 'mallory' WHERE msg_id = '2'", "messages 2"),
    "messages.recipient": ("UPDATE messages SET recipient = 'mallory' WHERE msg_id = '2'", "messages 2"),
    "messages.conversation": ("UPDATE messages SET conversation = 'x' WHERE msg_id = '2'", "messages 2"),
    "messages.chat_type": ("UPDATE messages SET chat_type = 'groupchat' WHERE msg_id = '2'", "messages 2"),
    "messages.direction": ("UPDATE messages SET direction = 'outgoing' WHERE msg_id = '2'", "messages 2"),
    "messages.ext": ("UPDATE messages SET ext = '{\"a\": [1.51]}' WHERE msg_id = '2'", "messages 2"),
    "messages.lossy": ("UPDATE messages SET lossy = NOT lossy WHERE msg_id = '2'", "messages 2"),
    "messages.page_id": ("UPDATE messages SET page_id = 3 WHERE msg_id = '2'", "pages 3"),
    "messages.page_id of no page": ("UPDATE messages SET page_id = 999 WHERE msg_id = '2'", "messages 2"),
    "messages.position": ("UPDATE messages SET position = 9 WHERE msg_id = '2'", "pages 1"),
    "a message deleted": (
        "DELETE FROM message_bodies WHERE msg_id = '2'; DELETE FROM messages WHERE msg_id = '2'",
        "pages 1",
    ),
    "a message inserted": (
        (
            "INSERT INTO messages SELECT app_id, 'forged', timestamp_ms, sent_at, sender, recipient, conversation,"
            " chat_type, direction, ext, raw, digest, lossy, page_id, 77, archived_at, NULL FROM messages"
            " WHERE msg_id = '2'"
        ),
        "pages 1",
    ),
    "two messages swapped": (
        (
            "UPDATE messages SET position = 99 WHERE msg_id = '1';"
            "UPDATE messages SET position = 0 WHERE msg_id = '2';"
            "UPDATE messages SET position = 1 WHERE msg_id = '1'"
        ),
        "pages 1",
    ),
    **{
        f"message_bodies.{column}": (f"UPDATE message_bodies SET {column} = {value} WHERE msg_id = '3'", "messages 3")
        for column, value in {
            "type": "'file'",
            "text": "'x'",
            "url": "'https://elsewhere'",
            "filename": "'y.png'",
            "secret": "'other'",
            "file_length": "1",
            "duration": "1.5",
            "width": "1",
            "height": "1",
            "thumb_url": "'https://x'",
            "thumb_secret": "'x'",
            "lat": "1.5",
            "lng": "1.5",
            "addr": "'x'",
            "extra": "'{\"a\": 1}'",
            "position": "5",
        }.items()
    },
    "a body deleted": ("DELETE FROM message_bodies WHERE msg_id = '2'", "messages 2"),
    # What was said differently later.
    "message_revisions.raw": ("UPDATE message_revisions SET raw = replace_bytes(raw)", "message_revisions 1"),
    "message_revisions.digest": ("UPDATE message_revisions SET digest = raw", "message_revisions 1"),
    "message_revisions.timestamp_ms": ("UPDATE message_revisions SET timestamp_ms = 7", "message_revisions 1"),
    "message_revisions.seen_at": (
        "UPDATE message_revisions SET seen_at = '2026-01-01T00:00:00.000Z'",
        "message_revisions 1",
    ),
    "message_revisions.page_id": ("UPDATE message_revisions SET page_id = 3", "pages 2"),
    "message_revisions.position": ("UPDATE message_revisions SET position = 8", "pages 2"),
    "message_revisions.revision": (
        "UPDATE message_revisions SET revision = 5; UPDATE revision_bodies SET revision = 5",
        "message_revisions 1",
    ),
    "a revision deleted": ("DELETE FROM revision_bodies; DELETE FROM message_revisions", "pages 2"),
    "revision_bodies.text": ("UPDATE revision_bodies SET text = 'never said'", "message_revisions 1"),
    "first copy and revision swapped": (
        (
            "UPDATE messages SET page_id = 2, position = 0 WHERE msg_id = '1';"
            "UPDATE message_revisions SET page_id = 1, position = 0"
        ),
        "pages 1",
    ),
    # What could not be read.
    "quarantine.raw": (
        "UPDATE quarantine SET raw = replace_bytes(raw) WHERE resolved_at IS NULL",
        "quarantine",
    ),
    "quarantine.digest": ("UPDATE quarantine SET digest = raw WHERE resolved_at IS NULL", "quarantine"),
    "quarantine.page_id": ("UPDATE quarantine SET page_id = 3 WHERE resolved_at IS NULL", "pages 3"),
    "quarantine.position": ("UPDATE quarantine SET position = 7 WHERE resolved_at IS NULL", "pages 2"),
    "a quarantined record deleted": ("DELETE FROM quarantine WHERE resolved_at IS NULL", "pages 2"),
    "a record called resolved": (
        "UPDATE quarantine SET resolved_at = '2026-01-01T00:00:00.000Z'",
        "quarantine",
    ),
    "a requeued message deleted": (
        "DELETE FROM message_bodies WHERE msg_id = '9'; DELETE FROM messages WHERE msg_id = '9'",
        "quarantine",
    ),
    # Pages.
    **{
        f"pages.{column}": (f"UPDATE pages SET {column} = {value} WHERE id = 3", "pages 3")
        for column, value in {
            "source": "'hourly'",
            "fence": "fence + 1",
            "fetched_at": "'2026-01-01T00:00:00.000Z'",
            "server_ms": "7",
            "received": "received + 1, known = known + 1",
            "new": "new + 1, received = received + 1",
            "changed": "changed + 1, received = received + 1",
            "quarantined": "quarantined + 1, received = received + 1",
            "outside": "outside + 1",
            "window_id": "window_id + 1",
        }.items()
    },
    "an empty page deleted": ("DELETE FROM pages WHERE id = 3", "pages 3"),
    "a page inserted": (
        (
            "INSERT INTO pages SELECT 99, app_id, window_id, source, fence, fetched_at, server_ms, sha256, received,"
            " new, known, changed, quarantined, outside FROM pages WHERE id = 3"
        ),
        "pages 99",
    ),
    # What is claimed.
    "a window closed unwalked": ("UPDATE windows SET state = 'closed' WHERE state = 'stuck'", "windows"),
    "a hole hidden": ("UPDATE windows SET state = 'closed' WHERE state = 'accepted' AND lo_ms > {origin}", "windows"),
    "a window's range": ("UPDATE windows SET lo_ms = lo_ms - 7 WHERE pass = 1 AND lo_ms = {origin}", "windows"),
    "a window's end": ("UPDATE windows SET hi_ms = hi_ms + 7 WHERE pass = 1 AND lo_ms = {origin}", "windows"),
    "a window deleted": ("DELETE FROM windows WHERE state = 'stuck'", "windows"),
    "a window inserted": (
        (
            "INSERT INTO windows (app_id, source, pass, cause, lo_ms, hi_ms, lag_ms, state, created_at) SELECT app_id,"
            " source, 1, 'live', {origin} + 5000, {origin} + 6000, 1, 'closed', created_at FROM windows WHERE id = 2"
        ),
        "windows",
    ),
    "the watermark raised": ("UPDATE watermarks SET complete_until_ms = complete_until_ms + 1", "watermarks"),
    "the origin lowered": ("UPDATE watermarks SET complete_from_ms = complete_from_ms - 1", "watermarks"),
    "an audit that never was": (
        "UPDATE watermarks SET audited_until_ms = audited_until_ms + 1000",
        "watermarks",
    ),
    # Rows of other tables.
    "audit_log changed": ("UPDATE audit_log SET who = 'nobody' WHERE outcome = 'done'", "audit_log"),
    "audit_log deleted": ("DELETE FROM audit_log WHERE outcome = 'begun'", "audit_log"),
    "evidence_log changed": ("UPDATE evidence_log SET reason = 'other'", "evidence_log"),
    "looks changed": ("UPDATE looks SET who = 'nobody'", "looks"),
    "looks deleted": ("DELETE FROM looks", "looks"),
    "requests changed": ("UPDATE requests SET body = '{{}}'", "requests"),
    "approvals changed": ("UPDATE approvals SET decision = 'approved'", "approvals"),
    "approvals deleted": ("DELETE FROM approvals", "approvals"),
    "hold_events changed": ("UPDATE hold_events SET participant = 'b' WHERE event = 'placed'", "hold_events"),
    "hold_events deleted": ("DELETE FROM hold_events WHERE event = 'widened'", "hold_events"),
    "hold_conversations changed": ("UPDATE hold_conversations SET conversation = 'x|y'", "hold_conversations"),
    "hold_conversations deleted": ("DELETE FROM hold_conversations", "hold_conversations"),
    "hold_items deleted": ("DELETE FROM hold_items WHERE msg_id = '1'", "hold_items"),
    "request_items changed": ("UPDATE request_items SET line = 'related'", "request_items"),
    "retention_terms changed": ("UPDATE retention_terms SET keep_at_least = '1y'", "retention_terms"),
    "retention_terms deleted": ("DELETE FROM retention_terms", "retention_terms"),
    "look_conversations changed": ("UPDATE look_conversations SET conversation = 'a|c'", "look_conversations"),
    "an attachment exchanged": ("UPDATE attachments SET sha256 = 'ee' WHERE state = 'stored'", "attachments"),
    # The ledger itself.
    "ledger.entry": ("UPDATE ledger SET entry = replace(entry, '\"new\"', '\"old\"') || ' ' WHERE seq = 2", "ledger 2"),
    "ledger.leaf": ("UPDATE ledger SET leaf = replace_bytes(leaf) WHERE seq = 2", "ledger 2"),
    "ledger.kind": ("UPDATE ledger SET kind = 'rows' WHERE seq = 2", "ledger 2"),
    "ledger.seal_id": ("UPDATE ledger SET seal_id = 1 WHERE kind = 'page' AND seal_id = 2", "seals"),
    "an entry deleted": ("DELETE FROM ledger WHERE seq = 2", "ledger 2"),
    "two entries swapped": (
        (
            "UPDATE ledger SET seq = -1 WHERE seq = 2; UPDATE ledger SET seq = 2 WHERE seq = 3;"
            "UPDATE ledger SET seq = 3 WHERE seq = -1"
        ),
        "checkpoints",
    ),
    "the tail cut": (
        (
            "DELETE FROM ledger WHERE seq >= (SELECT max(seq) FROM ledger);"
            "UPDATE ledger_head SET size = (SELECT count(*) FROM ledger)"
        ),
        "checkpoints",
    ),
    "the tail cut, and its checkpoints": (
        (
            "DELETE FROM ledger WHERE seq >= (SELECT max(seq) FROM ledger);"
            "UPDATE ledger_head SET size = (SELECT count(*) FROM ledger);"
            "DELETE FROM checkpoints WHERE size > (SELECT count(*) FROM ledger);"
            "DELETE FROM anchorings WHERE size > (SELECT count(*) FROM ledger)"
        ),
        "file:",
    ),
    "ledger_head.size": ("UPDATE ledger_head SET size = size + 1", "ledger_head"),
    "seals.root": ("UPDATE seals SET root = replace_bytes(root) WHERE page_id = 1", "seals"),
    "seals.seeds": ("UPDATE seals SET seeds = replace_bytes(seeds) WHERE page_id = 1", "pages 1"),
    "seals.leaves": ("UPDATE seals SET leaves = leaves + 1 WHERE page_id = 1", "seals"),
    "seals.page_id": ("UPDATE seals SET page_id = 98 WHERE page_id = 1", "pages 1"),
    "seals.made_at": ("UPDATE seals SET made_at = '2026-01-01T00:00:00.000Z' WHERE page_id = 1", "seals"),
    "seals.keys": ("UPDATE seals SET keys = '[[1]]' WHERE table_name = 'audit_log'", "seals"),
    "seals.table_name": ("UPDATE seals SET table_name = 'evidence_log' WHERE table_name = 'audit_log'", "seals"),
    "a seal deleted": ("DELETE FROM seals WHERE page_id = 3", "pages 3"),
    "a page sealed twice": (
        (
            "INSERT INTO seals (page_id, leaves, root, seeds, made_at) SELECT page_id, leaves, root, seeds, made_at"
            " FROM seals WHERE page_id = 1"
        ),
        "seals",
    ),
    "checkpoints.note": (
        (
            "UPDATE checkpoints SET note = substr(note, 1, length(note) - 20) ||"
            " CASE substr(note, length(note) - 19, 1) WHEN 'A' THEN 'B' ELSE 'A' END ||"
            " substr(note, length(note) - 18)"
        ),
        "checkpoints",
    ),
    "checkpoints.size": ("UPDATE checkpoints SET size = size - 1", "checkpoints"),
    "a checkpoint deleted": ("DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)", "checkpoints"),
    "an entry queued without the key": (
        'INSERT INTO ledger_queue (entry) VALUES (\'{{"at":1,"by":"00000000","kind":"claim","sig":"AA=="}}\')',
        "ledger_queue",
    ),
}
assert len(TABLE) >= 60


def _flip(database: Database, statement: str) -> None:
    """Run statements; `replace_bytes` stands for the same bytes with another one in the middle."""
    words = {
        "sqlite": (
            "CAST(substr({0}, 1, 8) || CASE substr({0}, 9, 1) WHEN x'21' THEN x'22' ELSE x'21' END"
            " || substr({0}, 10) AS BLOB)"
        ),
        "postgresql": "set_byte({0}, 8, get_byte({0}, 8) # 1)",
    }[database.kind]
    text = statement.replace("{origin}", str(ORIGIN)).replace("{{", "{").replace("}}", "}")
    text = re.sub(r"replace_bytes\((\w+)\)", lambda match: words.format(match[1]), text)
    if database.kind == "postgresql":
        text = "SET session_replication_role = replica;" + text  # as an owner would who disables keys and triggers
    run_all(database, text)


def _rows(conn: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'search%'"
    return {name: conn.execute(f"SELECT * FROM {name}").fetchall() for (name,) in conn.execute(tables).fetchall()}


def run_all(database: Database, text: str) -> None:
    """Several statements at once, past all keys and triggers."""
    if database.kind == "sqlite":
        path = database.url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path)) as conn:
            for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                conn.execute(f"DROP TRIGGER {name}")
            conn.execute("PRAGMA ignore_check_constraints = ON")
            before = _rows(conn)
            conn.executescript(text)
            conn.commit()
            # Keys and signatures are random: a replaced letter may not be there.
            assert _rows(conn) != before, "these statements change nothing"
    else:
        with psycopg.connect(database.url) as conn:
            conn.execute(text)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.full] if at % 4 else []) for at, name in enumerate(TABLE)]
)
def test_a_single_tampering_is_reported_with_table_and_id(archive: Tampered, name: str) -> None:
    statement, expected = TABLE[name]
    _flip(archive.database, statement)
    findings = archive.verify()
    listed = [f"{one.table} {one.id}" for one in findings.differences]
    assert findings.count, "nothing differs"
    assert any(one.startswith(expected) for one in listed), findings.differences


def test_a_note_deleted_from_a_sink_is_reported(archive: Tampered, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("")
    assert {one.table for one in archive.verify().differences} == {"anchorings"}


def test_a_rewrite_with_the_key_is_reported_by_an_anchor(archive: Tampered, tmp_path: Path) -> None:
    """Who has the key can write the ledger anew, and no anchor that lies elsewhere."""
    key = signing.load(tmp_path / "key")
    rows = archive.database.rows("SELECT seq, entry FROM ledger ORDER BY seq")
    statements = []
    for seq, line in rows:
        entry = {name: value for name, value in entries.read(line.encode()).items() if name not in ("sig", "by")}
        if seq == 2:
            entry["at"] += 1
        fresh = entries.signed(entry, NAME, key.sign, key.id)
        leaf = merkle.leaf_hash(fresh).hex()
        value = f"x'{leaf}'" if archive.database.kind == "sqlite" else f"'\\x{leaf}'::bytea"
        text = fresh.decode().replace("'", "''")
        statements.append(f"UPDATE ledger SET entry = '{text}', leaf = {value} WHERE seq = {seq}")
    run_all(archive.database, ";".join([*statements, "DELETE FROM checkpoints", "DELETE FROM anchorings"]))
    findings = archive.verify()
    assert [one for one in findings.differences if one.table.startswith("file:")], findings.differences


def test_a_start_of_a_foreign_key_is_reported(archive: Tampered) -> None:
    """As somebody would who wants to sign from now on with a key of his own."""
    foreign = signing.from_seed(bytes(32))
    start = {"kind": "start", "at": 1, "event": "rotate", "origin": NAME, "keys": [], "keeper": None, "first_page": 1}
    line = entries.signed({**start, "previous": None}, NAME, foreign.sign, foreign.id).decode()
    run_all(archive.database, f"INSERT INTO ledger_queue (entry) VALUES ('{line}')")
    assert [one.table for one in archive.verify().differences] == ["ledger_queue"]


def test_a_claim_signed_with_the_key_over_a_raised_watermark_is_reported(archive: Tampered, tmp_path: Path) -> None:
    key = signing.load(tmp_path / "key")
    (line,) = archive.database.rows("SELECT entry FROM ledger WHERE kind = 'claim' ORDER BY seq DESC LIMIT 1")[0]
    claim = {name: value for name, value in entries.read(line.encode()).items() if name not in ("sig", "by")}
    forged = entries.signed(claim | {"until": claim["until"] + 5}, NAME, key.sign, key.id).decode()
    run_all(archive.database, f"INSERT INTO ledger_queue (entry) VALUES ('{forged}')")
    differences = archive.verify().differences
    assert [one.table for one in differences] == ["ledger_queue"]
    assert "not borne out" in differences[0].problem


def test_the_first_key_is_compared_with_the_keepers(archive: Tampered, tmp_path: Path) -> None:
    right = notes.TrustedKey(NAME, signing.load(tmp_path / "key").public)
    assert archive.verify(trusted=[right]).trusted
    wrong = notes.TrustedKey(NAME, signing.from_seed(bytes(32)).public)
    assert archive.verify(trusted=[wrong]).count
