"""`archiver export` as a whole: the row before it, one snapshot, going on after an interruption, and the check."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from archiver import coverage
from archiver.errors import DatabaseRefused, Stopped
from archiver.export import manifest
from archiver.export import run as exports
from archiver.export.request import Request
from archiver.sources import decode
from archiver.store.engine import Store
from archiver.store.read.filters import Filter
from archiver.store.schema import events
from archiver.zones import Calendar
from tests.export.samples import files, said
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.blobs import MakeCollector, Shelf
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database


class Told:
    """Watches an export, and acts in the middle of it."""

    def __init__(self, act: Callable[[int], None] = lambda _: None) -> None:
        self.planned = self.written = 0
        self._act = act

    def begun(self, messages: int) -> None:
        self.planned = messages

    def wrote(self, messages: int) -> None:
        self.written += messages
        self._act(self.written)


def run(
    store: Store, output: Path, told: Told | None = None, stop: threading.Event | None = None, form: str = "jsonl"
) -> exports.ExportOutcome:
    request = Request(form, output, Filter(), "auditor", case="7")
    stop = stop or threading.Event()
    return exports.Export(
        store, request, claims=coverage.claims, decode=decode, blobs=None, stop=stop, watcher=told or Told()
    ).run()


def outcomes(database: Database) -> list[str]:
    return [row[0] for row in database.rows("SELECT outcome FROM audit_log ORDER BY id")]


def ids(output: Path) -> list[str]:
    return [json.loads(line)["msg_id"] for part in output.rglob("*.jsonl") for line in part.read_bytes().splitlines()]


def test_every_export_is_two_rows_that_say_who_what_and_why(archive: Archive, tmp_path: Path) -> None:
    place = tmp_path / "out"
    options = ("--sender", "iris", "--from", "0", "--case", "case 7", "--reason", "asked by the court")
    assert archive("export", "--format", "jsonl", "--output", str(place), *options) == 3, "the archive begins later"
    columns = "outcome, format, filter, case_id, reason, messages, manifest_sha256, who, login IS NULL"
    begun, done = archive.database.rows(f"SELECT {columns} FROM audit_log ORDER BY id")
    count = len(ids(place))
    assert count
    same = ("jsonl", json.dumps({"from_ms": 0, "sender": "iris"}), "case 7", "asked by the court", count)
    sha256 = hashlib.sha256((place / "manifest.json").read_bytes()).hexdigest()
    assert begun[:7] == ("begun", *same, None)
    assert done[:7] == ("done", *same, sha256)
    assert begun[7]
    assert begun[8] == (archive.database.kind == "sqlite"), "PostgreSQL knows who logged in"
    assert archive("export", "verify", str(place), "--sha256", sha256) == 0
    assert archive("export", "verify", str(place), "--sha256", "0" * 64) == 3


def test_who_exports_is_the_operating_systems_word(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else\x1b[2J")
    monkeypatch.setattr(os, "getuid", lambda: 1_000_650_000)  # a container's, without a name
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "out")) == 0
    assert json.loads((tmp_path / "out/manifest.json").read_text())["who"] == "1000650000"
    assert {row[0] for row in archive.database.rows("SELECT who FROM audit_log")} == {"1000650000"}


def test_no_row_of_the_audit_log_is_changed_or_deleted(archive: Archive, tmp_path: Path) -> None:
    assert archive("export", "--format", "csv", "--output", str(tmp_path / "out")) == 0
    for statement in ("UPDATE audit_log SET who = 'nobody'", "DELETE FROM audit_log"):
        with pytest.raises(Exception, match="append-only"):
            archive.database.run(statement)
    assert outcomes(archive.database) == ["begun", "done"]


@pytest.mark.full
def test_without_the_row_nothing_is_exported(archive: Archive, tmp_path: Path) -> None:
    archive.database.run("ALTER TABLE audit_log RENAME TO elsewhere")
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "out")) == 2
    assert "no export without its row in audit_log" in archive.errors
    assert not (tmp_path / "out").exists()


def test_without_the_second_row_no_export_is_finished(archive: Archive, tmp_path: Path) -> None:
    store = open_database(archive.database)

    def break_it(_: int) -> None:
        archive.database.run("ALTER TABLE audit_log RENAME TO elsewhere")

    with pytest.raises(DatabaseRefused):
        run(store, tmp_path / "out", Told(break_once(break_it)))
    assert not (tmp_path / "out/manifest.json").exists()
    archive.database.run("ALTER TABLE elsewhere RENAME TO audit_log")
    assert run(store, tmp_path / "out").messages == archive.count("messages")
    store.dispose()


def break_once(act: Callable[[int], None]) -> Callable[[int], None]:
    done: list[int] = []

    def once(written: int) -> None:
        if not done:
            done.append(written)
            act(written)

    return once


def test_an_export_with_fewer_messages_than_the_archive_counts_is_none(
    sqlite_database: Database, make_archive: MakeArchive, tmp_path: Path
) -> None:
    archive = make_archive(sqlite_database, messages=60)
    assert archive("pull") == 0
    # An index that lacks a message, as a damaged file has it; the count goes by another one.
    with sqlite3.connect(str(sqlite_database.url).removeprefix("sqlite:///"), isolation_level=None) as raw:
        (index,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'ix_messages_sent_at'").fetchone()
        raw.execute("DROP INDEX ix_messages_sent_at")
        raw.execute(f"{index} WHERE position <> 7")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'ix_messages_sent_at'", (index,))
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "out")) == 3
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_an_export_is_of_one_snapshot_and_the_pull_goes_on(archive: Archive, tmp_path: Path) -> None:
    store = open_database(archive.database)
    before = archive.count("messages")

    def pull_more(_: int) -> None:
        for day in range(2):
            stamp = archive.server.start_ms + day * 86_400_000 + 7_000
            archive.server.add(said(f"new{day}", "later", stamp), visible_ms=0)
        start = archive.server.start_ms
        assert archive("audit", "--from", str(start), "--to", str(start + 2 * 86_400_000)) in (0, 3)
        assert archive.count("messages") == before + 2

    done = run(store, tmp_path / "out", Told(break_once(pull_more)))
    assert done.messages == before == len(ids(tmp_path / "out"))
    assert not {"new0", "new1"} & set(ids(tmp_path / "out"))
    store.dispose()


def test_an_interrupted_export_goes_on_and_is_of_the_later_snapshot(archive: Archive, tmp_path: Path) -> None:
    store, stop = open_database(archive.database), threading.Event()
    place = tmp_path / "out"

    with pytest.raises(Stopped):
        run(store, place, Told(lambda _: stop.set()), stop)
    first = files(place)
    assert "export.journal" in first
    assert "manifest.json" not in first
    assert len(first) == 2, "one day, and the journal"
    archive.server.add(said("new", "later", archive.server.start_ms + 86_400_000), visible_ms=0)
    start = archive.server.start_ms
    archive("audit", "--from", str(start + 86_400_000), "--to", str(start + 86_460_000))
    done = run(store, place)
    assert done.kept_days == 1
    assert done.messages == archive.count("messages")
    assert "new" in ids(place)
    assert manifest.verify(place).differences == []
    assert json.loads((place / "manifest.json").read_text())["resumed"] is True
    assert outcomes(archive.database) == ["begun", "stopped", "begun", "done"]
    fresh = tmp_path / "fresh"
    run(store, fresh)
    for part in (path for path in files(fresh) if path.endswith(".jsonl")):
        assert (place / part).read_bytes() == (fresh / part).read_bytes()
    store.dispose()


def test_a_finished_day_that_has_changed_is_written_anew(archive: Archive, tmp_path: Path) -> None:
    store, stop, place = open_database(archive.database), threading.Event(), tmp_path / "out"
    with pytest.raises(Stopped):
        run(store, place, Told(lambda _: stop.set()), stop)
    # No message more, but one that has been seen with other content since.
    stamp = archive.server.start_ms + 5_000
    archive.server.add(said("h1", "changed since", stamp + 1), visible_ms=0)
    assert archive("audit", "--from", str(stamp), "--to", str(stamp + 1000)) == 0
    done = run(store, place)
    assert done.kept_days == 0
    lines = [json.loads(line) for part in place.rglob("*.jsonl") for line in part.read_bytes().splitlines()]
    assert [len(line["revisions"]) for line in lines if line["msg_id"] == "h1"] == [1]
    store.dispose()


@pytest.mark.parametrize(("form", "kept"), [("html", 0), ("jsonl", 1)])
def test_a_finished_day_of_which_a_recall_was_reported_is_written_anew_where_it_is_shown(
    archive: Archive, tmp_path: Path, form: str, kept: int
) -> None:
    store, stop, place = open_database(archive.database), threading.Event(), tmp_path / "out"
    with pytest.raises(Stopped):
        run(store, place, Told(lambda _: stop.set()), stop, form)
    recall = {"app_id": 1, "kind": "recall", "signed": "signed", "raw": b"x", "digest": b"x", "target_msg_id": "h1"}
    with store.write() as tx:
        stamps = dict.fromkeys(("received_at", "at_ms"), archive.server.start_ms + 60_000)
        tx.conn.execute(events.insert().inline(), recall | stamps | {"actor": "moderator7"})
    done = run(store, place, form=form)
    assert done.kept_days == kept
    assert ("moderator7" in "".join(part.read_text() for part in place.rglob("part-*"))) is (form == "html")
    store.dispose()


@pytest.mark.full
def test_a_finished_day_that_somebody_has_damaged_is_written_anew(archive: Archive, tmp_path: Path) -> None:
    store, stop, place = open_database(archive.database), threading.Event(), tmp_path / "out"
    with pytest.raises(Stopped):
        run(store, place, Told(lambda _: stop.set()), stop)
    (part,) = place.rglob("*.jsonl")
    damaged(place, part.relative_to(place).as_posix())()
    assert run(store, place).kept_days == 0
    assert manifest.verify(place).differences == []
    store.dispose()


@pytest.mark.full
def test_an_export_is_gone_on_with_only_by_the_same_options(archive: Archive, tmp_path: Path) -> None:
    store, stop, place = open_database(archive.database), threading.Event(), tmp_path / "out"
    with pytest.raises(Stopped):
        run(store, place, Told(lambda _: stop.set()), stop)
    store.dispose()
    assert archive("export", "--format", "csv", "--output", str(place)) == 2
    assert "differs in: case, format" in archive.errors
    assert archive("export", "--format", "jsonl", "--output", str(place), "--case", "7") == 0
    assert archive("export", "--format", "jsonl", "--output", str(place), "--case", "7") == 2
    assert "finished export" in archive.errors


def test_an_export_in_days_of_a_zone_goes_on_in_the_same_days(archive: Archive, tmp_path: Path) -> None:
    store, stop, place = open_database(archive.database), threading.Event(), tmp_path / "out"
    calendar = Calendar(ZoneInfo("America/New_York"))
    request = Request("csv", place, Filter(), "auditor", calendar=calendar)

    def once(told: Told) -> exports.ExportOutcome:
        parts: dict[str, Any] = {"claims": coverage.claims, "decode": decode, "blobs": None}
        return exports.Export(store, request, **parts, stop=stop, watcher=told).run()

    with pytest.raises(Stopped):
        once(Told(lambda count: stop.set() if count > 1 else None))
    for zone in ("UTC", "-05:00"):
        assert archive("export", "--format", "csv", "--output", str(place), "--zone", zone) == 2
        assert "differs in: zone" in archive.errors
    stop.clear()
    done = once(Told())
    store.dispose()
    assert done.kept_days > 0
    assert done.messages == archive.count("messages")
    assert archive("export", "verify", str(place)) == 0


def test_a_folder_that_is_not_empty_is_refused(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    assert archive("export", "--format", "csv", "--output", str(tmp_path / "out")) == 2
    assert files(tmp_path / "out") == ["mine.txt"]
    assert outcomes(archive.database) == ["begun", "failed"]


def test_nobody_else_may_read_an_export(archive: Archive, tmp_path: Path) -> None:
    assert archive("export", "--format", "html", "--output", str(tmp_path / "out")) == 0
    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.full
def test_the_filter_of_an_export_is_that_of_a_search(archive: Archive, tmp_path: Path) -> None:
    stamp = archive.server.start_ms + 5_000
    chosen: tuple[tuple[list[str], str], ...] = (
        (["--sender", "IRIS", "--type", "file"], "SELECT 'two'"),
        (["--conversation", "xingchen|iris", "--from", str(stamp), "--to", str(stamp + 3)],
         "SELECT 'h0' UNION SELECT 'h1' UNION SELECT 'h2'"),
        (["--app", "sandbox"], "SELECT msg_id FROM messages"),
        (["--text", "Another  CONTENT"], "SELECT 'h0'"),
        (["--text", "of two", "--type", "txt"], "SELECT 'two'"),
        (["--text", "of two", "--sender", "nobody"], "SELECT 'two' WHERE 1 = 0"),
        (["--recipient", "nobody"], "SELECT msg_id FROM messages WHERE recipient = 'nobody'"),
    )  # fmt: skip
    for number, (options, sql) in enumerate(chosen):
        place = tmp_path / str(number)
        assert archive("export", "--format", "jsonl", "--output", str(place), *options) == 0
        assert set(ids(place)) == {row[0] for row in archive.database.rows(sql)}, options
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "x"), "--app", "other") == 2
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "x"), "--text", "\u200b") == 2
    assert archive("search", "content", "--limit", "0", "--format", "jsonl") == 0
    found = {json.loads(line)["msg_id"] for line in archive.output.splitlines()}
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "y"), "--text", "content") == 0
    assert set(ids(tmp_path / "y")) == found != set()


def damaged(place: Path, path: str) -> Callable[[], None]:
    file = place / path

    def flip() -> None:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)

    return flip


@pytest.mark.full
def test_every_change_of_a_folder_is_found(archive: Archive, tmp_path: Path) -> None:
    place = tmp_path / "out"
    assert archive("export", "--format", "html", "--output", str(place)) == 0
    whole = {path: (place / path).read_bytes() for path in files(place)}
    for path, content in whole.items():
        damaged(place, path)()
        assert archive("export", "verify", str(place)) == 3, path
        (place / path).write_bytes(content[:-1])
        assert archive("export", "verify", str(place)) == 3, path
        (place / path).unlink()
        assert archive("export", "verify", str(place)) == (2 if path == "manifest.json" else 3), path
        (place / path).write_bytes(content)
    for added in ("added", "messages/.hidden", "messages/part-0001.html"):
        (place / added).write_bytes(b"")
        assert archive("export", "verify", str(place)) == 3
        assert f"{added} is not in the manifest" in archive.output
        (place / added).unlink()
    (place / "link").symlink_to("/etc/hostname")
    os.mkfifo(place / "pipe")
    assert archive("export", "verify", str(place)) == 3
    assert "link is no regular file\npipe is no regular file" in archive.output
    for name in ("link", "pipe"):
        (place / name).unlink()
    assert archive("export", "verify", str(place)) == 0


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/hostname", "messages/../../outside", ""], ids=["up", "absolute", "within", "empty"]
)
def test_a_manifest_of_a_stranger_opens_nothing_outside(tmp_path: Path, path: str) -> None:
    place = tmp_path / "out"
    place.mkdir()
    (tmp_path / "outside").write_bytes(b"secret")
    listed = {"path": path, "bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    with (place / "manifest.json").open("wb") as file:
        manifest.write(file, {"counts": {"messages": 0}}, [listed])
    sha256 = hashlib.sha256((place / "manifest.json").read_bytes()).hexdigest()
    (place / "manifest.json.sha256").write_bytes(manifest.checksum(sha256))
    assert [each.problem for each in manifest.verify(place).differences] == ["is missing"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": 3}', b'{"files": [{}]}', b"[" * 100_000])
def test_a_manifest_that_is_none_is_a_difference(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    assert manifest.verify(tmp_path).differences


@pytest.mark.full
def test_attachments_are_copied_once_and_checked(
    database: Database, make_collector: MakeCollector, folder: Shelf, tmp_path: Path
) -> None:
    collector = make_collector(database, folder, messages=60)
    assert collector("pull") == 0
    collector("attachments")
    stored: dict[Any, Any] = dict(database.rows("SELECT sha256, size FROM attachments WHERE state = 'stored'"))
    assert stored
    place = tmp_path / "out"
    assert collector("export", "--format", "html", "--output", str(place), "--attachments") == 0
    copied = [path for path in (place / "attachments").rglob("*") if path.is_file()]
    assert {path.stem: path.stat().st_size for path in copied} == stored
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.stem for path in copied)
    assert collector("export", "verify", str(place)) == 0
    page = "".join(part.read_text() for part in place.rglob("part-*.html"))
    assert all(f'../../../attachments/{path.parent.name}/{path.name}"' in page for path in copied)
    check_pictures(page, database)
    assert collector("export", "--format", "html", "--output", str(tmp_path / "bare")) == 0
    bare = "".join(part.read_text() for part in (tmp_path / "bare").rglob("*.html"))
    assert "<img" not in bare
    assert "img-src" not in bare


def check_pictures(page: str, database: Database) -> None:
    """Of the folder, by what the contents are, and nothing else."""
    path = r"attachments/[0-9a-f]{2}/([0-9a-f]{64})\.(?:png|jpg|gif|webp)"
    shown = re.findall(rf'<img src="\.\./\.\./\.\./{path}" alt="[^"<>]*">', page)
    assert page.count("<img") == len(shown) > 0
    stored = "SELECT DISTINCT sha256 FROM attachments WHERE state = 'stored' AND kind = 'file' AND media_type IN "
    pictures = database.rows(stored + "('image/png', 'image/jpeg', 'image/gif', 'image/webp')")
    assert set(shown) == {row[0] for row in pictures}
    assert "; img-src &#x27;self&#x27;; base-uri" in page


@pytest.mark.full
def test_a_stored_file_that_is_missing_or_changed_is_told(
    database: Database, make_collector: MakeCollector, folder: Shelf, tmp_path: Path
) -> None:
    collector = make_collector(database, folder, messages=60)
    assert collector("pull") == 0
    collector("attachments")
    first, second = sorted(collector.shelf.names())[:2]
    collector.shelf.damage(Path(first).name, b"other bytes")
    collector.shelf.damage(Path(second).name, None)
    place = tmp_path / "out"
    assert collector("export", "--format", "jsonl", "--output", str(place), "--attachments") == 3
    assert "2 stored files are missing or damaged" in collector.errors
    told: dict[str, Any] = json.loads((place / "manifest.json").read_text())["attachments_missing"]
    assert set(told) == {Path(first).name, Path(second).name}
    assert not list(place.rglob(f"*{Path(first).name}*"))
    assert collector("export", "verify", str(place)) == 0


_SPELLED = {"longest": 1e22, "b": [-0.0, 1.5e300, 12345678901234567890, 1e-7], "a": {"y": 1.0, "x": "\u200f"}}
_OF_THE_RUN = re.compile(rb'"page_id":\d+|127\.0\.0\.1:\d+|[0-9a-f]{64}|(?<="archived_at":")[^"]*|(?<=,)[^,]*(?=\r\n)')


def test_both_databases_export_the_same_bytes(
    both: tuple[Database, Database], make_archive: MakeArchive, tmp_path: Path
) -> None:
    parts: list[dict[str, bytes]] = [{}, {}]
    for database, written in zip(both, parts, strict=True):
        archive = make_archive(database, name=database.kind, messages=80, start_ms=1_790_000_000_000)
        for number, user in enumerate(("a", "B", "é", "ß", "_", "字", "a-b", "ab")):
            record = said(f"{user}{number}", user, 1_790_000_000_005) | {"from": user}
            record["payload"] = record["payload"] | {"ext": _SPELLED}
            record["payload"]["bodies"] = [{"type": "custom", "customEvent": "gift", "customExts": [_SPELLED]}]
            archive.server.add(record, visible_ms=0)
        assert archive("pull") == 0
        for form in ("html", "jsonl", "csv"):
            place = tmp_path / f"{form}-{database.kind}"
            assert archive("export", "--format", form, "--output", str(place)) == 0
            written |= {path: (place / path).read_bytes() for path in files(place) if "part-" in path}
    assert len(parts[0]) > 6
    for path, content in parts[0].items():
        assert _OF_THE_RUN.sub(b"", content) == _OF_THE_RUN.sub(b"", parts[1][path]), path


def test_a_long_pause_of_an_export_is_no_idle_transaction(postgres_database: Database, tmp_path: Path) -> None:
    from archiver.store.read import days as extracts

    store = open_database(postgres_database)
    with store.read() as tx:
        extracts.hold_snapshot(tx)
        assert tx.conn.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "1h"
    with store.read() as tx:
        assert tx.conn.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "1min"
    store.dispose()
