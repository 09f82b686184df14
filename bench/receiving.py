"""Callbacks at a steady rate while the database is stopped, and how soon it has them after.

The receiver is a process of its own with the spool on the disk. The sender is another one: by its clock, so that a slow
answer delays no other callback, and a callback's time counts from when it was due. Then the database is started, and
the spool is read in; and pages are stored with that beside them, in turn with pages alone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles

from archiver.callbacks.ingest import ingest
from archiver.config import Settings, load
from archiver.model import Page
from archiver.store import apps, pages, windows
from archiver.store.admin import migrate
from archiver.store.engine import Store, open_store
from bench.archive import START_MS
from bench.deletion import arriving, claimed
from tests.callbacks.posting import posted
from tests.callbacks.sending import SECRETS, SECTION, message
from tests.postgres import free_port, own_server

APP, TOKEN = "o#a", "0" * 32
LIMIT_MS, DRAINED_S = 200, 60
_CONNECTIONS = 32
_PAIRS = 4


def _send(port: int, rate: int, seconds: int, found: multiprocessing.Queue[tuple[list[float], int]]) -> None:
    """Callbacks by a clock, over connections that stay, as the shipped proxy keeps them; finds ms, and how many
    were not answered with 200."""
    count = rate * seconds
    bodies = [json.dumps(message(APP, str(number), f"hello, number {number}")).encode() for number in range(count)]
    latencies: list[float] = []
    refused = 0
    began = time.perf_counter() + 0.5

    def one(first: int) -> None:
        nonlocal refused
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(first, count, _CONNECTIONS):
            due = began + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            status = posted(connection, bodies[number], f"/callback/support/{TOKEN}")
            latencies.append((time.perf_counter() - due) * 1000)
            refused += status != 200
        connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put((latencies, refused))


@contextmanager
def receiving(config: Path, port: int) -> Iterator[None]:
    """A receiver that listens."""
    command = [sys.executable, "-m", "archiver", "--config", str(config), "receive"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not _answers(port):
            if process.poll() is not None:
                raise SystemExit(f"the receiver has ended with {process.returncode}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with suppress(OSError):
        connection.request("GET", "/")
        return connection.getresponse().status == 404
    return False


def load_up(config: Path, port: int, given: argparse.Namespace) -> None:
    """The steady rate, against a receiver whose database is not there."""
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[tuple[list[float], int]] = context.Queue()
    with receiving(config, port):
        sender = context.Process(target=_send, args=(port, given.rate, given.seconds, found))
        began = time.perf_counter()
        sender.start()
        latencies, refused = found.get()
        took_s = time.perf_counter() - began
        sender.join()
    p50, p99 = median(latencies), quantiles(latencies, n=100)[98]
    print(
        f"  {len(latencies):,} callbacks in {took_s:.0f} s, {refused} refused: median {p50:.1f} ms, 99th percentile"
        f" {p99:.0f} ms (target {LIMIT_MS}), at most {max(latencies):.0f} ms",
        flush=True,
    )


def drain(settings: Settings, store: Store) -> None:
    """All that is in the spool, into `events`."""
    began, cpu_s = time.perf_counter(), time.process_time()
    result = ingest(settings, store)
    assert result is not None
    took_s, count = time.perf_counter() - began, sum(result.counts.values())
    share = (time.process_time() - cpu_s) * 1e6 / count
    print(
        f"  {count:,} events stored in {took_s:.1f} s (target {DRAINED_S}): {count / took_s:,.0f}/s,"
        f" {share:.0f} us of processor time of the program each",
        flush=True,
    )
    with store.read() as tx:
        signed = "SELECT count(*), sum(CASE WHEN signed = 'signed' THEN 1 ELSE 0 END) FROM events"
        print(f"  events, of them signed: {tuple(tx.conn.exec_driver_sql(signed).one())}")
        for table in ("events", "callback_signatures"):
            size = int(tx.conn.exec_driver_sql(f"SELECT pg_total_relation_size('{table}')").scalar_one())
            print(f"  {table}: {size / count:.0f} bytes a callback, indexes included")


def _ingest_beside(config: str, begun: multiprocessing.synchronize.Event) -> None:
    settings = load(Path(config), {})
    store = open_store(settings.database.sqlalchemy_url)
    begun.set()
    ingest(settings, store)
    store.dispose()


def beside(fresh: Callable[[str], tuple[Path, Store]], given: argparse.Namespace) -> None:
    """The rate of pages with callbacks of the given rate read in meanwhile, over the rate alone, on a clock."""
    made = arriving()
    ratios = []
    for number in range(_PAIRS):
        rates = {}
        for kind in ("alone", "beside") if number % 2 else ("beside", "alone"):
            config, store = fresh(f"{kind}{number}")
            settings = load(config, {})
            _spool(settings, given.rate * 10 if kind == "beside" else 0)
            rates[kind] = _pull(config, store, made)
            store.dispose()
        ratios.append(rates["beside"] / rates["alone"])
    print(
        f"  rate of a pull beside the reading of {given.rate * 10:,} callbacks / alone: {median(ratios):.2f}"
        f" ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def _spool(settings: Settings, count: int) -> None:
    from archiver.callbacks import spool
    from archiver.callbacks.spool import Received

    assert settings.callbacks is not None
    spool.make(settings.callbacks.spool)
    now_ms = time.time_ns() // 1_000_000
    for at in range(0, count, 1_000):
        records = (
            spool.encoded(Received("support", now_ms, json.dumps(message(APP, str(number), "hello")).encode()))
            for number in range(at, min(count, at + 1_000))
        )
        path = settings.callbacks.spool / spool.READY / f"{now_ms:013}-1-{at}.segment"
        path.write_bytes(b"".join(records))


def _pull(config: Path, store: Store, made: list[Page]) -> float:
    """Pages a second, a transaction each."""
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_ingest_beside, args=(str(config), begun))
    process.start()
    begun.wait()
    claim = claimed(store)
    began = time.perf_counter()
    for page in made:
        with store.write(lock="shared") as tx:
            pages.insert(windows.hold(tx, claim), [page], START_MS)
    took_s = time.perf_counter() - began
    process.join()
    return len(made) / took_s


def _configured(folder: Path, url: str) -> tuple[Path, int]:
    """A configuration in a folder, and the port that its receiver has."""
    folder.mkdir()
    port = free_port()
    (folder / "token").write_text(TOKEN)
    (folder / "secrets").write_text("\n".join(SECRETS) + "\n")
    section = SECTION.format(spool=folder / "spool", app=APP, folder=folder)
    section = section.replace("[callbacks]\n", f'[callbacks]\nlisten = "127.0.0.1:{port}"\n')
    config = folder / "config.toml"
    config.write_text(
        f'[database]\nurl = "{url}"\n{section}\n[[apps]]\norg = "o"\napp = "a"\nbase_url = "http://127.0.0.1:9"\n'
        'source = "cursor"\nclient_id = "bench"\nclient_secret = "nobody\'s"\nstart = "2026-09-22T00:00:00Z"\n'
    )
    return config, port


def _prepared(url: str) -> Store:
    store = open_store(url)
    migrate.upgrade(store)
    with store.write() as tx:
        apps.register(tx, APP, "cursor", START_MS, settle_ms=120_000, retention_ms=None)
    return store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="archiver-receiving-", dir="/tmp") as place:
        folder = Path(place)

        def on_sqlite(name: str) -> tuple[Path, Store]:
            url = f"sqlite:///{folder / f'{name}.db'}"
            return _configured(folder / f"sqlite-{name}", url)[0], _prepared(url)

        with own_server(durable=True) as server:
            server.run("CREATE DATABASE load")
            url = server.of("load").replace("postgresql://", "postgresql+psycopg://")

            def on_server(name: str) -> tuple[Path, Store]:
                server.run(f"CREATE DATABASE {name}")
                mine = server.of(name).replace("postgresql://", "postgresql+psycopg://")
                return _configured(folder / name, mine)[0], _prepared(mine)

            print(f"postgresql, stopped, {given.rate} callbacks a second for {given.seconds} s")
            _prepared(url).dispose()
            config, port = _configured(folder / "load", url)
            assert server.control is not None
            server.control("stop", "-m", "fast")
            load_up(config, port, given)
            server.control("start")
            drain(load(config, {}), open_store(url))
            beside(on_server, given)
        print("sqlite")
        beside(on_sqlite, given)


if __name__ == "__main__":
    main()
