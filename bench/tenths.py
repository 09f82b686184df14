"""How storing slows down as an archive grows: `python -m bench.tenths --messages 10000000 --only postgresql`.

Pages of a thousand messages of a year, one transaction each, as a pull stores them; by tenths of the messages.
Processor time of this process, and on PostgreSQL of the server's process for it: a clock also measures what else the
machine does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archiver import cli
from archiver.store.admin import migrate
from archiver.store.engine import Store, open_store
from bench.archive import fill
from bench.review import cpu_ms
from tests.postgres import own_server

_PAGE = 1_000


class Meter:
    """Seconds of processor time and of the clock for every page."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._backend = 0
        self.pages: list[tuple[float, float, float]] = []
        """Client, server, clock."""

    def _server_s(self) -> float:
        """Of the server's process that this process's only connection has."""
        if self._store.engine.dialect.name != "postgresql":
            return 0.0
        if not self._backend:
            with self._store.read() as tx:
                self._backend = int(tx.conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        return cpu_ms(self._backend) / 1000

    @contextmanager
    def around(self) -> Iterator[None]:
        server_s, client_s, began = self._server_s(), time.process_time(), time.perf_counter()
        yield
        ended, spent_s = time.perf_counter(), time.process_time() - client_s
        self.pages.append((spent_s, self._server_s() - server_s, ended - began))


def measure(store: Store, messages: int) -> None:
    meter = Meter(store)
    fill(store, "bench#tenths", messages, 365, meter.around)
    step = len(meter.pages) // 10
    print(f"{store.engine.dialect.name}, {messages:,} messages: microseconds a message", flush=True)
    tenths = [
        [sum(column) for column in zip(*meter.pages[at : at + step], strict=True)] for at in range(0, 10 * step, step)
    ]
    share = 1e6 / (step * _PAGE)
    for number, (client, server, clock) in enumerate(tenths, 1):
        figures = f"client {client * share:5.1f}, server {server * share:5.1f}, clock {clock * share:5.1f}"
        print(f"  tenth {number:2}: {figures}")
    first, last = (sum(tenth[:2]) for tenth in (tenths[0], tenths[-1]))
    print(f"  first / last tenth: processor {first / last:.2f}, clock {tenths[0][2] / tenths[-1][2]:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    given = parser.parse_args()
    cli.prepare_process()
    if given.only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="archiver-tenths-", dir="/tmp") as place:
            _run(f"sqlite:///{Path(place) / 'archive.db'}", given.messages)
    if given.only != "sqlite":
        with own_server(durable=True) as server:
            server.run("CREATE DATABASE tenths")
            _run(server.of("tenths").replace("postgresql://", "postgresql+psycopg://"), given.messages)


def _run(url: str, messages: int) -> None:
    store = open_store(url)
    migrate.upgrade(store)
    measure(store, messages)
    store.dispose()


if __name__ == "__main__":
    main()
