"""How much memory an export takes beyond the idle process: `python -m bench.export_memory --messages 1000000`.

The idle process has opened the archive, imported what the format needs, and exported what nobody sent: nothing. Peaks
are the kernel's own (VmHWM), each of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archiver.export import FORMATS
from archiver.store.admin import migrate
from archiver.store.admin.ask import ask
from archiver.store.engine import open_store
from archiver.store.read.filters import Filter
from bench.archive import START_MS, export_all, fill


def peak_mb() -> float:
    """The most memory that this process has ever had, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def measure(url: str, form: str, output: Path, *, idle: bool) -> dict[str, Any]:
    """One export in this process; `idle`: only of messages that nobody sent, so that all is loaded and nothing read."""
    store = open_store(url)
    wanted = Filter(sender="nobody") if idle else Filter()
    began = time.perf_counter()
    done = export_all(store, form, output, wanted)
    took_s = time.perf_counter() - began
    store.dispose()
    return {"messages": done.messages, "seconds": round(took_s, 1), "peak_mb": peak_mb()}


def in_a_process(url: str, form: str, output: Path, *, idle: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.export_memory", "--url", url, "--measure", form, "--output", str(output)]
    told = subprocess.run([*command, *(["--idle"] if idle else [])], check=True, capture_output=True, text=True).stdout
    return dict(json.loads(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--url", help="an empty database, or one that this has filled; else SQLite in a folder")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--measure")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--idle", action="store_true")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.url, given.measure, given.output, idle=given.idle)))
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = given.url or f"sqlite:///{folder}/archive.db"
        if given.postgres:
            from tests.postgres import own_server  # not in the processes that are measured

            server = stack.enter_context(own_server())
            server.run("CREATE DATABASE export_memory")
            url = server.of("export_memory").replace("postgresql://", "postgresql+psycopg://")
        compare(url, folder, given.messages, given.days)


def compare(url: str, folder: Path, messages: int, days: int) -> None:
    """Fill a database that is empty, and print a line for each format."""
    store = open_store(url)
    migrate.upgrade(store)
    if not ask(store, "SELECT 1 FROM messages LIMIT 1")[1]:
        fill(store, "bench#export", messages, days)
    store.dispose()
    print(f"{messages:,} messages of {days} days from {datetime.fromtimestamp(START_MS / 1000, UTC)}")
    print("format   seconds  idle MB  peak MB  above idle MB")
    for form in FORMATS:
        idle = in_a_process(url, form, folder / f"idle-{form}", idle=True)
        full = in_a_process(url, form, folder / form, idle=False)
        above = full["peak_mb"] - idle["peak_mb"]
        print(f"{form:7} {full['seconds']:8} {idle['peak_mb']:8.0f} {full['peak_mb']:8.0f} {above:14.0f}", flush=True)


if __name__ == "__main__":
    main()
