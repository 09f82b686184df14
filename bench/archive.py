"""An archive of any size without a server: seeded records through the real decoder and the real store."""

from __future__ import annotations

from archiver.model import DAY_MS
from archiver.sandbox.data import Seed, make_records
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import split_envelope
from archiver.store import apps, messages
from archiver.store.engine import Store
from archiver.store.messages import Origin

START_MS = 1_790_035_200_000  # 2026-09-22T00:00:00Z
_PAGE, _CHUNK = 1000, 20_000


def fill(store: Store, app: str, count: int, days: int) -> None:
    """Store so many messages of an app, spread over so many days. Only what was said: no windows, no pages."""
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
            with store.write() as tx:
                origin = Origin(key.app_id, tx.next_page_id(), high_ms)
                messages.insert(tx, origin, page.messages)
