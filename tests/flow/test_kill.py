"""`kill -9` in the middle of a pull, then `pull` again at once: nothing lost, nothing twice, never a false claim."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.evidence import NAME
from tests.flow.nursery import Nursery, opened
from tests.flow.processes import Gate, Start, never_ahead, wait_for_pages, wait_until_asked_to_stop

HOUR = 3_600_000


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with opened(tmp_path) as it:
        yield it


PROVE = int(os.environ.get("ARCHIVER_PROVE_KILLS", "0"))
"""`make prove` sets it: so many kills more, in a run of hours."""
KILLS = pytest.mark.parametrize("kills", [PROVE or 4])


@pytest.mark.full
@KILLS
def test_kill_in_the_middle_of_queries(
    database: Database, make_archive: MakeArchive, nursery: Nursery, kills: int
) -> None:
    archive = make_archive(database, messages=250 * kills, span_ms=DAY)
    archive.server.faults.latency_ms = 20
    archive.write_config(page_size=10)
    kill_and_pull_again(archive, nursery, kills, Gate(archive.server, "/chatmessages"), 12)


@pytest.mark.full
@KILLS
def test_kill_in_the_middle_of_hourly_files(
    database: Database, make_archive: MakeArchive, nursery: Nursery, kills: int
) -> None:
    hours = min(kills + 4, 40)
    newest = int(time.time() * 1000) // HOUR * HOUR - 26 * HOUR
    archive = make_archive(database, messages=250 * kills, start_ms=newest - hours * HOUR, span_ms=hours * HOUR)
    archive.settings |= {"source": "hourly", "early": "off"}
    archive.write_config(page_size=10)
    kill_and_pull_again(archive, nursery, kills, Gate(archive.server, "/chatmessages/"), 1)


@pytest.mark.full
@KILLS
def test_kill_in_the_middle_of_sealed_queries(
    database: Database, make_archive: MakeArchive, nursery: Nursery, tmp_path: Path, kills: int
) -> None:
    """Each page and its seal, or neither; and a ledger without gaps."""
    archive, keys = make_archive(database, messages=250 * kills, span_ms=DAY), tmp_path / "keys"
    keys.mkdir()
    archive.sections = f'[evidence]\nname = "{NAME}"\nkey_file = "{keys}/key"\nstate_file = "{keys}/state"\n'
    archive.server.faults.latency_ms = 20
    archive.write_config(page_size=10)
    assert archive("evidence", "init", "--keeper", "internal audit") == 0
    kill_and_pull_again(archive, nursery, kills, Gate(archive.server, "/chatmessages"), 12)
    assert archive("evidence", "verify") == 0
    pages, entered = archive.count("pages"), "SELECT count(*), count(DISTINCT seal_id) FROM ledger WHERE kind = 'page'"
    assert set(database.rows(entered)[0]) == {pages}
    assert database.rows("SELECT count(*) - 1 - max(seq) FROM ledger") == [(0,)]


def kill_and_pull_again(archive: Archive, nursery: Nursery, kills: int, gate: Gate, through: int) -> None:
    draw, died = random.Random(kills), set[int]()
    for _ in range(kills):
        gate.let(through)
        process = nursery(archive, "pull")
        wait_for_pages(archive, archive.count("pages") + draw.randrange(1, 6), process)
        time.sleep(draw.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        died |= {row[0] for row in archive.database.rows("SELECT id FROM runs WHERE ended_at IS NULL")}
        never_ahead(archive)
    gate.open()
    archive.server.faults.latency_ms = 0
    archive.write_config(page_size=1000)
    assert archive("pull") == 0
    stored = {row[0]: bytes(row[1]) for row in archive.database.rows("SELECT msg_id, raw FROM messages")}
    if archive.settings.get("source") != "hourly":  # a line of a file is not the record of a query
        assert stored == {row.msg_id: row.raw for row in archive.server.records}
    assert stored.keys() == {row.msg_id for row in archive.server.records}
    crashed = archive.database.rows("SELECT id FROM runs WHERE outcome = 'crashed'")
    assert {row[0] for row in crashed} == died, "a run that died is shown as crashed"
    assert len(died) == kills or PROVE, "each was killed at work"
    assert died
    archive.check_sums()


@pytest.mark.full
def test_sigterm_ends_the_daemon_within_a_page(database: Database, make_archive: MakeArchive, start: Start) -> None:
    archive = make_archive(database, messages=2000, span_ms=DAY)
    archive.server.faults.latency_ms = 100
    archive.write_config(page_size=10)
    gate = Gate(archive.server, "/chatmessages")
    gate.let(8)
    process = start(archive, "run")
    gate.wait()
    process.send_signal(signal.SIGTERM)
    wait_until_asked_to_stop(process)
    gate.open()
    assert process.wait(60) == 0
    assert archive.count("messages") < 2000
    archive.server.faults.latency_ms = 0
    archive.write_config(page_size=1000)
    assert archive("pull") == 0
    assert archive.count("messages") == 2000
    archive.check_sums()


@pytest.mark.full
def test_the_daemon_goes_on_while_the_server_sends_new_messages(
    database: Database, make_archive: MakeArchive, start: Start
) -> None:
    archive = make_archive(database, messages=50, span_ms=DAY)
    archive.write_config(settle="1s")
    text = archive.config.read_text()
    archive.config.write_text(f'[schedule]\nevery = "1s"\n{text}')
    process = start(archive, "run")
    wait_for_pages(archive, 1, process)
    record = {"msg_id": "fresh", "timestamp": archive.server.now_ms(), "from": "a", "to": "b", "chat_type": "chat"}
    archive.server.add(record)
    deadline = time.monotonic() + 60
    while archive.count("messages") < 51:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    archive.check_sums()
