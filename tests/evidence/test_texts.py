"""Nothing that people wrote or are called by goes into the ledger, or out to a sink."""

from __future__ import annotations

from pathlib import Path

from archiver import connect, signing
from archiver.evidence import beginning
from archiver.evidence.publish import Publisher
from archiver.model import Window
from archiver.store import apps, audit_log, unclosed
from archiver.store.engine import Store
from tests.evidence.tampering import Builder, NotesFile, settings_of
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, open_database, page_of, record

CANARY = "canary-5e41"


def leaving(store: Store, sink: Path) -> str:
    """All that the ledger holds, and all that went out."""
    queries = ("SELECT entry FROM ledger", "SELECT entry FROM ledger_queue", "SELECT note FROM checkpoints")
    with store.read() as tx:
        texts = [str(row[0]) for query in queries for row in tx.conn.exec_driver_sql(query)]
    return "\n".join([*texts, sink.read_text()])


def test_no_text_of_people_is_in_entries_notes_or_sinks(database: Database, tmp_path: Path) -> None:
    place = tmp_path / "keys"
    place.mkdir()
    settings, store = settings_of(database.url, place), open_database(database)
    section = beginning.section(settings)
    beginning.init(store, settings, "internal audit", f"{CANARY}-login")
    connect.seal(store, settings)
    sink = NotesFile("file: notes", place / "notes")
    publish = Publisher(store, section, signing.load(section.key_file), [sink])
    with store.write() as tx:
        key = apps.register(tx, "o#a", "cursor", ORIGIN, settle_ms=1000, retention_ms=None)
    builder = Builder(store, key)
    said = record("1", text=f"{CANARY}-text").replace('"from": "', f'"from": "{CANARY}-')
    assert f'"{CANARY}-' in said
    builder.walk(0, 1000, page_of(said, f'{{"broken": "{CANARY}-record"}}'))
    builder.walk(1000, 2000, state="expired")
    with store.write() as tx:
        unclosed.accept(tx, key, Window(ORIGIN + 1000, ORIGIN + 2000), reason=f"{CANARY}-accepted", who=f"{CANARY}-who")
        entry = audit_log.AuditEntry("e1", f"{CANARY}-me", "here", "1", "jsonl", {}, f"{CANARY}-case", f"{CANARY}-why")
        audit_log.append(tx, entry, "begun", 5)
    assert publish(force=True).whole
    for table, column in (("windows", "accepted_by"), ("audit_log", "reason"), ("messages", "sender")):
        assert any(CANARY in str(row[0]) for row in database.rows(f"SELECT {column} FROM {table}")), table
    assert '"kind":"claim"' in leaving(store, sink.path)
    assert CANARY not in leaving(store, sink.path)
    database.run(f'INSERT INTO ledger_queue (entry) VALUES (\'{{"kind":"claim","x":"{CANARY}"}}\')')
    assert publish(force=True).sequenced
    assert CANARY in leaving(store, sink.path), "the search finds one that was planted"
    store.dispose()
