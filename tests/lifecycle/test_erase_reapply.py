"""After a restore nothing is shown, indexed or exported until what was erased is erased again, by two persons again."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiver.config import load
from archiver.service import alerts, monitor
from archiver.store.erasures import RequestItem, digest_of
from tests.fixtures.archive import Archive, MakeArchive, check_sums
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.evidence import NAME
from tests.fixtures.service import wait_until
from tests.fixtures.store import open_database
from tests.lifecycle.conftest import Persons
from tests.lifecycle.erasing import FILE, IDS, TEXT, again, left_of, requested, speaking

SHOWING = (
    ("search", TEXT),
    ("conversation", "erased-1", "erased-2"),
    ("conversations",),
    ("evidence", "proof", IDS[0], "--output", "proof"),
)


def metrics_of(archive: Archive) -> bytes:
    """What Prometheus reads, and the alert that stands for the same."""
    settings, store = load(archive.config, {}), open_database(archive.database)
    look = monitor.look(settings, store)
    store.dispose()
    assert (look.reapply_since_ms is None) == (alerts.of_restore(look.reapply_since_ms) == [])
    return monitor.exposition(settings, look)


def backup(archive: Archive, place: Path) -> Callable[[], None]:
    """A backup of an SQLite archive; gives what restores it."""
    path = archive.database.url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(place)) as target:
        source.backup(target)

    def restore() -> None:
        with contextlib.closing(sqlite3.connect(place)) as source, contextlib.closing(sqlite3.connect(path)) as target:
            source.backup(target)

    return restore


def shows_nothing(archive: Archive, tmp_path: Path) -> None:
    out = ("--output", str(tmp_path / "copy"))
    for command in (*SHOWING, ("export", "--format", "csv", *out), ("copy", "--to", f"sqlite:///{tmp_path}/b.db")):
        assert archive(*command) == 2, command
        assert "erase reapply" in archive.errors
        assert TEXT not in archive.output
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("since", ["before the request", pytest.param("begun", marks=pytest.mark.full)])
def test_a_restored_archive_shows_nothing_until_it_is_erased_again(
    accounts: Persons, tmp_path: Path, since: str
) -> None:
    archive = accounts.archive
    speaking(archive)
    if since == "before the request":
        restore = backup(archive, tmp_path / "backup.db")
        number = requested(accounts)
    else:
        number = requested(accounts)
        archive.database.run("INSERT INTO approvals (request_id, decision, body_sha256, who, at)"
                             " SELECT request_id, 'begun', body_sha256, 'x', at FROM approvals")  # fmt: skip
        restore = backup(archive, tmp_path / "backup.db")
    assert archive("erase", "run", number) == 0
    assert archive("search", "order") == 0
    restore()
    assert "messages" in left_of(archive, TEXT)
    shows_nothing(archive, tmp_path)
    assert archive("pull") == 0
    assert archive("index") == 0
    assert archive.database.value("SELECT reapply_since FROM lifecycle") is not None
    assert b"archiver_reapply_pending 1.0" in metrics_of(archive)
    if since == "before the request":
        for _ in range(2):
            assert archive("erase", "reapply") == 2
            assert "another person has to approve" in archive.errors
        (waiting,) = archive.database.rows("SELECT id, kind FROM requests")
        assert waiting[1] == "reapplied"
        accounts.now("bob")
        assert archive("requests", "approve", str(waiting[0])) == 0
        accounts.operate()
    assert archive("erase", "reapply") == 0, archive.errors
    assert left_of(archive, TEXT, FILE, "erased-1") == []
    assert archive.database.value("SELECT reapply_since FROM lifecycle") is None
    assert b"archiver_reapply_pending 0.0" in metrics_of(archive)
    assert archive("search", "order") == 0
    assert archive("erase", "reapply") == 0
    check_sums(archive.database)


@pytest.mark.full
def test_what_the_restored_archive_never_had_is_not_stored_either(accounts: Persons, tmp_path: Path) -> None:
    archive = accounts.archive
    restore = backup(archive, tmp_path / "backup.db")
    start = speaking(archive)
    number = requested(accounts)
    assert archive("erase", "run", number) == 0
    restore()
    assert archive("erase", "reapply") == 2
    (waiting,) = archive.database.rows("SELECT id FROM requests")
    accounts.now("bob")
    assert archive("requests", "approve", str(waiting[0])) == 0
    accounts.operate()
    assert archive("erase", "reapply") == 0, archive.errors
    assert start
    again(archive)
    assert archive("pull") == 0
    assert archive.database.value(f"SELECT count(*) FROM messages WHERE msg_id IN {IDS}") == 0
    assert archive.count("message_revisions") == 0
    check_sums(archive.database)


@pytest.mark.full
def test_a_daemon_compares_at_its_start_before_it_indexes_anything(
    accounts: Persons, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    archive = accounts.archive
    speaking(archive)
    archive.database.run("DELETE FROM search_texts")
    archive.database.run("INSERT INTO search_queue (page_id) SELECT id FROM pages")
    restore = backup(archive, tmp_path / "backup.db")
    assert archive("erase", "run", requested(accounts)) == 0
    restore()
    process = start(archive, "run")
    wait_until(lambda: archive.count("runs WHERE command = 'run' AND ended_at IS NOT NULL"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert archive.count("lifecycle WHERE reapply_since IS NOT NULL") == 1
    assert archive.count("search_texts") == 0


@pytest.mark.full
def test_the_file_of_erasures_alone_erases_nothing(persons: Persons) -> None:
    archive = persons.archive
    speaking(archive)
    requested(persons, approve=False)
    app = archive.database.value("SELECT name FROM apps")
    line = {"app": app, "msg_id": IDS[0], "request": 1, "at": "2026-11-01T00:00:00.000Z"}
    archive.config.with_name("erasures.jsonl").write_text(f"no line\n{json.dumps(line)}\n{json.dumps(line)[:20]}")
    assert archive("erase", "reapply") == 2
    assert archive("erase", "reapply") == 2
    assert archive.count("tombstones") == 0
    assert "messages" in left_of(archive, TEXT)
    archive.config.with_name("erasures.jsonl").unlink()


@pytest.mark.full
def test_sinks_know_of_erasures_when_the_file_is_gone_as_well(
    sqlite_database: Database, make_archive: MakeArchive, place: Path, tmp_path: Path
) -> None:
    archive = make_archive(sqlite_database, messages=20)
    file = archive.config.with_name("erasures.jsonl")
    sink = f'[[evidence.anchors]]\nsink = "file"\npath = "{place}/notes"\n'
    archive.sections = (
        f'[lifecycle]\nerasures_file = "{file}"\n'
        f'[evidence]\nname = "{NAME}"\nkey_file = "{place}/key"\nstate_file = "{place}/state"\n{sink}'
    )
    assert archive("evidence", "init", "--keeper", "internal audit", "--output", str(place / "vkey")) == 0
    assert archive("pull") == 0
    assert file.read_text() == "", "sinks without erasures are asked once"
    speaking(archive)
    store = open_database(sqlite_database)
    with store.write() as tx:
        body = {"items_sha256": digest_of([RequestItem(1, one) for one in IDS]), "apps": [], "exports": []}
        number = str(approved(tx, "erase", body, items=IDS))
    store.dispose()
    restore = backup(archive, tmp_path / "backup.db")
    assert archive("erase", "run", number) == 0, archive.errors
    noted = (place / "erasures.jsonl").read_text()
    assert noted == file.read_text()
    assert all(one in noted for one in IDS)
    restore()
    file.unlink()
    assert TEXT in str(sqlite_database.rows("SELECT * FROM message_bodies"))
    shows_nothing(archive, tmp_path)
    assert file.read_text() == noted, "made anew of what the sink has"
    assert archive("pull") == 0
    assert archive("erase", "reapply") == 0, archive.errors
    assert left_of(archive, TEXT, FILE, "erased-1") == []


def test_a_named_file_that_cannot_be_read_does_not_get_better_by_itself(
    accounts: Persons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default place may be another account's: tests/flow/test_readers.py has readers who cannot enter it."""
    archive = accounts.archive
    assert archive("pull") == 0
    named = tmp_path / "erasures.jsonl"
    named.touch()
    opened = Path.open

    def refused(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == named:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    archive.sections += f"\n[lifecycle]\nerasures_file = '{named}'\n"
    archive.write_config()
    assert archive("search", "order") == 2
    assert f"{named} cannot be read by this account" in archive.errors
