"""Many processes of a machine and of its clone seal into one ledger, under faults: no gap, and everything once.

The full run has a few faults; `ARCHIVER_PROVE_KILLS=200` makes it two hundred.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from archiver.store import ledger, looks
from archiver.store.engine import Store
from archiver.store.looks import LookEntry
from archiver.store.seals import Signer
from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database, own_archive
from tests.fixtures.evidence import NAME
from tests.flow.nursery import Child, Nursery, opened

pytestmark = pytest.mark.full
FAULTS = int(os.environ.get("ARCHIVER_PROVE_KILLS", "12"))
PROCESSES = 8
BOOTS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
_MODULES = ("archiver.cli.evidence", "archiver.cli.search", "archiver.evidence.sinks", "archiver.evidence.anchors.file")


@dataclass(frozen=True)
class Machine:
    """One of two machines that are the same but for their boot: the key is one, the state is each one's own."""

    config: Path
    boot: str


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with opened(tmp_path, *_MODULES) as it:
        yield it


@pytest.fixture(params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest, sqlite_database: Database) -> Iterator[tuple[Database, Callable[[], None]]]:
    """A database, and what makes its server fall down and stand up again."""
    if request.param == "sqlite":
        yield sqlite_database, lambda: None
        return
    with own_archive(durable=True) as (server, database):
        assert server.control is not None
        restart = server.control
        yield database, lambda: restart("restart", "-m", "immediate")


def machines(archive: Archive, place: Path) -> list[Machine]:
    archive.sections = f'[evidence]\nname = "{NAME}"\nkey_file = "{place}/key"\nstate_file = "{place}/state"\n'
    archive.sections += f'[[evidence.anchors]]\nsink = "file"\npath = "{place}/notes"\n[review]\nlooks = true\n'
    archive.write_config(page_size=10)
    assert archive("evidence", "init", "--keeper", "internal audit") == 0
    text, found = archive.config.read_text(), []
    for number, boot in enumerate(BOOTS):
        config = archive.config.with_name(f"machine{number}.toml")
        config.write_text(text.replace(f"{place}/state", f"{place}/state{number}"))
        config.chmod(0o600)
        found.append(Machine(config, boot))
    return found


class Crowd:
    """Processes at work, so many at a time, that die when a fault meets them."""

    def __init__(self, nursery: Nursery, archive: Archive, computers: list[Machine], made: random.Random) -> None:
        self._nursery, self._archive, self._machines, self._made = nursery, archive, computers, made
        self.living: list[Child] = []

    def fill(self) -> None:
        self.living = [one for one in self.living if one.poll() is None]
        while len(self.living) < PROCESSES:
            machine = self._made.choice(self._machines)
            words = self._made.choice((["pull"], ["pull"], ["pull"], ["evidence", "seal"], ["search", "a"]))
            self.living.append(self._nursery(machine, *words, output=Path(os.devnull), boot=machine.boot))

    def kill_one(self) -> None:
        with suppress(ProcessLookupError):
            self._made.choice(self.living).send_signal(signal.SIGKILL)

    def cut_one_off(self) -> None:
        """A connection to the server ends, whatever is going on in it."""
        url = self._archive.database.url
        with suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as conn:
            pids = conn.execute(
                "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                " AND datname = current_database()"
            ).fetchall()
            if pids:
                conn.execute("SELECT pg_terminate_backend(%s)", self._made.choice(pids))

    def end(self) -> None:
        for one in self.living:
            one.wait()


@pytest.mark.timeout(1800)
def test_eight_processes_of_two_boots_leave_no_gap_and_nothing_twice(
    served: tuple[Database, Callable[[], None]],
    make_archive: MakeArchive,
    nursery: Nursery,
    tmp_path: Path,
) -> None:
    database, restart = served
    (tmp_path / "keys").mkdir()
    archive = make_archive(database, messages=150 * FAULTS, span_ms=DAY)
    archive.server.faults.latency_ms = 5
    computers, made = machines(archive, tmp_path / "keys"), random.Random(FAULTS)
    crowd = Crowd(nursery, archive, computers, made)
    for fault in range(FAULTS):
        crowd.fill()
        time.sleep(made.random() * 0.3)
        if database.kind == "postgresql" and fault % 20 == 7:
            restart()
        elif database.kind == "postgresql" and fault % 3 == 1:
            crowd.cut_one_off()
        else:
            crowd.kill_one()
    crowd.end()
    archive.server.faults.latency_ms = 0
    for machine in (*computers, *computers):  # each knows which of its own processes are dead
        nursery(machine, "pull", output=Path(os.devnull), boot=machine.boot).wait()
    assert archive("pull") == 0, archive.errors
    assert archive("evidence", "seal") == 0, archive.errors
    assert archive.count("messages") == 150 * FAULTS
    check_ledger(database)
    assert archive("evidence", "verify") == 0, archive.output


def check_ledger(database: Database) -> None:
    """No gap, every page once, every row of the tables that are sealed once, and nothing left to be sealed."""
    assert database.rows("SELECT count(*) - 1 - max(seq) FROM ledger") == [(0,)]
    assert database.value("SELECT count(*) FROM ledger_queue") == 0
    entered = [row[0] for row in database.rows("SELECT entry FROM ledger WHERE kind = 'page'")]
    pages = sorted(json.loads(entry)["page"] for entry in entered)
    assert pages == [row[0] for row in database.rows("SELECT id FROM pages ORDER BY id")]
    assert database.value("SELECT count(*) FROM seals WHERE page_id IS NOT NULL") == len(pages)
    for table in ("looks", "evidence_log"):
        keys = [
            key
            for (text,) in database.rows("SELECT keys FROM seals WHERE table_name = ?", table)
            for key in json.loads(text)
        ]
        assert sorted(key[0] for key in keys) == [
            row[0] for row in database.rows(f"SELECT id FROM {table} ORDER BY id")
        ]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_rows_that_commit_behind_later_ones_are_sealed_when_they_appear(sealed: Store, signer: Signer) -> None:
    """Ids are given at INSERT and appear at COMMIT: nothing may be sealed "up to" an id."""

    def look(number: int) -> LookEntry:
        return LookEntry(f"look {number}", "li", "cli", "search", {})

    with ExitStack() as later:
        early = later.enter_context(sealed.write())
        looks.append(early, look(1), "shown", 1)
        for number in (2, 3):
            with sealed.write() as tx:
                looks.append(tx, look(number), "shown", 1)
        with sealed.write() as tx:
            assert ledger.sequence(tx, signer).taken == 2
    with sealed.write() as tx:
        assert ledger.sequence(tx, signer).taken == 1
    with sealed.write() as tx:
        assert ledger.sequence(tx, signer).taken == 0
    with sealed.read() as tx:
        texts = tx.conn.exec_driver_sql("SELECT keys FROM seals WHERE table_name = 'looks' ORDER BY id").scalars().all()
        ids = list(tx.conn.exec_driver_sql("SELECT id FROM looks ORDER BY id").scalars())
    first, second = ([key[0] for key in json.loads(text)] for text in texts)
    assert second == [min(ids)], "the one with the lowest id came last"
    assert sorted(first + second) == ids
