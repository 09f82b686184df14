"""What deletion costs those who only pull, and how fast it is itself: `python -m bench.deletion`.

Pulls: the same pages into archives that are alike, in turn with triggers and `secure_delete` and without. Deletion: the
older half of an archive, with a hold on a participant who wrote a tenth of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from archiver.model import Page, Window
from archiver.sandbox.data import Seed, make_records
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import split_envelope
from archiver.store import apps, expiring, floors, holds, owner, pages, planning, sqlite, windows
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
SPAN_MS = 10 * 86_400_000
_OF_RECORDS = ("messages", "message_bodies", "message_revisions", "revision_bodies")


def arriving() -> list[Page]:
    rows = make_records(Seed(PAGES * SIZE, 7, START_MS, SPAN_MS), "http://127.0.0.1/o/a")
    made = []
    for at in range(0, len(rows), SIZE):
        answer = b'{"entities":[' + b",".join(row.raw for row in rows[at : at + SIZE]) + b"]}"
        _, slices = split_envelope(answer, "entities")
        assert slices is not None
        made.append(make_page(slices, START_MS + SPAN_MS))
    return made


def claimed(store: Store) -> Claim:
    window = Window(START_MS, START_MS + SPAN_MS)
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
    return used(store) - began


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


def delete(store: Store) -> tuple[int, float]:
    """Messages and seconds of a run over the older half, with a hold on one participant."""
    with store.read() as tx:
        sender = "SELECT lower(sender) FROM messages GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        person = str(tx.conn.execute(sa.text(sender)).scalar_one())
    with store.write(lock="exclusive") as tx:
        holds.place(tx, HoldRow(1, "x", "placed", "K7", "y", "me"), HoldCriteria(participant=person))
    store.analyze()
    term = TermOver(1, START_MS + SPAN_MS // 2)
    number = request(store, term.floor_ms)
    with store.write(lock="exclusive") as tx:
        floors.lower(tx, 1, term.floor_ms, number)
    began, count, after = time.perf_counter(), 0, -1
    while True:
        with store.patient.write(lock="exclusive") as tx:
            batch = expiring.expire(tx, term, number, after)
        count += batch.messages
        if batch.after is None:
            return count, time.perf_counter() - began
        after = batch.after


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


if __name__ == "__main__":
    main()
