"""What deletion costs those who only pull, and how fast it is itself: `python -m bench.deletion`.

Pulls: the same pages into archives that are alike, in turn with triggers and `secure_delete` and without. Deletion: the
older half of an archive, with a hold on a participant who wrote a tenth of it. Then another process deletes beside a
pull that catches up, which pulls alone in turn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.lifecycle.pace import DeletionPace
from archiver.model import Page, Window
from archiver.sandbox.data import Seed, make_records
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import split_envelope
from archiver.store import apps, expiring, floors, holds, installation, owner, pages, planning, sqlite, windows
from archiver.store.admin import migrate
from archiver.store.engine import Store, open_store
from archiver.store.expiring import TermOver
from archiver.store.holds import HoldCriteria, HoldRow
from archiver.store.planning import LIVE
from archiver.store.schema import approvals, requests
from archiver.store.windows import Claim, ClaimOptions, Target
from bench.archive import START_MS
from tests.postgres import own_server

PAGES, SIZE, ROUNDS = 40, 1_000, 8
STRETCH = 20
"""Pages of a pull beside a deletion, or alone."""
SPAN_MS = 10 * 86_400_000
_OF_RECORDS = ("messages", "message_bodies", "message_revisions", "revision_bodies")


def arriving(from_ms: int = START_MS, seed: int = 7, pages: int = PAGES) -> list[Page]:
    """Pages of a span of time."""
    rows = make_records(Seed(pages * SIZE, seed, from_ms, SPAN_MS), "http://127.0.0.1/o/a")
    made = []
    for at in range(0, len(rows), SIZE):
        answer = b'{"entities":[' + b",".join(row.raw for row in rows[at : at + SIZE]) + b"]}"
        _, slices = split_envelope(answer, "entities")
        assert slices is not None
        made.append(make_page(slices, START_MS + SPAN_MS))
    return made


def claimed(store: Store, from_ms: int = START_MS) -> Claim:
    window = Window(from_ms, from_ms + SPAN_MS)
    with store.write() as tx:
        key = apps.register(tx, "o#a", "cursor", START_MS, settle_ms=120_000, retention_ms=None)
        planning.plan(tx, key, 1, LIVE, 0, [window])
        claim = windows.claim(tx, key, Target(1, LIVE, window.hi_ms), ClaimOptions(owner.me(), 3_600_000))
    assert claim is not None
    return claim


def pull(store: Store, made: list[Page]) -> float:
    """Seconds of processors for all pages, a transaction each; whatever else is at work on the machine."""
    claim = claimed(store)
    began = used(store)
    for page in made:
        with store.write(lock="shared") as tx:
            pages.insert(windows.hold(tx, claim), [page], START_MS)
    took = used(store) - began
    with store.write() as tx:  # nobody pulls any more
        windows.close(windows.hold(tx, claim), by_order=False)
        installation.begin(tx, deletion=True)
    return took


def used(store: Store) -> float:
    """Seconds of processors that this process has used, and the server's process that works for it."""
    seconds = time.process_time()
    if store.engine.dialect.name == "postgresql":
        with store.read() as tx:
            pid = int(tx.conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def bare(store: Store) -> None:
    """Without what deletion needs: its triggers, and `secure_delete`."""
    with store.write() as tx:
        if tx.postgres:
            for table in _OF_RECORDS:
                tx.conn.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            return
        names = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_kept_%'"
        for name in tx.conn.exec_driver_sql(names).scalars().all():
            tx.conn.exec_driver_sql(f"DROP TRIGGER {name}")
    with store.engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA secure_delete = OFF")


def request(store: Store, floor_ms: int) -> int:
    """An approved request for a run."""
    body = json.dumps({"app_id": 1, "floor_ms": floor_ms})
    digest = hashlib.sha256(body.encode()).hexdigest()
    with store.write() as tx:
        if tx.postgres:
            tx.conn.exec_driver_sql("SET LOCAL archiver.copying = 'on'")
        common = {"body_sha256": digest, "at": START_MS}
        row = common | {"kind": "retention", "body": body, "who": "a"}
        number = int(tx.conn.execute(requests.insert().values(row).returning(requests.c.id)).scalar_one())
        said = common | {"request_id": number, "decision": "approved", "who": "b"}
        tx.conn.execute(approvals.insert().inline().values(said))
    return number


def to_delete(store: Store, floor_ms: int) -> tuple[TermOver, int]:
    """Set the floor, with a hold on one participant; gives what is over, and the request."""
    with store.read() as tx:
        sender = "SELECT lower(sender) FROM messages GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        person = str(tx.conn.execute(sa.text(sender)).scalar_one())
    with store.write(lock="exclusive") as tx:
        holds.place(tx, HoldRow(1, "x", "placed", "K7", "y", "me"), HoldCriteria(participant=person))
    store.analyze()
    term = TermOver(1, floor_ms)
    number = request(store, term.floor_ms)
    with store.write(lock="exclusive") as tx:
        floors.lower(tx, 1, term.floor_ms, number)
    return term, number


def delete(store: Store) -> tuple[int, float]:
    """Messages and seconds of a run over the older half."""
    term, number = to_delete(store, START_MS + SPAN_MS // 2)
    began = time.perf_counter()
    count = deleted(store, term, number, Event())
    return count, time.perf_counter() - began


def deleted(store: Store, term: TermOver, request: int, stop: Event) -> int:
    """Let go of what is over as a run does, until it is stopped; gives how many messages."""
    pace, count = DeletionPace(store, expiring.MESSAGES_AT_ONCE, stop.wait), 0
    after: int | None = 0
    while after is not None:
        with store.patient.read() as tx:
            looked = expiring.look(tx, term, after)
        for page_ids in expiring.parts(looked, lambda: pace.size):
            if stop.is_set():
                return count
            with pace.transaction() as tx:
                count += expiring.expire(tx, term, request, page_ids)
        after = looked.last
    return count


class Stretch(NamedTuple):
    """Some pages that were pulled: how many messages a second, and for how long; and the longest transaction."""

    rate: float
    took_s: float
    longest_s: float


def stretch(store: Store, claim: Claim, made: list[Page]) -> Stretch:
    """Pull pages, a transaction each, by the clock on the wall."""
    times = [time.perf_counter()]
    for page in made:
        with store.write(lock="shared") as tx:
            pages.insert(windows.hold(tx, claim), [page], START_MS)
        times.append(time.perf_counter())
    longest = max(after - before for before, after in pairwise(times))
    took_s = times[-1] - times[0]
    return Stretch(len(made) * SIZE / took_s, took_s, longest)


def deleting(url: str, term: TermOver, request: int, goes: Any, ends: Any, said: Any) -> None:
    """Another process, which deletes while `goes` is set; says how many messages, and its memory in MiB, at first and
    at the end."""

    class Halting(Event):
        """Ends at `ends`, and stands still while `goes` is not set: asked before every transaction."""

        def is_set(self) -> bool:
            while not goes.wait(0.05) and not ends.is_set():
                pass
            return bool(ends.is_set())

    store, memory = open_store(url), list[int]()
    usage = resource.RUSAGE_SELF
    sa.event.listen(store.engine, "commit", lambda _: memory.append(resource.getrusage(usage).ru_maxrss))
    count = deleted(store, term, request, Halting())
    store.dispose()
    said.put((count, memory[min(20, len(memory) - 1)] // 1024, memory[-1] // 1024))


def beside(store: Store, old: int, rounds: int) -> None:
    """Pairs of stretches of a pull, alone and beside a deletion, in both orders."""
    for part in range(1, old // (PAGES * SIZE) + 1):
        fill(store, START_MS - part * SPAN_MS, part)
    term, number = to_delete(store, START_MS)
    claim = claimed(store)
    spawn = multiprocessing.get_context("spawn")
    goes, ends, said = spawn.Event(), spawn.Event(), spawn.Queue()
    url = store.engine.url.render_as_string(hide_password=False)
    other = spawn.Process(target=deleting, args=(url, term, number, goes, ends, said))
    other.start()
    ratios, longest, took_s = [], {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
    for one in range(rounds):
        rates = {}
        for is_beside in (True, False) if one % 2 else (False, True):
            made = arriving(seed=1_000 + 2 * one + is_beside, pages=STRETCH)
            if is_beside:
                goes.set()
                time.sleep(0.5)
            done = stretch(store, claim, made)
            took_s[is_beside] += done.took_s
            rates[is_beside], longest[is_beside] = done.rate, max(longest[is_beside], done.longest_s)
            goes.clear()
            time.sleep(0.5)
        ratios.append(rates[True] / rates[False])
    ends.set()
    count, first, last = said.get()
    other.join()
    span = f"median {median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
    together = took_s[False] / took_s[True]
    print(f"  rate of a pull beside a deletion over its rate alone: {span}; all together {together:.3f}")
    print(f"  longest transaction of a page {longest[True]:.2f} s beside, {longest[False]:.2f} s alone")
    beside_s = f"beside {took_s[True]:.0f} s of pulls"
    print(f"  {count:,} messages deleted {beside_s}, in {last} MiB ({first} at first)", flush=True)


def fill(store: Store, from_ms: int, seed: int) -> None:
    claim = claimed(store, from_ms)
    stretch(store, claim, arriving(from_ms, seed))
    with store.write() as tx:
        windows.close(windows.hold(tx, claim), by_order=False)
        installation.begin(tx, deletion=True)


Fresh = Callable[[str], Store]


def compare(fresh: Fresh, made: list[Page]) -> list[float]:
    """The rate with triggers over the rate without, by pairs in both orders."""
    ratios = []
    for number in range(ROUNDS):
        took = {}
        for without in (True, False) if number % 2 else (False, True):
            store = fresh(f"{number}{without}")
            if without:
                bare(store)
            took[without] = pull(store, made)
            store.dispose()
        ratios.append(took[True] / took[False])
    return ratios


@contextmanager
def kinds(place: Path) -> Iterator[list[tuple[str, Fresh]]]:
    with own_server() as postgres:
        template = place / "template.db"
        migrated = open_store(f"sqlite:///{template}")
        migrate.upgrade(migrated)
        migrated.dispose()

        def file(name: str) -> Store:
            shutil.copy(template, place / f"{name}.db")
            return open_store(f"sqlite:///{place / name}.db")

        def database(name: str) -> Store:
            postgres.run(f"CREATE DATABASE bench_{name.lower()}")
            store = open_store(postgres.of(f"bench_{name.lower()}").replace("postgresql://", "postgresql+psycopg://"))
            migrate.upgrade(store)
            return store

        yield [("sqlite", file), ("postgresql", database)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=int, default=400_000, help="messages that have expired, a multiple of 40,000")
    parser.add_argument("--rounds", type=int, default=12, help="pairs of stretches of a pull")
    given = parser.parse_args()
    made = arriving()
    assert "secure_delete=ON" in sqlite.LASTING
    with tempfile.TemporaryDirectory(prefix="archiver-bench-", dir="/tmp") as folder, kinds(Path(folder)) as both:
        for kind, fresh in both:
            ratios = compare(fresh, made)
            span = f"{median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
            print(f"{kind}: processor time of a pull without over with: median {span}")
            store = fresh("deletion")
            pull(store, made)
            count, took_s = delete(store)
            print(f"{kind}: {count:,} messages deleted in {took_s:.1f} s, {count / took_s:,.0f} a second")
            store.dispose()
            store = fresh("beside")
            beside(store, given.old, given.rounds)
            store.dispose()


if __name__ == "__main__":
    main()
