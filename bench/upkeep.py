"""What a PostgreSQL server has to keep up with: `python -m bench.upkeep`.

First what a pull writes for every page, by table: on a cluster, what is not keyed by messages is the coordinator's.
Then the index for searching while messages come in and nobody vacuums: its list of pending entries, what a look-up of a
word costs behind one, dead rows, and transactions used.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from archiver.store.admin import migrate
from archiver.store.engine import Store, open_store
from archiver.store.schema import SHARDED, placed
from archiver.store.search import index
from bench.search import ingest, made_pages
from bench.sharing import serving
from tests.postgres import Postgres, own_server

_LOOK_UP = """
SELECT msg_id FROM search_texts
WHERE array_to_tsvector(archive_bigrams(text)) @@ archive_query('退款') AND strpos(text, '退款') > 0
"""
WAYS = {
    "usual": "",
    "large": "gin_pending_list_limit = '64MB'",
    "off": "ALTER INDEX ix_search_texts_bigrams SET (fastupdate = off)",
}
_WRITES = """
SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, pg_total_relation_size(relid)
FROM pg_stat_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY 1
"""
_PENDING = "SELECT pending_pages, pending_tuples FROM pgstatginindex('ix_search_texts_bigrams')"


def told(server: Postgres, name: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.of(name), autocommit=True) as conn:
        conn.execute("SELECT pg_stat_force_next_flush()")
        result = conn.execute(sql.encode())
        return result.fetchall() if result.description else []


def made(server: Postgres, name: str) -> Store:
    server.run(f"CREATE DATABASE {name}")
    store = open_store(server.of(name).replace("postgresql://", "postgresql+psycopg://"))
    migrate.upgrade(store)
    with psycopg.connect(server.of(name), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION pgstattuple")
    return store


def writes_of_a_pull(server: Postgres, messages: int, page_size: int) -> None:
    """Rows added, changed and deleted for a page, by `archiver pull` and `archiver index` as one runs them."""
    made(server, "writes").dispose()
    with tempfile.TemporaryDirectory() as folder, serving(messages, 0) as stand_in:
        config = Path(folder) / "config.toml"
        app = {key: stand_in[key] for key in ("org", "app", "base_url", "client_id", "client_secret", "start")}
        lines = [f'url = "{server.of("writes")}"', "[[apps]]", *(f'{key} = "{value}"' for key, value in app.items())]
        lines += [f"page_size = {page_size}", 'rate = "1000/s"', "audits = []"]
        config.write_text("\n".join(["[database]", *lines]), encoding="utf-8")
        config.chmod(0o600)
        before = {row[0]: row[1:5] for row in told(server, "writes", _WRITES)}
        for command in ("pull", "index"):
            words = [sys.executable, "-m", "archiver", "--config", str(config), command]
            subprocess.run(words, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ)
    ((pages, windows),) = told(server, "writes", "SELECT (SELECT count(*) FROM pages), (SELECT count(*) FROM windows)")
    print(f"a pull of {messages:,} messages: {pages} pages in {windows} windows; for each page")
    spread = {table.name for table in placed(SHARDED)}
    for name, *counts, size in told(server, "writes", _WRITES):
        added, changed, in_place, deleted = (
            (int(str(now)) - int(str(was))) / int(str(pages))
            for now, was in zip(counts, before.get(name, (0, 0, 0, 0)), strict=True)
        )
        place = "machines" if name in spread else "coordinator"
        if max(added, changed, deleted) > 0:
            figures = f"{added:8.2f} added {changed:8.2f} changed ({in_place:.2f} in place) {deleted:8.2f} deleted"
            print(f"  {place:12} {name:20} {figures}; {int(str(size)) // 1024:,} kB")


def indexed(store: Store, chunks: Iterator[int]) -> Iterator[int]:
    """Let the index come to all that waits, a claim at a time; gives how many texts, at every step of `chunks`."""
    done, step = 0, next(chunks)
    while True:
        with store.write() as tx:
            added = index.add_pages(tx)
        if added is None:
            yield done
            return
        done += added
        if done >= step:
            yield done
            step = next(chunks)


def looked_up_ms(server: Postgres, name: str) -> float:
    """How long the index takes for a word, without what waits for it, which a search reads beside."""
    taken = []
    with psycopg.connect(server.of(name), autocommit=True) as conn:
        conn.execute("SET work_mem = '64MB'")
        for _ in range(9):
            began = time.perf_counter()
            conn.execute(_LOOK_UP.encode()).fetchall()
            taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def growth(server: Postgres, messages: int, name: str, settings: str) -> None:
    """Index messages while nobody vacuums, and then let somebody."""
    store = made(server, name)
    run = f"ALTER DATABASE {name} SET {settings}" if settings.startswith("gin") else settings
    with psycopg.connect(server.of(name), autocommit=True) as conn:
        conn.execute("ALTER TABLE search_texts SET (autovacuum_enabled = off)")
        conn.execute("ALTER TABLE search_queue SET (autovacuum_enabled = off)")
        conn.execute(run.encode())
    store.dispose()
    ingest(store, made_pages(messages))
    step = messages * 3 // 13  # unlike the sizes at which the list is merged, or it would always be seen short
    began = time.perf_counter()
    print(f"{settings or 'as it is'}: {messages:,} messages")
    for texts in indexed(store, iter(range(step, 10 * messages, step))):
        told(server, name, "ANALYZE search_texts")  # by hand, it leaves the pending entries where they are
        ((pages, entries),) = told(server, name, _PENDING)
        print(
            f"  {texts:>9,} texts: {pages:>4} pages and {entries:>6} entries pending,"
            f" look-up {looked_up_ms(server, name):6.1f} ms"
        )
    print(f"  indexed {messages / (time.perf_counter() - began):,.0f} messages a second, look-ups included")
    store.dispose()
    report(server, name)


def report(server: Postgres, name: str) -> None:
    """Dead rows and sizes before and behind VACUUM; transactions used."""
    size = "SELECT pg_relation_size('ix_search_texts_bigrams') / 2^20"
    ((age, mb),) = told(
        server, name, f"SELECT age(relfrozenxid), ({size}) FROM pg_class WHERE relname = 'search_texts'"
    )
    of_queue = "FROM pg_stat_user_tables WHERE relname = 'search_queue'"
    queue = f"SELECT n_dead_tup, pg_total_relation_size(relid) / 1024 {of_queue}"
    ((dead, kb),) = told(server, name, queue)
    print(f"  transactions used {age:,}; index {mb:,.0f} MB; search_queue {dead:,} dead rows in {kb:,} kB")
    began = time.perf_counter()
    told(server, name, "VACUUM search_texts")
    vacuumed_s = time.perf_counter() - began
    ((pages, _),) = told(server, name, _PENDING)
    taken = f"VACUUM search_texts took {vacuumed_s:.1f} s"
    print(f"  {taken}; {pages} pages pending, look-up {looked_up_ms(server, name):.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="a multiple of 40,000; 0: none")
    parser.add_argument("--pulled", type=int, default=100_000)
    given = parser.parse_args()
    with own_server(durable=True) as server:
        writes_of_a_pull(server, given.pulled, 1_000)
        for name, settings in WAYS.items() if given.messages else ():
            growth(server, given.messages, name, settings)


if __name__ == "__main__":
    main()
