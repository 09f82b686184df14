"""Several processes at once, processes that are stopped and woken, and a database that dies under them."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time

import pytest

from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.flow.processes import Gate, Process, Start, halt, never_ahead, wait_for_pages
from tests.postgres import Postgres


def all_stored(archive: Archive) -> None:
    stored = {row[0]: bytes(row[1]) for row in archive.database.rows("SELECT msg_id, raw FROM messages")}
    assert stored == {row.msg_id: row.raw for row in archive.server.records}
    archive.check_sums()


@pytest.mark.full
def test_five_pulls_at_once_share_the_work(database: Database, make_archive: MakeArchive, start: Start) -> None:
    archive = make_archive(database, messages=1000, span_ms=20 * DAY)
    archive.server.faults.latency_ms = 10
    archive.write_config(page_size=20)
    pulls = [start(archive, "pull") for _ in range(5)]
    codes = [process.wait(120) for process in pulls]
    assert set(codes) <= {0, 75}
    assert archive("pull") == 0
    all_stored(archive)
    assert archive.database.value("SELECT count(DISTINCT fence) FROM pages") >= 1


def stop_between_transactions(archive: Archive, process: Process) -> None:
    """SIGSTOP where no transaction is open: SQLite has one lock, and whoever holds it holds up everybody."""
    for _ in range(200):
        halt(process)
        time.sleep(0.05)  # what it has asked of a server ends meanwhile
        if not in_transaction(archive.database):
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("always in a transaction")


def in_transaction(database: Database) -> bool:
    if database.kind == "postgresql":
        busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
        return bool(database.value(f"{busy} AND pid <> pg_backend_pid()"))
    with contextlib.closing(sqlite3.connect(database.url.removeprefix("sqlite:///"), timeout=0)) as conn:
        try:
            conn.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        conn.rollback()
    return False


@pytest.mark.full
def test_a_zombie_that_wakes_up_is_refused(database: Database, make_archive: MakeArchive, start: Start) -> None:
    archive = make_archive(database, messages=1000, span_ms=DAY)
    archive.write_config(page_size=20)
    text = archive.config.read_text()
    archive.config.write_text(f'[schedule]\nlease = "30m"\n{text}')
    gate = Gate(archive.server, "/chatmessages")
    gate.let(8)
    zombie = start(archive, "pull")
    wait_for_pages(archive, 3, zombie)
    gate.wait()
    stop_between_transactions(archive, zombie)
    gate.open()
    assert archive("pull") == 75, "a living process holds the window"
    archive.database.run("UPDATE windows SET lease_until = '2026-01-01T00:00:00.000Z' WHERE state = 'leased'")
    assert archive("pull") == 0, "its lease has run out"
    all_stored(archive)
    zombie.send_signal(signal.SIGCONT)
    assert zombie.wait(60) in (0, 75)
    assert archive.status()["refused_commits"] >= 1
    all_stored(archive)


@pytest.mark.parametrize("crashes", [8 if os.environ.get("ARCHIVER_PROVE_KILLS") else 2])
@pytest.mark.full
def test_a_database_that_dies_loses_no_truth(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive, start: Start, crashes: int
) -> None:
    if postgres.control is None:
        pytest.skip("the server is not ours to stop")
    archive = make_archive(postgres_database, messages=750 * crashes, span_ms=DAY)  # enough for all of them
    archive.server.faults.latency_ms = 20
    archive.write_config(page_size=20)
    gate = Gate(archive.server, "/chatmessages")
    for _ in range(crashes):
        gate.let(8)
        process = start(archive, "pull")
        wait_for_pages(archive, archive.count("pages") + 4, process)
        postgres.control("stop", "-m", "immediate")
        gate.open()
        assert process.wait(60) == 75
        _, errors = process.communicate()
        assert b"Traceback" not in errors
        postgres.control("start")
        never_ahead(archive)
    archive.server.faults.latency_ms = 0
    assert archive("pull") == 0
    all_stored(archive)
