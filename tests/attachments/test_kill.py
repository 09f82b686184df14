"""`kill -9` during downloads, and several processes at once: nothing half counts, nothing twice, nothing by hand."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from archiver.errors import LeaseLost
from archiver.model import Pointer
from archiver.store import attachments
from archiver.store import owner as leases
from archiver.store.attachments import FileClaim, Result
from archiver.store.engine import Store, open_store
from tests.attachments.test_flow import check, content
from tests.fixtures.blobs import Collector, MakeCollector, Shelf
from tests.fixtures.databases import Database
from tests.flow.processes import Gate

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the program as a process of its own; what still lives at the end is killed."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(archive: Collector, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "archiver", "--config", str(archive.config), *arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def all_stored_are_whole(archive: Collector) -> None:
    rows = archive.database.rows("SELECT sha256, url FROM attachments WHERE state = 'stored'")
    names = {name.rpartition("/")[2] for name in archive.shelf.names()}
    for sha256, url in rows:
        assert sha256 == hashlib.sha256(content(url)).hexdigest()
        assert sha256 in names
    for name in names:
        assert archive.shelf.blobs.digest(name) == (name, len(archive.shelf.blobs.read(name)))


@pytest.mark.full
@pytest.mark.parametrize("kills", [4])
def test_kill_in_the_middle_of_downloads(
    database: Database, shelf: Shelf, make_collector: MakeCollector, start: Start, kills: int
) -> None:
    archive = make_collector(database, shelf, messages=60 + 40 * kills)
    archive("pull")
    total = archive.states()["pending"]
    faults, gate = archive.server.faults, Gate(archive.server, "/chatfiles/")
    faults.only, faults.drip, faults.drip_ms, faults.drip_pieces = "/chatfiles/", 0.7, 10, 4
    draw = random.Random(kills)
    for _ in range(kills):
        gate.let(draw.randrange(1, 6))
        process = start(archive, "attachments")
        gate.wait()
        time.sleep(draw.random() * 0.05)  # one is held, and the other workers may be anywhere
        process.kill()
        process.wait()
        all_stored_are_whole(archive)
    faults.drip = 0
    gate.open()
    assert archive("attachments") == 0
    assert archive.states() == {"stored": total}
    assert len(archive.shelf.names()) == total
    cut_off = archive.database.value("SELECT count(*) FROM attachment_attempts WHERE outcome = 'cut off'")
    assert cut_off >= kills, "an attempt that died with its process is on record"
    all_stored_are_whole(archive)
    check(archive)


@pytest.mark.full
def test_two_processes_share_the_work(
    database: Database, shelf: Shelf, make_collector: MakeCollector, start: Start
) -> None:
    archive = make_collector(database, shelf, messages=160)
    archive("pull")
    total = archive.states()["pending"]
    archive.configure(workers=1)
    gate = Gate(archive.server, "/chatfiles/")
    gate.let(0)
    processes = [start(archive, "attachments") for _ in range(2)]
    gate.wait(2)
    gate.open()
    for process in processes:
        process.wait(120)
    assert archive("attachments") == 0
    assert archive.states() == {"stored": total}
    assert archive.server.count("/chatfiles/") == total, "each was asked for once"
    assert len(archive.shelf.names()) == total
    owners = archive.database.value("SELECT count(DISTINCT owner) FROM attachment_attempts")
    assert owners == 2, "both have worked"
    check(archive)


@pytest.mark.full
def test_sigterm_leaves_no_claim_behind(
    database: Database, folder: Shelf, make_collector: MakeCollector, start: Start
) -> None:
    archive = make_collector(database, folder, messages=150)
    archive("pull")
    gate = Gate(archive.server, "/chatfiles/")
    gate.let(3)
    process = start(archive, "attachments")
    gate.wait()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    assert archive.states()["pending"] > 0
    held = "SELECT count(*) FROM attachments WHERE owner IS NOT NULL"
    assert archive.database.value(held) == 0
    check(archive)


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    found = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"))
    yield found
    found.dispose()


def claim(store: Store, owner: str, lease_ms: int = 60_000, after: FileClaim | None = None) -> FileClaim | None:
    with store.write() as tx:
        return attachments.claim(tx, 1, owner, lease_ms, after=after.place if after else None)


def test_a_claim_is_one_process_s_and_a_late_one_changes_nothing(
    database: Database, folder: Shelf, make_collector: MakeCollector, store: Store
) -> None:
    archive = make_collector(database, folder, messages=60)
    archive("pull")
    first = claim(store, "another host 1 2", lease_ms=-1)
    assert first is not None
    assert isinstance(first.pointer, Pointer)
    taken = claim(store, leases.me())
    assert taken is not None
    assert (taken.file, taken.fence) == (first.file, first.fence + 1)
    with pytest.raises(LeaseLost), store.write() as tx:
        attachments.settle(tx, first, Result("gone", "late"))
    with pytest.raises(LeaseLost), store.write() as tx:
        attachments.renew(tx, first, 1)
    with pytest.raises(LeaseLost), store.write() as tx:
        attachments.put_back(tx, first)
    other = claim(store, leases.me())
    assert other is not None
    assert other.file != taken.file, "what is held is not given out again"
    with store.write() as tx:
        attachments.settle(tx, taken, Result("gone", "in time"))
        attachments.put_back(tx, other)
    rows = archive.database.rows("SELECT attempt, owner, outcome FROM attachment_attempts ORDER BY attempt")
    assert rows == [(1, "another host 1 2", "cut off"), (2, leases.me(), "gone")]


def test_what_a_dead_process_held_is_free_at_once(
    database: Database, folder: Shelf, make_collector: MakeCollector, store: Store
) -> None:
    archive = make_collector(database, folder, messages=60)
    archive("pull")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    dead = f"{leases.place()} {child.pid} {leases._started(child.pid)}"
    held = claim(store, dead)
    with store.write() as tx:
        assert attachments.free_the_dead(tx, 1) == 0
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    with store.write() as tx:
        assert attachments.free_the_dead(tx, 1) == 1
    again = claim(store, leases.me())
    assert held is not None
    assert again is not None
    assert again.file == held.file
