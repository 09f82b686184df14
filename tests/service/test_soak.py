"""The daemon for a long time, in bad weather: nothing grows, and once the weather is fair it is on time again.

`make soak` takes half an hour; the suite takes ARCHIVER_SOAK_SECONDS, or three quarters of a minute.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from archiver.sandbox import Faults
from archiver.timeline import EPS_MS
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.service import wait_until
from tests.flow.processes import Process, Start, wait_for_pages
from tests.postgres import Control, Postgres

SECONDS = float(os.environ.get("ARCHIVER_SOAK_SECONDS", "45"))
RESTARTS = 3
WEATHER = {
    "http_500": 0.05,
    "http_502_html": 0.03,
    "http_503": 0.03,
    "html_200": 0.02,
    "reset": 0.03,
    "cut_body": 0.03,
    # Not a 401 by chance: on a token's first use it is a refusal, and then the daemon rests for a quarter of an hour.
    "token_requests_valid": 50,
    "duplicate_rows": 0.1,
    "short_pages": 0.1,
    "empty_pages": 0.05,
    "dead_cursor": 0.03,
}
EVERY_S, SETTLE_S = 1, 1


class Chatter(Thread):
    """People who go on talking, and a clock that goes on ticking."""

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        self.archive, self.ended, self.said = archive, Event(), 0

    def run(self) -> None:
        while not self.ended.wait(0.1):
            server, self.said = self.archive.server, self.said + 1
            server.add({"msg_id": f"said-{self.said}", "timestamp": server.now_ms(), "from": "a", "to": "b"})


class Gauge(Thread):
    """Memory in kB and open descriptors of a process, again and again."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.place, self.ended = Path(f"/proc/{process.pid}"), Event()
        self.memory: list[int] = []
        self.files: list[int] = []

    def run(self) -> None:
        while not self.ended.wait(0.5):
            lines = (self.place / "status").read_text().splitlines()
            self.memory.append(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")))
            self.files.append(len(list((self.place / "fd").iterdir())))


def grown(samples: list[int]) -> float:
    """From the second quarter to the last, by their medians: the first is for warming up."""
    quarter = len(samples) // 4
    return statistics.median(samples[-quarter:]) - statistics.median(samples[quarter : 2 * quarter])


@pytest.mark.full
@pytest.mark.timeout(SECONDS + 900)
def test_nothing_grows_in_bad_weather_and_it_is_on_time_again_afterwards(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive, start: Start
) -> None:
    if postgres.control is None:
        pytest.skip("the server is not ours to stop")
    archive = make_archive(postgres_database, messages=500, span_ms=3_600_000)
    archive.write_config(settle=f"{SETTLE_S}s", page_size=50, give_up="2s")
    top = f'[schedule]\nevery = "{EVERY_S}s"\n[metrics]\nlisten = "127.0.0.1:0"\n'
    archive.config.write_text(top + archive.config.read_text())
    process = start(archive, "-v", "run")
    wait_for_pages(archive, 5, process)
    chatter, gauge = Chatter(archive), Gauge(process)
    drained = Thread(target=lambda: [None for _ in process.stderr or ()])
    for thread in (chatter, gauge, drained):
        thread.start()
    try:
        rain(archive, postgres.control)
        assert process.poll() is None
        archive.server.faults = Faults()
        overdue_ms = overdue_after_two_pulls(archive)
        wait_until(lambda: archive.status()["overdue_seconds"] < 10)  # a slow one is always late by a pull
    finally:
        gauge.ended.set()
        chatter.ended.set()
        for thread in (gauge, chatter):
            thread.join()
    wait_until(lambda: archive.count("messages") == len(archive.server.records), 60)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    drained.join()
    memory, files = grown(gauge.memory), grown(gauge.files)
    told = archive.status()
    print(f"{chatter.said} messages; memory {gauge.memory[-1]} kB, grown {memory:.0f} kB; descriptors {files:+.0f}")  # noqa: T201 - for who reads a soak
    print(f"pulls {told['runs']}, answers {told['requests']}; overdue after two pulls: {overdue_ms} ms")  # noqa: T201
    assert process.returncode == 0
    assert overdue_ms == 0
    assert told["running"] == 0
    assert memory < max(6_000, gauge.memory[-1] * 0.05)
    assert files < 4
    archive.check_sums()


def overdue_after_two_pulls(archive: Archive) -> int:
    """By how much it was overdue when the second pull in fair weather began, by what was closed when that ended.

    In pulls and by the database's record of them, not in seconds: a slow machine makes pulls long, and not incomplete.
    A window that failed rests for a minute at most before a pull may have it; the two are counted from there.
    """
    database = archive.database
    fair_at = database.value("SELECT clock_timestamp()")
    begun = "SELECT count(*) FROM runs WHERE started_at >= ?"
    wait_until(lambda: database.value(begun, fair_at) > 0, 90)  # the pulls before it are over, and fail no more windows
    rested_at = database.value("SELECT max(next_attempt_at) FROM windows WHERE closed_at IS NULL") or fair_at
    since = max(fair_at, rested_at)
    wait_until(lambda: database.value(begun + " AND ended_at IS NOT NULL", since) >= 2, 180)
    second = "SELECT started_at, ended_at FROM runs WHERE started_at >= ? ORDER BY id LIMIT 1 OFFSET 1"
    ((started_at, ended_at),) = database.rows(second, since)
    open_then = "SELECT min(lo_ms) FROM windows WHERE pass = 1 AND (closed_at IS NULL OR closed_at > ?)"
    until_ms = database.value(open_then, ended_at) or database.value("SELECT max(hi_ms) FROM windows WHERE pass = 1")
    due_ms: int = round(started_at.timestamp() * 1000) - (SETTLE_S + EVERY_S) * 1000 - EPS_MS
    return max(0, due_ms - int(until_ms))


def rain(archive: Archive, control: Control) -> None:
    """Faults all the time, some downpours, and a database that is started again three times."""
    each = SECONDS / (RESTARTS + 1)
    sleep: Callable[[float], None] = time.sleep
    for number in range(RESTARTS + 1):
        archive.server.faults = Faults(**WEATHER, retry_after="1")  # type: ignore[arg-type]
        sleep(each * 0.7)
        archive.server.faults = Faults(http_500=1.0)
        sleep(each * 0.2)
        archive.server.faults = Faults(**WEATHER)  # type: ignore[arg-type]
        if number < RESTARTS:
            control("restart", "-m", "immediate" if number % 2 else "fast")
        sleep(each * 0.1)
