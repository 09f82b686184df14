"""The review page on a million messages and a year of windows, by the hour: `python -m bench.review`.

The page is a process of its own, asked over HTTP as a browser asks it: a form that searches or opens a conversation and
the redirect to what was found, each beside the same read as the commands make it, in the same minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from archiver import conversation, coverage, search
from archiver.model import DAY_MS, MINUTE_MS
from archiver.store.admin import migrate
from archiver.store.engine import Store, open_store
from archiver.store.read import status
from archiver.store.read.filters import Filter
from bench.archive import START_MS
from bench.search import WORDS, ingest, made_pages
from tests.page.browsing import PROXY, SECRET, Visitor, proxy_headers
from tests.postgres import free_port, own_server

TARGETS = {"search": 300, "conversation": 200, "year": 500}
"""Milliseconds, at the 95th percentile."""
MEBIBYTES = 150
_YEAR_MS = 365 * DAY_MS
_WINDOWS = """
INSERT INTO windows (id, app_id, source, pass, cause, lo_ms, hi_ms, lag_ms, state, created_at)
SELECT n.i + 1000, a.id, 'hourly', 1, 'live', {start} + n.i * {step}, {start} + (n.i + 1) * {step}, 120000,
       CASE WHEN n.i - (n.i / 700) * 700 = 17 THEN 'expired' ELSE 'closed' END, {now}
FROM apps a, ({numbers}) n
"""
_LARGEST = """
SELECT conversation FROM messages WHERE conversation IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC LIMIT 200
"""
_NUMBERS = {
    "postgresql": "SELECT generate_series(CAST(0 AS bigint), {last}) AS i",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n",
}


def build(store: Store, messages: int, windows: int) -> None:
    """The messages with their index, and a second source with so many windows in a year, some of them lost."""
    ingest(store, made_pages(messages))
    search.index(store)
    kind = store.engine.dialect.name
    step = _YEAR_MS // windows
    start = START_MS // DAY_MS * DAY_MS - 300 * DAY_MS
    numbers = _NUMBERS[kind].format(last=windows - 1)
    now = "now()" if kind == "postgresql" else "'2026-11-29T00:00:00.000Z'"
    with store.write() as tx:
        columns = "app_id, source, origin_ms, settle_ms, grain_ms, order_trusted, created_at"
        row = f"SELECT id, 'hourly', {start}, 0, {MINUTE_MS}, {'true' if tx.postgres else '1'}, {now} FROM apps"
        tx.conn.exec_driver_sql(f"INSERT INTO sources ({columns}) {row}")
        mark = f"SELECT id, 'hourly', {start}, {start + 17 * step}, {start}, {now} FROM apps"
        columns = "app_id, source, complete_from_ms, complete_until_ms, audited_until_ms, updated_at"
        tx.conn.exec_driver_sql(f"INSERT INTO watermarks ({columns}) {mark}")
        tx.conn.exec_driver_sql(_WINDOWS.format(start=start, step=step, numbers=numbers, now=now))
    store.analyze()
    if kind == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.exec_driver_sql("VACUUM ANALYZE")


@contextmanager
def page(url: str, place: Path) -> Iterator[tuple[str, int]]:
    """The page as a process: its address and its number."""
    port, secret, config = free_port(), place / "secret", place / "config.toml"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    section = PROXY.format(secret=secret).replace("127.0.0.1:0", f"127.0.0.1:{port}")
    app = '[[apps]]\norg = "bench"\napp = "search"\nclient_id = "x"\nclient_secret = "not used here"\n'
    config.write_text(f'{section}[database]\nurl = "{url}"\n{app}start = 2026-01-01T00:00:00Z\n')
    config.chmod(0o600)
    command = [sys.executable, "-m", "archiver", "--config", str(config), "review"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                requests.get(address, timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def signed_in(address: str) -> Visitor:
    reader = Visitor(address, proxy_headers("officer"))
    reader.get("/")
    reader.post("/signin")
    reader.get("/case")
    return reader


def p95(action: Callable[[], object], rounds: int) -> float:
    """In milliseconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.quantiles(taken, n=20)[-1]


def measure(store: Store, address: str, number: int, rounds: int) -> None:
    """Each screen beside what the commands do for the same question."""
    reader, made, words = signed_in(address), random.Random(7), list(WORDS)
    with store.read() as tx:
        names = list(tx.conn.exec_driver_sql(_LARGEST).scalars())
    year = time.gmtime(START_MS / 1000).tm_year

    def look(path: str, **form: str) -> None:
        answer = reader.get(reader.look(path, **form))
        if answer.status_code != 200:
            raise ValueError(answer.status_code)

    def of_year() -> None:
        with store.read() as tx:
            for source in status.read(tx):
                coverage.facts(tx, source)

    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "search": (
            lambda: look("/search", words=made.choice(words)),
            lambda: list(search.find(store, made.choice(words), Filter(), 51)),
        ),
        "conversation": (
            lambda: look("/conversation", conversation=made.choice(names)),
            lambda: next(iter(conversation.read(store, conversation.find(store, made.choice(names)))), None),
        ),
        "year": (lambda: reader.get(f"/coverage/bench%23search/hourly/{year}"), of_year),
    }
    for name, (ours, command) in pairs.items():
        ours(), command()
        before = cpu_ms(number)
        page_ms = p95(ours, rounds)
        used, command_ms = (cpu_ms(number) - before) / rounds, p95(command, rounds)
        target = f"target {TARGETS[name]}, its processor {used:,.0f}"
        print(f"  {name}: p95 {page_ms:,.0f} ms ({target}), the command's read {command_ms:,.0f}", flush=True)


def cpu_ms(number: int) -> float:
    """Processor time of a process so far: what else the machine does costs none of it."""
    user, system = Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return 1000 * (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def busy(address: str, number: int, seconds: float) -> None:
    """What four readers at once cost in memory."""
    ends_at = time.monotonic() + seconds

    def read() -> None:
        reader, made = signed_in(address), random.Random(threading.get_ident())
        while time.monotonic() < ends_at:
            reader.get(reader.look("/search", words=made.choice(list(WORDS))))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{number}/status").read_text(encoding="ascii"))
    print(f"  four busy readers: peak {int(peak[1]) / 1024 if peak else 0:.0f} MiB (target {MEBIBYTES})", flush=True)


def run(kind: str, url: str, messages: int, windows: int, rounds: int) -> None:
    print(f"{kind}, {messages:,} messages, {windows:,} windows", flush=True)
    store = open_store(url.replace("postgresql://", "postgresql+psycopg://"))
    migrate.upgrade(store)
    build(store, messages, windows)
    with tempfile.TemporaryDirectory() as place, page(url, Path(place)) as (address, number):
        measure(store, address, number, rounds)
        busy(address, number, 20)
    store.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--windows", type=int, default=8_760)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    if arguments.only != "postgresql":
        with tempfile.TemporaryDirectory() as place:
            run("sqlite", f"sqlite:///{place}/archive.db", arguments.messages, arguments.windows, arguments.rounds)
    if arguments.only != "sqlite":
        with own_server() as server:
            server.run("CREATE DATABASE bench")
            run("postgresql", server.of("bench"), arguments.messages, arguments.windows, arguments.rounds)


if __name__ == "__main__":
    main()
