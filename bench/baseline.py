"""What a baseline takes where there was no ledger, and what it leaves: `python -m bench.baseline --messages 1000000`.

The archive is filled without a server, by the real decoder and store, and then sealed by a process of its own. Peak
memory is that of the whole process above what it had before; verification follows, in a process of its own as well.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import islice
from pathlib import Path

from archiver.model import Page
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import split_envelope
from archiver.store import apps, messages
from archiver.store.admin import migrate
from archiver.store.appending import Provenance
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx, open_store
from archiver.store.messages import Batch
from archiver.store.schema import pages, watermarks, windows
from bench.ground import Ground, Run, Served
from bench.records import SPAN_MS, make
from tests.postgres import own_server

START_MS = 1_790_035_200_000  # 2026-09-22T00:00:00Z
PAGE = 1_000


def build(url: str, count: int) -> None:
    """An archive as it is without [evidence]: messages, their pages, and the window that they lie in."""
    store = open_store(url)
    migrate.upgrade(store)
    with store.write() as tx:
        key = apps.register(tx, "bench#app", "cursor", START_MS, settle_ms=120_000, retention_ms=None)
        _add_window(tx, key)
    records = (record for _, record in make(count, START_MS))
    while some := list(islice(records, PAGE)):
        _, slices = split_envelope(b'{"entities":[' + b",".join(some) + b"]}", "entities")
        page = make_page(slices or [], START_MS + SPAN_MS)
        with store.write() as tx:
            (page_id,) = tx.new_page_ids(1)
            messages.insert(tx, Provenance(key.app_id, START_MS + SPAN_MS), [Batch(page_id, page.messages)])
            _add_page(tx, key, page_id, page)
    store.dispose()


def _add_window(tx: Tx, key: SourceKey) -> None:
    place = {"lo_ms": START_MS, "hi_ms": START_MS + SPAN_MS, "lag_ms": 1, "fence": 1}
    values = {"id": 1, "pass": 1, "cause": "live", "state": "closed", "created_at": 0, "closed_at": 0, **place}
    tx.conn.execute(windows.insert().values(**key._asdict(), **values))
    tx.conn.execute(watermarks.update().values(complete_until_ms=START_MS + SPAN_MS))


def _add_page(tx: Tx, key: SourceKey, page_id: int, page: Page) -> None:
    times = {"fetched_at": START_MS + SPAN_MS, "server_ms": page.server_ms, "sha256": page.sha256}
    counts = {"received": len(page.messages), "new": len(page.messages)}
    tx.conn.execute(pages.insert().values(id=page_id, window_id=1, fence=1, **key._asdict(), **times, **counts))


def told(run: Run, count: int) -> str:
    cpu = f"{run['cpu_s']:.1f} s of CPU, the server's {run['server_cpu_s']:.1f}"
    above = (run["peak_kib"] - run["idle_kib"]) / 1024
    return f"{count:,} messages in {run['seconds']:.1f} s ({cpu}), {run['rate']:,.0f}/s, {above:.0f} MiB above idle"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="archiver-bench-") as folder, own_server(durable=True) as postgres:
        ground, nobody = Ground(Path(folder), postgres), Served("http://127.0.0.1:9", START_MS, given.messages)
        for kind in [given.only] if given.only else ["sqlite", "postgresql"]:
            with ground.database(kind, migrated=False) as url:
                build(url, given.messages)
                before = ground.size(url)
                for what, subject, ways in (
                    ("baseline", "baseline", {}),
                    ("verified, seals alone", "verify", {"no_ahead": True}),
                    ("verified, with columns", "verify", {}),
                ):
                    run = ground.run(subject, url, nobody, **ways)
                    print(f"{kind}: {what}, {told(run, given.messages)}", flush=True)
                    if subject == "baseline":
                        print(f"{kind}: {(ground.size(url) - before) / given.messages:.2f} bytes a message more")


if __name__ == "__main__":
    main()
