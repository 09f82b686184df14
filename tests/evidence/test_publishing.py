"""From pages to signed checkpoints, by the commands: begun, sequenced, signed, and what keeps all of that from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archiver import entries, merkle, notes, signing
from archiver.cli.evidence import print_findings
from archiver.config import load
from archiver.evidence import sinks
from archiver.evidence.verify.findings import VerifyFindings
from archiver.language import language
from archiver.store.engine import open_store
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.evidence import NAME


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the key and the state lie: not beside an SQLite file."""
    (tmp_path / "keys").mkdir()
    return tmp_path / "keys"


@pytest.fixture
def begun(database: Database, make_archive: MakeArchive, place: Path) -> Archive:
    """An archive with a ledger, and nothing pulled yet."""
    archive = make_archive(database, messages=60)
    archive.sections = f'[evidence]\nname = "{NAME}"\nkey_file = "{place}/key"\nstate_file = "{place}/state"\n'
    assert archive("evidence", "init", "--keeper", "internal audit", "--output", str(place / "vkey")) == 0
    return archive


def ledger_of(database: Database) -> list[dict[str, Any]]:
    rows = database.rows("SELECT seq, entry FROM ledger ORDER BY seq")
    assert [row[0] for row in rows] == list(range(len(rows))), "the ledger has no gaps"
    return [json.loads(row[1]) for row in rows]


def test_what_is_pulled_is_sequenced_and_signed_at_the_end_of_the_pull(begun: Archive, place: Path) -> None:
    assert begun("pull") == 0
    database, key = begun.database, signing.load(place / "key")
    assert database.value("SELECT count(*) FROM ledger_queue") == 0
    found = ledger_of(database)
    assert found[0]["kind"] == "start"
    assert {entry["kind"] for entry in found} == {"start", "page", "rows", "claim"}
    pages = [entry["page"] for entry in found if entry["kind"] == "page"]
    assert sorted(pages) == [row[0] for row in database.rows("SELECT id FROM pages ORDER BY id")]
    lines = [row[0].encode() for row in database.rows("SELECT entry FROM ledger ORDER BY seq")]
    for line in lines:
        entries.check(line, NAME, {key.id: key.public})
    (text,) = database.rows("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")[0]
    signed = notes.parse(text.encode())
    assert notes.verify(signed, [key.public]) == [key.public]
    assert signed.note.size == len(lines)
    assert signed.note.root == merkle.root([merkle.leaf_hash(line) for line in lines])
    assert json.loads((place / "state").read_text())["size"] == len(lines)
    (trusted,) = notes.parse_vkeys((place / "vkey").read_text())
    assert trusted.public == key.public
    begun("status", "--format", "json")
    evidence = json.loads(begun.output)["evidence"]
    assert evidence["size"] == len(lines)
    assert evidence["fingerprint"] == key.fingerprint
    assert evidence["queue_age_seconds"] == 0.0
    assert begun("evidence", "seal") == 0
    assert len(ledger_of(database)) == len(lines), "where nothing is new, nothing is entered"
    for form in ("table", "prometheus"):
        assert begun("status", "--format", form) == 0


def test_a_ledger_is_begun_once_and_its_key_is_never_overwritten(begun: Archive, place: Path, tmp_path: Path) -> None:
    key = (place / "key").read_bytes()
    assert begun("evidence", "init", "--keeper", "x") == 1
    assert (place / "key").read_bytes() == key
    assert (place / "key").stat().st_mode & 0o777 == 0o600
    if begun.database.kind == "sqlite":
        begun.database.run("DELETE FROM ledger_head")
        begun.sections = begun.sections.replace(f"{place}/key", f"{tmp_path}/key")
        begun.write_config()
        assert begun("evidence", "init", "--keeper", "x") == 2
        assert "database's folder" in begun.errors


def test_who_writes_needs_the_ledgers_key(begun: Archive, place: Path) -> None:
    """Nothing is stored by a program without [evidence], without a key, with another key, or under another name."""
    right = begun.sections
    foreign = place / "foreign"
    signing.create(foreign)
    for wrong in (
        "",
        right.replace('/key"', '/nowhere"'),
        right.replace('/key"', '/foreign"'),
        right.replace(NAME, "other.example.com"),
    ):
        begun.sections = wrong
        begun.write_config()
        assert begun("pull") == 2, wrong
        assert begun.count("runs") == begun.count("pages") == begun.count("windows") == 0
    begun.sections = right
    begun.write_config()
    assert begun("pull") == 0


@pytest.mark.full
def test_a_database_that_was_set_back_is_not_signed_until_somebody_resumes(begun: Archive, place: Path) -> None:
    """Pulls go on meanwhile, with their exit codes; the gap is told by the next epoch."""
    assert begun("pull") == 0
    ahead = json.loads((place / "state").read_text())
    (place / "state").write_text(json.dumps(ahead | {"size": ahead["size"] + 5}))
    before = begun.database.value("SELECT count(*) FROM checkpoints")
    begun.server.add({"msg_id": "late", "timestamp": begun.server.start_ms + 5, "from": "a"}, visible_ms=0)
    assert begun("evidence", "seal") == 75
    assert begun("pull") == 0
    assert begun.database.value("SELECT count(*) FROM checkpoints") == before
    begun("status", "--format", "prometheus")
    assert 'archiver_evidence_problem{alert="ArchiverLedgerBehind"} 1.0' in begun.output
    assert begun("evidence", "resume", "--reason", "restored, ticket 42") == 0
    start = [entry for entry in ledger_of(begun.database) if entry["kind"] == "start"][-1]
    assert (start["event"], start["origin"]) == ("resume", f"{NAME}#2")
    assert start["previous"]["size"] == ahead["size"] + 5
    assert "ticket" not in json.dumps(start)
    assert begun.database.rows("SELECT event, reason FROM evidence_log ORDER BY id")[-1][1] == "restored, ticket 42"
    assert begun("pull") == 0
    begun("status", "--format", "prometheus")
    assert 'alert="ArchiverLedgerBehind"' not in begun.output


@pytest.mark.full
def test_a_clone_that_signed_shows_as_a_fork(begun: Archive, place: Path) -> None:
    assert begun("pull") == 0
    known = json.loads((place / "state").read_text())
    (place / "state").write_text(json.dumps(known | {"root": "A" * 43 + "="}))
    begun.database.run("DELETE FROM checkpoints")
    assert begun("evidence", "seal") == 75
    assert "another ledger was signed" in begun.errors
    begun("status")
    assert "ArchiverLedgerFork" in begun.output


def test_without_a_known_note_nothing_is_signed(begun: Archive, place: Path) -> None:
    """As on a host whose state folder is empty: nobody could tell a database that was set back."""
    (place / "state").unlink()
    assert begun("pull") == 0
    assert not (place / "state").exists()
    assert begun.database.value("SELECT count(*) FROM checkpoints") == 1
    begun("status")
    assert "neither the state file nor a sink" in " ".join(begun.output.split())


@pytest.mark.full
def test_a_key_is_handed_over_in_two_steps(begun: Archive, place: Path) -> None:
    assert begun("evidence", "rotate", "--to", str(place / "next")) == 0
    both = [signing.load(place / name) for name in ("key", "next")]
    texts = [row[0] for row in begun.database.rows("SELECT note FROM checkpoints ORDER BY size")]
    signers = [len(notes.verify(notes.parse(text.encode()), [key.public for key in both])) for text in texts]
    assert signers[:2] == [1, 2], "the note of the handover has both signatures"
    assert begun("pull") == 0, "the old key is valid still"
    old = begun.sections
    begun.sections = old.replace('/key"', '/next"')
    begun.write_config()
    assert begun("evidence", "rotate", "--finish") == 0
    assert begun("pull") == 0
    begun.sections = old
    begun.write_config()
    assert begun("pull") == 2


@pytest.mark.full
def test_an_entry_nobody_signed_has_its_place_and_alarms(begun: Archive) -> None:
    begun.database.run('INSERT INTO ledger_queue (entry) VALUES (\'{"kind":"claim"}\')')
    assert begun("pull") == 0
    begun("status")
    assert "ArchiverEntryUnsigned" in begun.output


@pytest.mark.full
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_ledgers_end_that_is_held_by_somebody_holds_up_no_pull(begun: Archive) -> None:
    with psycopg.connect(begun.database.url) as holding:
        holding.execute("SELECT * FROM ledger_head FOR UPDATE")
        assert begun("pull") == 0
        assert begun.count("pages") > 0
        assert begun.database.value("SELECT count(*) FROM ledger_queue") > 0
    assert begun("pull") == 0
    assert begun.database.value("SELECT count(*) FROM ledger_queue") == 0


@pytest.mark.full
def test_an_export_enters_the_claim_of_its_moment(begun: Archive, tmp_path: Path) -> None:
    assert begun("pull") == 0
    before = sum(entry["kind"] == "claim" for entry in ledger_of(begun.database))
    assert begun("export", "--format", "jsonl", "--output", str(tmp_path / "out")) == 0
    assert begun("evidence", "seal") == 0
    after = ledger_of(begun.database)
    assert sum(entry["kind"] == "claim" for entry in after) == before + 1
    assert [entry["n"] for entry in after if entry.get("table") == "audit_log"] == [2]


def test_a_publisher_of_an_archive_without_a_ledger_says_so(database: Database, place: Path) -> None:
    text = f'[database]\nurl = "{database.url}"\n[evidence]\nname = "{NAME}"\nkey_file = "{place}/key"\n'
    text += f'state_file = "{place}/state"\n[[apps]]\norg = "o"\napp = "a"\nclient_id = "c"\nclient_secret = "s"\n'
    text += "start = 0\n"
    (place / "config.toml").write_text(text)
    signing.create(place / "key")
    settings = load(place / "config.toml", {})
    store = open_store(settings.database.sqlalchemy_url)
    done = sinks.publisher(store, settings)()
    store.dispose()
    assert done.problem is not None
    assert "no ledger" in done.problem


@pytest.mark.full
def test_the_command_verifies_and_names_what_differs(begun: Archive, place: Path) -> None:
    assert begun("pull") == 0
    assert begun("evidence", "verify") == 0
    assert "compare with the keeper's fingerprint" in begun.output
    assert begun("evidence", "verify", "--vkey", str(place / "vkey"), "--seals-only", "--sample", "1") == 0
    assert "compare with" not in begun.output
    begun("status", "--format", "json")
    assert json.loads(begun.output)["evidence"]["scrub"]["differences"] == 0
    begun.database.alter("UPDATE pages SET server_ms = 7 WHERE id = 1")
    assert begun("evidence", "verify", "--format", "json") == 3
    found = json.loads(begun.output)
    assert found["differences"] == 1
    assert found["listed"] == [{"table": "pages", "id": "1", "problem": "its server is not that of its entry"}]
    assert begun("evidence", "verify", "--language", "zh") == 3
    assert "pages 1: 其 server 与条目不符" in begun.output
    assert "1 处差异" in begun.output
    assert begun("evidence", "verify", "--language", "en") == 3
    begun("status")
    assert "ArchiverDifference" in begun.output
    assert begun("evidence", "verify", "--vkey", str(place / "nowhere")) == 2


@pytest.mark.full
def test_verification_after_a_resumption_tells_the_gap(begun: Archive, place: Path) -> None:
    assert begun("pull") == 0
    ahead = json.loads((place / "state").read_text())
    (place / "state").write_text(json.dumps(ahead | {"size": ahead["size"] + 5}))
    assert begun("evidence", "resume", "--reason", "restored") == 0
    assert begun("pull") == 0
    assert begun("evidence", "verify") == 0
    assert f"lost: entries {ahead['size']} to {ahead['size'] + 4} of {NAME}" in " ".join(begun.output.split())


def test_an_archive_without_a_ledger_has_nothing_to_verify(database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(database, messages=1)
    assert archive("pull") == 0
    assert archive("evidence", "verify") == 2
    assert "[evidence] is not configured" in archive.errors


def test_findings_are_counted_and_worded_as_a_language_does(capsys: pytest.CaptureFixture[str]) -> None:
    findings = VerifyFindings(trusted=True)
    findings.checked.update(entries=2, rows=1, contents=1)
    findings.differ("ledger", 7, "the claim of o#a (cursor) is not borne out: its holes are not those of the entries")
    print_findings(findings)
    assert capsys.readouterr().out.splitlines() == [
        "ledger 7: the claim of o#a (cursor) is not borne out: its holes are not those of the entries",
        "verified 2 entries, 1 row, 1 file: 1 difference",
    ]
    print_findings(findings, language("zh"))
    assert capsys.readouterr().out.splitlines() == [
        "ledger 7: o#a（cursor）的完整性声明没有依据：其缺口与条目不符",
        "已核验 2 个条目、1 行、1 个文件：1 处差异",
    ]
