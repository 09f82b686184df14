"""Events about an erased message do not return, from whatever spool they come."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.model import Event
from archiver.store import events, pages, removing, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.events import Arrival
from archiver.store.schema import messages, tombstones
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.store import ORIGIN, claimed, page_of, record


def arrival(number: int, *, msg_id: str | None = None, target: str | None = None) -> Arrival:
    event = Event(kind="edit", signed="unsigned", msg_id=msg_id, target_msg_id=target)
    return Arrival(event, ORIGIN, b"bytes", bytes([number]) * 32)


def test_events_about_an_erased_message_are_dropped(store: Store, key: SourceKey, database: Database) -> None:
    claim = claimed(store, key)
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page_of(record("1"), record("2"))], ORIGIN)
    with store.write(lock="exclusive") as tx:
        request = approved(tx, "erase", {}, items=["1"])
        stone = {"kind": "erased", "app_id": 1, "msg_id": "1", "page_id": 1, "position": 0, "leaf": b"x", "at": ORIGIN}
        counted = {"messages": 1, "bodies": 1, "revisions": 0, "request_id": request}
        tx.conn.execute(tombstones.insert().inline().values(stone | counted))
        removing.content(tx, 1, ["1"])
        blank = dict.fromkeys(("sender", "recipient", "conversation", "ext"))
        husk = messages.update().where(messages.c.msg_id == "1")
        tx.conn.execute(husk.values(**blank, raw=b"", digest=b"r" * 32, withheld=2))
    came = [arrival(1, msg_id="1"), arrival(2, target="1"), arrival(3, target="2"), arrival(4)]
    with store.write(lock="shared") as tx:
        stored = events.store(tx, 1, came)
    assert (sum(stored.counts.values()), stored.erased, stored.known) == (2, 2, 0)
    with store.read() as tx:
        assert tx.conn.scalar(sa.text("SELECT count(*) FROM events WHERE target_msg_id = '1' OR msg_id = '1'")) == 0
