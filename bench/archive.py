"""An archive of any size without a server: seeded records through the real decoder, store and export."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Event

from archiver import coverage
from archiver.export import run
from archiver.export.request import Request
from archiver.model import DAY_MS
from archiver.sandbox.data import Seed, make_records
from archiver.sources import decode
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import split_envelope
from archiver.store import apps, messages
from archiver.store.appending import Provenance
from archiver.store.engine import Store
from archiver.store.messages import Batch
from archiver.store.read.filters import Filter

START_MS = 1_790_035_200_000  # 2026-09-22T00:00:00Z
_PAGE, _CHUNK = 1000, 20_000


def fill(
    store: Store,
    app: str,
    count: int,
    days: int,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Store so many messages of an app, spread over so many days. Only what was said: no windows, and no rows of pages,
    though messages have the number of one, a thousand the same. `around`: entered for every transaction of a page."""
    with store.write() as tx:
        key = apps.register(tx, app, "cursor", START_MS, settle_ms=120_000, retention_ms=None)
    span_ms = days * DAY_MS
    for begun in range(0, count, _CHUNK):
        some = min(_CHUNK, count - begun)
        low_ms, high_ms = (START_MS + span_ms * at // count for at in (begun, begun + some))
        rows = make_records(Seed(some, begun, low_ms, high_ms - low_ms), f"http://127.0.0.1/{app.replace('#', '/')}")
        for at in range(0, len(rows), _PAGE):
            answer = b'{"entities":[' + b",".join(row.raw for row in rows[at : at + _PAGE]) + b"]}"
            _, slices = split_envelope(answer, "entities")
            if slices is None:
                raise ValueError("a page of seeded records that cannot be read")
            page = make_page(slices, high_ms)
            with around(), store.write() as tx:
                batch = Batch((begun + at) // _PAGE + 1, page.messages)
                messages.insert(tx, Provenance(key.app_id, high_ms), [batch])


class Quiet:
    """Nobody watches."""

    def begun(self, messages: int) -> None:
        pass

    def wrote(self, messages: int) -> None:
        pass


def export_all(store: Store, form: str, output: Path, wanted: Filter | None = None) -> run.ExportOutcome:
    """Export without a command around it."""
    request = Request(form, output, wanted or Filter(), "bench")
    ways = {"claims": coverage.claims, "decode": decode, "blobs": None, "stop": Event(), "watcher": Quiet()}
    return run.Export(store, request, **ways).run()  # type: ignore[arg-type]
