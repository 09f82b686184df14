"""What people wait for, beside its bound: exports, the search index, the check of an export, and a command's start.

`python -m bench.waits --messages 200000 --rounds 3`, alone on a machine: figures of processor time grow by half where
somebody else computes beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

import sqlalchemy as sa

from archiver import cli, coverage
from archiver.attachments import fetch
from archiver.blobs.contents import Blobs
from archiver.export import FORMATS, manifest, run
from archiver.export.request import Request
from archiver.model import Window
from archiver.sources import decode
from archiver.store import apps, planning
from archiver.store.admin import migrate
from archiver.store.engine import Store, open_store
from archiver.store.read.filters import Filter
from archiver.store.search import index
from bench.archive import START_MS, Quiet, fill
from tests.postgres import own_server

_COPY = """
COPY (SELECT m.msg_id, m.timestamp_ms, m.sender, m.recipient, m.conversation, m.chat_type, m.direction, m.ext, m.raw,
             m.digest, m.lossy, m.position, m.page_id, m.archived_at, b.*
      FROM messages m LEFT JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id
      ORDER BY m.sent_at, m.timestamp_ms, m.msg_id) TO STDOUT
"""
_PAGES = """
INSERT INTO pages (id, app_id, window_id, source, fence, fetched_at, sha256, received, new)
SELECT page_id, app_id, (SELECT min(id) FROM windows), 'cursor', 1, {now}, '', count(*), count(*)
FROM messages GROUP BY page_id, app_id
"""
_STORED = """
UPDATE attachments SET state = 'stored', sha256 = :sha256, size = :size, media_type = 'image/png'
WHERE app_id = :app_id AND msg_id = :msg_id AND position = :position AND kind = :kind
"""
_CONTENTS = 10_000
_ROUND_OF_START = 10
APP = "bench#waits"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["sqlite", "postgresql", "start"])
    given = parser.parse_args()
    cli.prepare_process()
    with tempfile.TemporaryDirectory(prefix="archiver-waits-", dir="/tmp") as place:
        folder = Path(place)
        if given.only in (None, "sqlite"):
            _measure(f"sqlite:///{folder / 'archive.db'}", folder / "sqlite", given)
        if given.only in (None, "postgresql"):
            with own_server(durable=True) as server:
                server.run("CREATE DATABASE waits")
                _measure(server.of("waits").replace("postgresql://", "postgresql+psycopg://"), folder / "server", given)
        if given.only in (None, "start"):
            _starts(folder)


def _measure(url: str, folder: Path, given: argparse.Namespace) -> None:
    folder.mkdir()
    store = open_store(url)
    migrate.upgrade(store)
    fill(store, APP, given.messages, given.days)
    store.analyze()
    kind = store.engine.dialect.name
    print(f"{kind}, {given.messages:,} messages of {given.days} days")
    _index(store, given.messages)  # first, as in a process of its own: what exports load is looked through for garbage
    _exports(store, folder, given)
    if kind == "postgresql":
        _beside_copy(store, folder, given)
    _files(store, folder)
    store.dispose()


def _exports(store: Store, folder: Path, given: argparse.Namespace) -> None:
    for form in FORMATS:
        spent = [_clocked(lambda: _export(store, form, folder)) for _ in range(given.rounds)]  # noqa: B023 - at once
        cpu_s, wall_s = (median(figures) for figures in zip(*spent, strict=True))
        share = 1e6 / given.messages
        print(f"  export {form:8} {cpu_s * share:6.1f} us of processor time a message, {wall_s:6.2f} s", flush=True)


def _export(store: Store, form: str, folder: Path, workers: int = 1, *, check: bool = False) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        request = Request(form, Path(place) / "out", Filter(), "bench", workers=workers)
        ways: Any = {"claims": coverage.claims, "decode": decode, "blobs": None, "stop": Event(), "watcher": Quiet()}
        run.Export(store, request, **ways).run()
        if check:
            _check(request.output)


def _check(output: Path) -> None:
    """`export verify` beside `sha256sum`, over the same files, which both find in memory."""
    files = [str(path) for path in output.rglob("*") if path.is_file()]
    size = sum(Path(path).stat().st_size for path in files) / 1e6
    _, ours_s = _clocked(lambda: manifest.verify(output))
    _, theirs_s = _clocked(
        lambda: subprocess.run(["/usr/bin/sha256sum", *files], check=True, stdout=subprocess.DEVNULL)
    )
    print(f"  export verify {size / ours_s:,.0f} MB/s; / sha256sum {theirs_s / ours_s:.2f}")


def _beside_copy(store: Store, folder: Path, given: argparse.Namespace) -> None:
    """The wall time of exports against COPY of the same columns in the same order, round by round."""
    ratios: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(given.rounds):
        _, copy_s = _clocked(lambda: _copy(store))
        for workers, found in ratios.items():
            _, export_s = _clocked(lambda: _export(store, "jsonl", folder, workers))  # noqa: B023 - at once
            found.append(copy_s / export_s)
    for workers, found in ratios.items():
        print(f"  COPY's time / that of an export of jsonl, workers {workers}: {median(found):.2f}", flush=True)
    _export(store, "jsonl", folder, check=True)


def _copy(store: Store) -> None:
    with store.read() as tx:
        connection: Any = tx.conn.connection.driver_connection
        with connection.cursor() as cursor, cursor.copy(_COPY) as rows:
            for _ in rows:
                pass


def _index(store: Store, messages: int) -> None:
    """Processor time of this process for taking all messages into the search index, from pages of a thousand."""
    with store.write() as tx:
        key = apps.register(tx, APP, "cursor", START_MS, settle_ms=120_000, retention_ms=None)
        planning.plan(tx, key, 1, planning.LIVE, 0, [Window(START_MS, START_MS + 1)])
        now = "now()" if tx.postgres else "'2026-11-01T00:00:00.000Z'"
        tx.conn.exec_driver_sql(_PAGES.format(now=now))  # a trigger puts them into the queue

    def take() -> None:
        while True:
            with store.write() as tx:
                if index.add_pages(tx) is None:
                    return

    cpu_s, wall_s = _clocked(take)
    print(f"  index {cpu_s * 1e6 / messages:.1f} us of processor time a message, {wall_s:.1f} s", flush=True)


def _files(store: Store, folder: Path) -> None:
    """`attachments verify` beside `sha256sum`, over contents that both find in memory."""
    blobs, size = Blobs(f"file://{folder / 'files'}"), 32 * 1024
    with store.read() as tx:
        query = f"SELECT app_id, msg_id, position, kind FROM attachments LIMIT {_CONTENTS}"
        keys = tx.conn.exec_driver_sql(query).all()
    for number, key in enumerate(keys):
        content = random.Random(number).randbytes(size)
        sha256 = hashlib.sha256(content).hexdigest()
        blobs.save(io.BytesIO(content), sha256, size)
        with store.write() as tx:
            tx.conn.execute(sa.text(_STORED), {"sha256": sha256, "size": size, **key._mapping})
    names = [str(path) for path in (folder / "files").rglob("*") if path.is_file()]
    listed = folder / "names"
    listed.write_text("\n".join(names))
    _, theirs_s = _clocked(
        lambda: subprocess.run(
            ["/usr/bin/xargs", "-a", str(listed), "/usr/bin/sha256sum"], check=True, stdout=subprocess.DEVNULL
        )
    )
    checked = fetch.verify(store, blobs, sample=None, stop=Event())
    _, ours_s = _clocked(lambda: list(checked))
    print(f"  attachments verify {len(keys) * size / 1e6 / ours_s:,.0f} MB/s; / sha256sum {theirs_s / ours_s:.2f}")


def _clocked(act: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor time, and of a clock on the wall."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    act()
    return time.process_time() - cpu_s, time.perf_counter() - wall_s


def _starts(folder: Path) -> None:
    """Processor time of whole commands on a small archive: most of it is what they load."""
    with _demo(folder / "demo") as config:
        for words in (["status"], ["search", "hello"], ["coverage"], ["--version"]):
            spent = []
            for _ in range(_ROUND_OF_START):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(
                    [sys.executable, "-m", "archiver", "--config", config, *words],
                    check=False,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            print(f"start of archiver {' '.join(words):14} {median(spent):.2f} s of processor time", flush=True)


@contextmanager
def _demo(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "archiver", "demo", "--messages", "500", "--directory", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "LANG": "C.UTF-8"})
    yield str(folder / "config.toml")


if __name__ == "__main__":
    main()
