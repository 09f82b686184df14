"""Searching by the index against LIKE, and what the index costs the ingest: `python -m bench.search`.

Seeded messages go page by page through the real decoder and the real store, a transaction each. The cost is that of
the triggers and of the index on `page_id`, which search alone needs; rounds with and without them take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from archiver import search
from archiver.model import DAY_MS, Page, Window
from archiver.sandbox.data import Seed, make_records
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import split_envelope
from archiver.store import apps, pages, planning, windows
from archiver.store.admin import migrate
from archiver.store.engine import Store, Tx, open_store
from archiver.store.planning import LIVE
from archiver.store.read.filters import Filter
from archiver.store.search.query import Hit
from archiver.store.windows import ClaimOptions, Target
from bench.archive import START_MS
from tests.postgres import own_server

WORDS = {"回扣": 20, "退款": 500, "发票": 5_000, "牛丼": None, "明天": None}
"""Two-character words, and in how many messages they are put; the others come with the seeded talk."""

_TURNS = 12


def made_pages(count: int) -> Iterator[Page]:
    """Pages of a thousand records in the order of time, with rare words put into some."""
    for at in range(0, count, 10_000):
        seed = Seed(10_000, at, START_MS + DAY_MS * at // count, DAY_MS * 10_000 // count)
        rows = [row.raw for row in make_records(seed, "http://127.0.0.1/bench/search")]
        for place, (word, among) in enumerate(WORDS.items()):
            if among:
                every = max(len(WORDS), count // among)
                for number in range((place - at) % every, 10_000, every):
                    body = {"type": "txt", "msg": f"请问{word}什么时候到账"}
                    record = json.loads(rows[number])
                    record["payload"]["bodies"] = [body]
                    rows[number] = json.dumps(record).encode()
        for start in range(0, 10_000, 1000):
            answer = b'{"entities":[' + b",".join(rows[start : start + 1000]) + b"]}"
            _, slices = split_envelope(answer, "entities")
            if slices is None:
                raise ValueError("a page of seeded records that cannot be read")
            yield make_page(slices, START_MS + DAY_MS)


def ingest(store: Store, made: Iterator[Page]) -> float:
    """Store pages; gives the seconds of processor time that the store took."""
    with store.write() as tx:
        key = apps.register(tx, "bench#search", "cursor", START_MS, settle_ms=120_000, retention_ms=None)
        planning.plan(tx, key, 1, LIVE, 0, [Window(START_MS, START_MS + DAY_MS)])
        claim = windows.claim(tx, key, Target(1, LIVE, START_MS + DAY_MS), ClaimOptions("bench", DAY_MS))
    if claim is None:
        raise ValueError("the window is somebody else's")
    taken = 0.0
    for page in made:
        began = cpu_s(store)
        with store.write() as tx:
            pages.insert(windows.hold(tx, claim), [page], START_MS + DAY_MS)
        taken += cpu_s(store) - began
    return taken


def cpu_s(store: Store) -> float:
    """Seconds of processor time, the server's included: what else the machine does costs none of them."""
    served = 0.0
    if store.engine.dialect.name == "postgresql":
        with store.read() as tx:
            pid = tx.conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        user, system = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
        served = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return time.process_time() + served


def without_search(store: Store) -> None:
    on_pages, on_quarantine = (" ON pages", " ON quarantine") if store.engine.dialect.name == "postgresql" else ("", "")
    with store.write() as tx:
        tx.conn.exec_driver_sql(f"DROP TRIGGER pages_to_index{on_pages}")
        tx.conn.exec_driver_sql(f"DROP TRIGGER requeued_to_index{on_quarantine}")
        tx.conn.exec_driver_sql("DROP INDEX ix_messages_page_id")


def measure_ingest(fresh: Callable[[], Store], count: int, rounds: int) -> None:
    rates: dict[bool, list[float]] = {True: [], False: []}
    made = list(made_pages(count))
    for number in range(2 * rounds):
        store = fresh()
        if plain := number % 2 == 0:
            without_search(store)
        rates[plain].append(count / ingest(store, iter(made)))
        store.dispose()
    with_it, without = (statistics.median(rates[plain]) for plain in (False, True))
    cost = 100 * (1 - with_it / without)
    print(
        f"  ingest: {with_it:,.0f} messages a second of CPU, without search {without:,.0f}: {cost:.1f} % slower",
        flush=True,
    )


def timed(action: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def alone(tx: Tx) -> None:
    if tx.postgres:
        tx.conn.exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")


def by_like(store: Store, word: str) -> list[object]:
    """What people write who have no index: the latest hundred messages with a word."""
    query = sa.text(
        "SELECT m.msg_id FROM message_bodies b JOIN messages m ON m.app_id = b.app_id AND m.msg_id = b.msg_id"
        " WHERE b.text LIKE :like ORDER BY m.timestamp_ms DESC LIMIT 100"
    )
    with store.read() as tx:
        alone(tx)
        return list(tx.conn.scalars(query, {"like": f"%{word}%"}))


def in_sql(store: Store, word: str) -> list[object]:
    """The same by the index, as people write it in SQL."""
    if store.engine.dialect.name == "postgresql":
        query = "SELECT msg_id FROM archive_search(:word, 100)"
    else:
        query = (
            "SELECT msg_id FROM search_texts WHERE number IN (SELECT rowid FROM search_index"
            " WHERE search_index MATCH '\"' || :word || '\"' ORDER BY rowid DESC LIMIT 100) ORDER BY number DESC"
        )
    with store.read() as tx:
        return list(tx.conn.scalars(sa.text(query), {"word": word}))


def bare_like(store: Store, word: str) -> list[object]:
    """The least that LIKE can do: no order, no join."""
    with store.read() as tx:
        alone(tx)
        query = sa.text("SELECT count(*) FROM message_bodies WHERE text LIKE :like")
        return list(tx.conn.scalars(query, {"like": f"%{word}%"}))


def by_index(store: Store, word: str) -> list[Hit]:
    return list(search.find(store, word, Filter(), 100))


def measure_search(store: Store, count: int) -> None:
    ingest(store, made_pages(count))
    before = size_of(store)
    began = time.perf_counter()
    added = search.index(store)
    rate = added / (time.perf_counter() - began)
    size = (size_of(store) - before) / count
    print(f"  index: {rate:,.0f} texts/s, {added:,} in all; {size:,.0f} bytes a message", flush=True)
    if store.engine.dialect.name == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.exec_driver_sql("VACUUM ANALYZE")
    for word in WORDS:
        told = compared(store, word)
        print(f"  {word}: {told}", flush=True)


def size_of(store: Store) -> int:
    if store.engine.dialect.name == "sqlite":
        with store.engine.connect() as conn:
            conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return store.disk()["database_bytes"] or 0


def compared(store: Store, word: str) -> str:
    """By processor time, turn by turn, without parallel workers: what else the machine does counts for nobody."""
    ways = {"search": (by_index, 5), "in SQL": (in_sql, 5), "LIKE": (by_like, 1), "bare LIKE": (bare_like, 1)}
    ms = dict.fromkeys(ways, 0.0)
    for way, _ in ways.values():
        way(store, word)
    for _ in range(_TURNS):
        for name, (way, times) in ways.items():
            began = cpu_s(store)
            for _ in range(times):
                way(store, word)
            ms[name] += 1000 * (cpu_s(store) - began) / times / _TURNS
    (hits,) = bare_like(store, word)
    told = ", ".join(f"{name} {each:.1f} ms" for name, each in ms.items())
    least, same = (
        f"{ms[name] / ms['search']:.0f} x ({ms[name] / ms['in SQL']:.0f} x)" for name in ("bare LIKE", "LIKE")
    )
    return f"{hits:,} messages; {told}; search (in SQL) is faster than bare LIKE {least}, than LIKE {same}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="for the search, a multiple of 10,000")
    parser.add_argument("--ingested", type=int, default=100_000, help="for each round of ingest")
    parser.add_argument("--rounds", type=int, default=3)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, own_server() as server:
        names = iter(range(1000))

        def on_sqlite() -> Store:
            return made(f"sqlite:///{Path(folder) / f'{next(names)}.db'}")

        def on_postgres() -> Store:
            name = f"bench_{next(names)}"
            server.run(f"CREATE DATABASE {name}")
            return made(server.of(name).replace("postgresql://", "postgresql+psycopg://"))

        def made(url: str) -> Store:
            store = open_store(url)
            migrate.upgrade(store)
            return store

        for title, fresh in (("SQLite", on_sqlite), ("PostgreSQL", on_postgres)):
            print(title, flush=True)
            if told.rounds:
                measure_ingest(fresh, told.ingested, told.rounds)
            if told.messages:
                measure_search(fresh(), told.messages)


if __name__ == "__main__":
    main()
