"""How several `pull` processes share one archive and one rate budget: `python -m bench.sharing`.

A stand-in server that takes 100 ms for every answer, one PostgreSQL, and 1, 2 and 4 processes of `archiver pull` at
once, as on as many machines. Pages a second are counted from the first page stored to the last, so that the start of
Python does not count; the wall clock is beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archiver.model import DAY_MS
from archiver.sandbox import Faults, Sandbox
from archiver.store.admin import migrate
from archiver.store.admin.ask import ask
from archiver.store.engine import open_store
from tests.postgres import Postgres, own_server

_ARCHIVER = [sys.executable, "-m", "archiver"]


@contextmanager
def serving(messages: int, latency_ms: int) -> Iterator[dict[str, Any]]:
    """The stand-in server in a process of its own."""
    options = ["--serve", "--messages", str(messages), "--latency-ms", str(latency_ms)]
    command = [sys.executable, "-m", "bench.sharing", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield json.loads(process.stdout.readline() if process.stdout else "")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def serve(messages: int, latency_ms: int) -> None:
    """Two months of messages, so that there are enough windows for everybody."""
    asked = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    with Sandbox(messages, span_ms=60 * DAY_MS, faults=Faults(latency_ms=latency_ms)) as server:
        print(json.dumps(server.announcement()), flush=True)
        signal.sigwait(asked)


def pull_at_once(processes: int, config: Path, rate: str, url: str) -> tuple[float, int, float]:
    """Seconds by the wall clock, pages, and pages a second, of so many processes on an empty archive."""
    environ = os.environ | {"ARCHIVER_DATABASE__URL": url, "ARCHIVER_APPS__0__RATE": rate}
    began = time.perf_counter()
    command = [*_ARCHIVER, "--config", str(config), "pull"]
    running = [subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) for _ in range(processes)]
    codes = [process.wait() for process in running]
    took_s = time.perf_counter() - began
    store = open_store(url.replace("postgresql://", "postgresql+psycopg://"))
    span = "extract(epoch FROM max(fetched_at) - min(fetched_at))"
    ((pages, messages, span_s),) = ask(store, f"SELECT count(*), sum(new), {span} FROM pages")[1]
    store.dispose()
    if 0 not in codes:
        raise SystemExit(f"no pull came to its end: {codes}; {messages} messages")
    return took_s, int(pages), int(pages) / float(span_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=30_000)
    parser.add_argument("--page-size", type=int, default=100)
    parser.add_argument("--latency-ms", type=int, default=100)
    parser.add_argument("--rate", default="1000/s", help="of the one budget that all processes share")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true")
    given = parser.parse_args()
    if given.serve:
        serve(given.messages, given.latency_ms)
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(given.messages, given.latency_ms) as told,
        own_server() as postgres,
    ):
        config = Path(folder, "config.toml")
        app = {name: told[name] for name in ("org", "app", "base_url", "client_id", "client_secret", "start")}
        lines = [f"{name} = {json.dumps(value)}" for name, value in {**app, "page_size": given.page_size}.items()]
        config.write_text("\n".join(["[[apps]]", *lines, "audits = []"]))
        config.chmod(0o600)
        print(f"{given.messages:,} messages, {given.page_size} a page, {given.latency_ms} ms an answer, {given.rate}")
        print("processes  round  wall s  pages  pages/s")
        for number in range(given.rounds):
            for processes in (1, 2, 4):
                name = f"sharing_{number}_{processes}"
                took_s, pages, rate = measured(postgres, name, processes, config, given.rate)
                print(f"{processes:9} {number + 1:6} {took_s:7.1f} {pages:6} {rate:8.1f}", flush=True)


def measured(postgres: Postgres, name: str, processes: int, config: Path, rate: str) -> tuple[float, int, float]:
    """One round, on a database of its own."""
    postgres.run(f"CREATE DATABASE {name}")
    url = postgres.of(name)
    store = open_store(url.replace("postgresql://", "postgresql+psycopg://"))
    migrate.upgrade(store)
    store.dispose()
    try:
        return pull_at_once(processes, config, rate, url)
    finally:
        postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


if __name__ == "__main__":
    main()
