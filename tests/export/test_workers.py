"""An export by several processes: the same files of the same snapshot, and nothing that outlives it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archiver import coverage, host
from archiver.errors import ArchiverError, Stopped, UsageError
from archiver.export import run as exports
from archiver.export import workers
from archiver.export.folder import ExportFiles
from archiver.export.request import Request
from archiver.model import DAY_MS
from archiver.sources import decode
from archiver.store import messages
from archiver.store.appending import Provenance
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.messages import Batch
from archiver.store.read.filters import Filter
from archiver.store.snapshots import Snapshot
from tests.export.samples import files
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, open_database, page_of, record

DAYS = 6


@pytest.fixture
def store(postgres_database: Database) -> Iterator[Store]:
    found = open_database(postgres_database)
    yield found
    found.dispose()


def add(store: Store, key: SourceKey, name: str) -> None:
    """Some messages of every day."""
    page = page_of(
        *(record(f"{name}-{day}-{n}", f"text {n}", ORIGIN + day * DAY_MS + n) for day in range(DAYS) for n in range(40))
    )
    with store.write() as tx:
        (page_id,) = tx.new_page_ids(1)
        messages.insert(tx, Provenance(key.app_id, ORIGIN), [Batch(page_id, page.messages)])


class Watcher:
    """Acts when it is known what there is to write, or after so many messages."""

    def __init__(self, begun: Callable[[], None] = lambda: None, wrote: Callable[[int], None] = lambda _: None) -> None:
        self._begun, self._wrote = begun, wrote
        self.stop = threading.Event()
        self.written = 0

    def begun(self, messages: int) -> None:
        self._begun()

    def wrote(self, messages: int) -> None:
        self.written += messages
        self._wrote(self.written)


def export(store: Store, output: Path, count: int, watcher: Watcher | None = None, form: str = "jsonl") -> Watcher:
    watcher = watcher or Watcher()
    request = Request(form, output, Filter(), "auditor", case="7", workers=count)
    ways = {"claims": coverage.claims, "decode": decode, "blobs": None, "stop": watcher.stop, "watcher": watcher}
    exports.Export(store, request, **ways).run()  # type: ignore[arg-type]
    return watcher


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder) if name.startswith("messages")}


@pytest.mark.parametrize("form", ["jsonl", pytest.param("html", marks=pytest.mark.full)])
def test_several_processes_write_what_one_writes(store: Store, key: SourceKey, tmp_path: Path, form: str) -> None:
    add(store, key, "first")
    export(store, tmp_path / "one", 1, form=form)
    # What is stored after the snapshot was taken is in none of its files, whichever process writes them.
    watcher = export(store, tmp_path / "two", 2, Watcher(begun=lambda: add(store, key, "later")), form)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert watcher.written == DAYS * 40
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "two").rglob("part-*")} == {0o600}


@pytest.mark.full
def test_several_processes_write_for_the_group_where_one_would(
    store: Store, key: SourceKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, key, "first")
    monkeypatch.setattr(host._Modes, "shared", True)
    export(store, tmp_path / "two", 2)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "two").rglob("part-*")} == {0o660}


def children() -> list[int]:
    """Processes of ours."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


@pytest.mark.full
def test_an_export_that_is_stopped_leaves_no_process_and_goes_on(store: Store, key: SourceKey, tmp_path: Path) -> None:
    add(store, key, "first")
    before = children()
    watcher = Watcher()
    watcher._wrote = lambda _: watcher.stop.set()
    with pytest.raises(Stopped):
        export(store, tmp_path / "out", 2, watcher)
    assert [pid for pid in children() if pid not in before and _is_worker(pid)] == []
    export(store, tmp_path / "out", 2)
    export(store, tmp_path / "one", 1)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def _is_worker(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.full
def test_a_process_that_is_killed_ends_the_export_and_it_goes_on(store: Store, key: SourceKey, tmp_path: Path) -> None:
    add(store, key, "first")

    def kill(_: int) -> None:
        for pid in filter(_is_worker, children()):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(ArchiverError, match="a process of the export was ended"):
        export(store, tmp_path / "out", 2, Watcher(wrote=kill))
    export(store, tmp_path / "out", 2)
    export(store, tmp_path / "one", 1)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


@pytest.mark.full
def test_an_error_of_a_process_is_raised_with_its_remedy(store: Store, key: SourceKey, tmp_path: Path) -> None:
    add(store, key, "first")

    def lose() -> None:
        with store.write() as tx:
            tx.conn.exec_driver_sql("ALTER TABLE message_bodies RENAME TO lost")

    with pytest.raises(ArchiverError, match="message_bodies") as raised:
        export(store, tmp_path / "out", 2, Watcher(begun=lose))
    assert raised.value.exit_code == 2
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_two_processes_that_make_the_same_folder_both_write_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = host.make_folder

    def second(path: Path, **options: bool) -> None:
        path.mkdir(mode=0o700)  # by the other process, between the look and the making
        make(path, **options)

    monkeypatch.setattr(host, "make_folder", second)
    with ExportFiles(tmp_path).create("messages/app=a/day=b/part-0001.jsonl") as sink:
        sink.write(b"a line")
    assert (tmp_path / "messages/app=a/day=b/part-0001.jsonl").read_bytes() == b"a line"


def test_sqlite_has_no_snapshot_for_others(sqlite_database: Database, tmp_path: Path) -> None:
    store = open_database(sqlite_database)
    with pytest.raises(UsageError, match="--workers is for PostgreSQL"):
        export(store, tmp_path / "out", 2)
    store.dispose()
    assert not (tmp_path / "out").exists()


def test_what_is_sent_to_a_process_shows_no_password() -> None:
    snapshot = Snapshot("postgresql://u:secret@h/d", "1")
    assert "secret" not in repr(workers.Orders(snapshot, Request("csv", Path("x"), Filter(), "me"), decode, {}))
