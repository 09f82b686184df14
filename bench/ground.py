"""What a round of the benchmark stands on: fresh databases, the server of pages, and runs in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from archiver.store.admin import migrate
from archiver.store.engine import open_store
from tests.postgres import Postgres

_TICKS = os.sysconf("SC_CLK_TCK")
Run = dict[str, Any]


@dataclass
class Ground:
    """Where the runs happen. `postgres` is durable, as it would be in earnest."""

    place: Path
    postgres: Postgres
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def database(self, kind: str, *, migrated: bool = True) -> Iterator[str]:
        """The SQLAlchemy URL of a fresh database, gone afterwards."""
        name = f"bench_{next(self._numbers)}"
        if kind == "sqlite":
            folder = self.place / name
            folder.mkdir()
            url = f"sqlite:///{folder / 'archive.db'}"
        else:
            self.postgres.run(f"CREATE DATABASE {name}")
            url = self.postgres.of(name).replace("postgresql://", "postgresql+psycopg://")
        try:
            if migrated:
                store = open_store(url)
                migrate.upgrade(store)
                store.dispose()
            yield url
        finally:
            if kind == "sqlite":
                shutil.rmtree(folder)
            else:
                self.postgres.run(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, subject: str, url: str, server: Served, **ways: Any) -> Run:
        """One run of a subject; `server_cpu_s` is what PostgreSQL used meanwhile."""
        words = ["--database", url, "--server", server.url, "--messages", str(server.messages)]
        if subject in ("archiver", "audit", "baseline", "sealed", "status", "verify"):
            sealed = subject in ("baseline", "sealed", "verify")
            words += ["--config", str(self._config(url, server, ways.pop("workers", 1), sealed=sealed))]
        words += [f"--{name.replace('_', '-')}" for name, told in ways.items() if told]
        before = self.server_cpu_s()
        done = subprocess.run(
            [sys.executable, "-m", "bench.subjects", subject, *words], stdout=subprocess.PIPE, check=True
        )
        found: Run = json.loads(done.stdout)
        return {**found, "server_cpu_s": self.server_cpu_s() - before, "rate": server.messages / found["seconds"]}

    def size(self, url: str) -> int:
        """Bytes that a database takes, indexes and all."""
        if url.startswith("sqlite"):
            return sum(each.stat().st_size for each in Path(url.removeprefix("sqlite:///")).parent.iterdir())
        store = open_store(url)
        with store.read() as tx:
            found = int(tx.conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
        store.dispose()
        return found

    def evidence_size(self, url: str) -> int | None:
        """Bytes that the tables of the evidence take on a server, indexes and all; None for a file."""
        if url.startswith("sqlite"):
            return None
        names = ", ".join(f"'{name}'" for name in ("seals", "ledger", "ledger_nodes", "checkpoints"))
        store = open_store(url)
        with store.read() as tx:
            total = f"SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN ({names})"
            found = int(tx.conn.exec_driver_sql(total).scalar_one())
        store.dispose()
        return found

    def _config(self, url: str, server: Served, workers: int, *, sealed: bool = False) -> Path:
        path = self.place / f"config-{next(self._numbers)}.toml"
        keys = self.place / f"keys-{url.rpartition('bench_')[2].partition('?')[0].partition('/')[0]}"
        keys.mkdir(exist_ok=True)
        evidence = f"""
            [evidence]
            name = "bench"
            key_file = "{keys}/key"
            state_file = "{keys}/state"
            """
        path.write_text(
            f"""
            [database]
            url = "{url.replace("+psycopg", "")}"
            {evidence if sealed else ""}
            [[apps]]
            org = "bench"
            app = "app"
            base_url = "{server.url}"
            client_id = "bench"
            client_secret = "bench"
            start = {server.start_ms}
            audits = []
            rate = "100000/s"
            workers = {workers}
            """,
            encoding="utf-8",
        )
        return path

    def server_cpu_s(self) -> float:
        """CPU seconds of PostgreSQL so far: its own, of its children, and of those that have ended."""
        assert self.postgres.data is not None
        first = int((self.postgres.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        ticks = sum(_ticks(first, ended=True))
        for stat in Path("/proc").glob("[0-9]*/stat"):
            words = _stat(int(stat.parent.name))
            if words and int(words[1]) == first:
                ticks += sum(_ticks(int(stat.parent.name)))
        return ticks / _TICKS


def _stat(pid: int) -> list[str]:
    """The words behind the process's name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _ticks(pid: int, *, ended: bool = False) -> list[int]:
    return [int(word) for word in _stat(pid)[11 : 15 if ended else 13]]


@dataclass(frozen=True)
class Served:
    url: str
    start_ms: int
    messages: int


@contextmanager
def serve(messages: int, latency_ms: int = 0) -> Iterator[Served]:
    """The server of pages, in a process of its own."""
    words = [sys.executable, "-m", "bench.server", "--messages", str(messages), "--latency-ms", str(latency_ms)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
            yield Served(told["url"], told["start_ms"], messages)
        finally:
            process.terminate()
