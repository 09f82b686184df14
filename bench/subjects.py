"""What is measured: each in a process of its own, which prints what one run of it took as one line of JSON.

`archiver` is the product. `copy` is the bound: rows parsed beforehand, by plain COPY (on SQLite: executemany) into the
same tables, a transaction a page. `merge` takes the same rows through a staging table and ON CONFLICT. `reference` is
what a competent user would write with requests, json and SQLAlchemy Core in an afternoon (bench/reference.py).
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any
from urllib.request import urlopen

import sqlalchemy as sa

from archiver import cli, connect, status
from archiver.cli import table
from archiver.config import App, load
from archiver.evidence import beginning, sinks
from archiver.evidence.baseline import BaselineRun
from archiver.evidence.verify import whole
from archiver.evidence.verify.run import VerifyOptions
from archiver.model import Message, Tally, Window
from archiver.pull import commands
from archiver.pull.run import PullOptions
from archiver.sources import decode
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import split_envelope
from archiver.store.bulk import Encoders
from archiver.store.engine import Tx, open_store
from archiver.store.schema import message_bodies, messages
from bench import reference

PAGE = 1000


class Clock:
    """What a run costs, from `begin` to `end`."""

    def begin(self) -> None:
        self.idle_kib = _memory_kib("VmRSS")
        self.cpu_s, self.seconds = _cpu_s(), time.perf_counter()

    def end(self) -> dict[str, float]:
        return {
            "seconds": time.perf_counter() - self.seconds,
            "cpu_s": _cpu_s() - self.cpu_s,
            "idle_kib": self.idle_kib,
            "peak_kib": _memory_kib("VmHWM"),
        }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory_kib(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0])


def _begin(command: str) -> None:
    """As the command begins."""
    cli.prepare_process()
    table.load(f"archiver.cli.{command}")


def run_archiver(told: argparse.Namespace) -> dict[str, Any]:
    """One pull over all that there is, as `archiver pull` does it."""
    _begin("pull")
    settings = load(Path(told.config), {})
    stored = _Tenths(told.messages)
    clock = Clock()
    with connect.opened(settings) as store:
        clock.begin()
        options = PullOptions(ahead=not told.no_ahead)
        code = commands.pull_each(settings, store, None, options, stop=Event(), watcher=stored.watch)
        found = clock.end()
    if code != 0:
        raise SystemExit(f"the pull ended with {code}")
    return {**found, "tenths": stored.seconds, "received": stored.received}


def run_sealed(told: argparse.Namespace) -> dict[str, Any]:
    """As `archiver`, with a ledger: all that is stored is sealed, and at the end sequenced and signed."""
    _begin("pull")
    settings = load(Path(told.config), {})
    store = open_store(settings.database.sqlalchemy_url)
    beginning.init(store, settings, "bench", "bench")
    store.dispose()
    clock = Clock()
    with connect.opened(settings, writes=True) as store:
        clock.begin()
        code = commands.pull_each(settings, store, None, PullOptions(), stop=Event())
        published = sinks.publisher(store, settings)(within_s=60)
        found = clock.end()
    if code != 0 or not published.whole:
        raise SystemExit(f"the pull ended with {code}, the ledger with {published.problem}")
    return found


def run_verify(told: argparse.Namespace) -> dict[str, Any]:
    """A verification of all that is there; `no_ahead` stands for seals alone."""
    _begin("evidence")
    settings = load(Path(told.config), {})
    assert settings.evidence is not None
    clock = Clock()
    with connect.opened(settings) as store:
        clock.begin()
        options = VerifyOptions(settings.evidence.name, columns=not told.no_ahead)
        findings = whole.verify(store, settings, options, decode, stop=Event())
        found = clock.end()
    if findings.count:
        raise SystemExit(f"{findings.differences[:3]}")
    return found


def run_baseline(told: argparse.Namespace) -> dict[str, Any]:
    """A ledger, and the seals of all that was stored before it."""
    _begin("evidence")
    settings = load(Path(told.config), {})
    store = open_store(settings.database.sqlalchemy_url)
    beginning.init(store, settings, "bench", "bench")
    store.dispose()
    section, clock = beginning.section(settings), Clock()
    with connect.opened(settings, writes=True) as store:
        clock.begin()
        publisher = sinks.publisher(store, settings)
        done = BaselineRun(store, section, publisher.signer, decode, stop=Event())(publisher, "bench")
        found = clock.end()
    if done.pages == 0 or done.differing:
        raise SystemExit(f"{done.pages} pages were sealed, {done.differing} differ")
    return found


def run_audit(told: argparse.Namespace) -> dict[str, Any]:
    """Another look at all that was archived: every message is known already."""
    _begin("pull")
    settings = load(Path(told.config), {})
    clock = Clock()
    with connect.opened(settings) as store:
        entry = status.report(store, [], every_ms=0)[0]
        clock.begin()
        closed = Window(entry.complete_from_ms, entry.complete_until_ms)
        code = commands.audit_each(settings, store, None, closed, stop=Event())
        found = clock.end()
    if code != 0:
        raise SystemExit(f"the audit ended with {code}")
    return found


def run_status(told: argparse.Namespace) -> dict[str, Any]:
    """How long `status` asks the database, once the process is there; the median of eleven."""
    with connect.opened(load(Path(told.config), {})) as store:
        took = []
        for _ in range(11):
            began = time.perf_counter()
            status.report(store, [], every_ms=0)
            took.append(time.perf_counter() - began)
    return {"seconds": median(took)}


class _Tenths:
    """When each tenth of the messages was stored."""

    def __init__(self, messages: int) -> None:
        self.step, self.received, self.seconds, self._since = messages // 10, 0, list[float](), 0.0

    def watch(self, _: App) -> _Tenths:
        return self

    def begun(self, complete_until_ms: int, due_ms: int) -> None:
        self._since = time.perf_counter()

    def stored(self, tally: Tally) -> None:
        self.received += tally.received
        while self.received >= self.step * (len(self.seconds) + 1) and len(self.seconds) < 10:
            now = time.perf_counter()
            self.seconds.append(now - self._since)
            self._since = now

    def moved(self, complete_until_ms: int) -> None:
        pass

    def walking(self, phase: object) -> None:
        pass


def run_copy(told: argparse.Namespace) -> dict[str, Any]:
    return _bound(told, lambda tx, table, names, rows: tx.append(table, names, rows))


def run_merge(told: argparse.Namespace) -> dict[str, Any]:
    return _bound(told, _merge)


def _bound(told: argparse.Namespace, save: Callable[[Tx, sa.Table, list[str], list[Any]], None]) -> dict[str, Any]:
    store = open_store(told.database)
    with store.read() as tx:
        given = tx.given
    batches = [(_message_rows(page, given), _body_rows(page, given)) for page in _fetch_pages(told)]
    with store.write() as tx:
        if not tx.conn.scalar(sa.text("SELECT count(*) FROM apps")):
            tx.conn.execute(sa.text("INSERT INTO apps (id, name, created_at) VALUES (1, 'a#b', '2026-11-23 00:00Z')"))
    clock = Clock()
    clock.begin()
    for rows, bodies in batches:
        with store.write() as tx:
            save(tx, messages, list(messages.columns.keys()), rows)
            save(tx, message_bodies, list(message_bodies.columns.keys()), bodies)
    return clock.end()


def _merge(tx: Tx, table: sa.Table, names: list[str], rows: list[Any]) -> None:
    staging = _staging(table)
    columns = ", ".join(f'"{name}"' for name in names)
    tx.conn.execute(
        sa.text(f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging.name} (LIKE {table.name}) ON COMMIT DELETE ROWS")
    )
    tx.append(staging, names, rows)
    keys = ", ".join(column.name for column in table.primary_key)
    tx.conn.execute(
        sa.text(
            f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {staging.name} ORDER BY {keys} "
            f"ON CONFLICT DO NOTHING RETURNING msg_id"
        )
    ).all()


@cache
def _staging(table: sa.Table) -> sa.Table:
    return sa.Table(f"staging_{table.name}", sa.MetaData(), *(sa.Column(c.name, c.type) for c in table.columns))


def _message_rows(page: list[Message], given: Encoders) -> list[tuple[Any, ...]]:
    ext = [None if m.ext is None else given.json(m.ext) for m in page]
    sent_at = [given.instant(m.timestamp_ms) for m in page]
    return [
        (1, *m[:2], at, *m[2:7], told, m.raw, m.digest, m.lossy, 1, m.position, at)
        for m, told, at in zip(page, ext, sent_at, strict=True)
    ]


def _body_rows(page: list[Message], given: Encoders) -> list[tuple[Any, ...]]:
    return [
        (1, m.msg_id, at, *body[:-1], None if body.extra is None else given.json(body.extra))
        for m in page
        for at, body in enumerate(m.bodies)
    ]


def _fetch_pages(told: argparse.Namespace) -> Iterator[list[Message]]:
    cursor: str | None = ""
    while cursor is not None:
        query = f"ql=select+*+where+timestamp+%3E+0&limit={PAGE}" + (f"&cursor={cursor}" if cursor else "")
        with urlopen(f"{told.server}/chatmessages?{query}") as answer:  # noqa: S310 - our own server
            envelope, slices = split_envelope(answer.read(), "entities")
        yield sorted(make_page(slices or [], 0).messages, key=lambda message: message.msg_id)
        cursor = envelope.get("cursor")


def run_reference(told: argparse.Namespace) -> dict[str, Any]:
    clock = Clock()
    engine = reference.prepare(told.database)
    clock.begin()
    reference.pull(engine, told.server)
    return clock.end()


_RUNS = {
    "archiver": run_archiver,
    "audit": run_audit,
    "baseline": run_baseline,
    "copy": run_copy,
    "merge": run_merge,
    "reference": run_reference,
    "sealed": run_sealed,
    "status": run_status,
    "verify": run_verify,
}


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=_RUNS)
    for option in ("--config", "--database", "--server"):
        parser.add_argument(option, default="")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--no-ahead", action="store_true")
    told = parser.parse_args()
    with _quiet():
        found = _RUNS[told.name](told)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
