"""A store of each kind, and rows to put into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from archiver.model import Page, Window
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import split_envelope
from archiver.store import apps, planning, windows
from archiver.store import owner as leases
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, open_store
from archiver.store.planning import LIVE
from archiver.store.windows import Claim, ClaimOptions, Target
from tests.conftest import Database

ORIGIN = 1_790_000_000_000
FIRST = Window(ORIGIN, ORIGIN + 1000)


def open_database(database: Database) -> Store:
    return open_store(database.url.replace("postgresql://", "postgresql+psycopg://"))


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    found = open_database(database)
    yield found
    found.dispose()


@pytest.fixture
def key(store: Store) -> SourceKey:
    with store.write() as tx:
        return apps.register(tx, "o#a", "cursor", ORIGIN, settle_ms=120_000, retention_ms=None)


def claimed(store: Store, key: SourceKey, window: Window = FIRST, owner: str = "") -> Claim:
    """A window of pass 1, planned and claimed."""
    with store.write() as tx:
        planning.plan(tx, key, 1, LIVE, 0, [window])
        found = windows.claim(tx, key, Target(1, LIVE, window.hi_ms), ClaimOptions(owner or leases.me(), 60_000))
    assert found is not None
    return found


def page_of(*texts: str) -> Page:
    """A page of these records, as the provider would send them."""
    _, slices = split_envelope(('{"entities":[' + ",".join(texts) + "]}").encode(), "entities")
    assert slices is not None
    return make_page(slices, ORIGIN + 10_000_000)


def record(msg_id: str, text: str = "hello", stamp: int = ORIGIN + 5, **more: Any) -> str:
    body = {"type": "txt", "msg": text}
    payload = {"bodies": [body], **more}
    whole = {"msg_id": msg_id, "timestamp": stamp, "from": "a", "to": "b", "chat_type": "chat", "payload": payload}
    return json.dumps(whole, ensure_ascii=False)
