"""What the database itself lets go of: nothing that a page brought, unless two persons agreed and no hold keeps it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archiver.model import DAY_MS
from archiver.review import requeue
from archiver.store import expiring, holds, installation, pages, removing, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.holds import HoldCriteria, HoldRow
from archiver.store.read.filters import Filter
from archiver.store.schema import events, expired_before, messages, tombstones
from archiver.store.schema import pages as page_rows
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.store import ORIGIN, claimed, page_of, record

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

Statement = Callable[[Tx], Any]
BLANK = {"raw": b"", "digest": b"x" * 32, "sender": None, "recipient": None, "conversation": None, "ext": None}


@contextmanager
def undone(store: Store) -> Iterator[Tx]:
    """A transaction that the database takes, and that is rolled back."""
    with store.engine.connect() as conn:
        alone = conn.execution_options(archiver_begin="IMMEDIATE", archiver_lock="exclusive")
        with alone.begin() as transaction:
            yield Tx(conn, None)
            transaction.rollback()


@contextmanager
def refused(store: Store, because: str) -> Iterator[Tx]:
    """A transaction that the database does not take, and what it says of it."""
    with pytest.raises(DBAPIError) as error, undone(store) as tx:
        yield tx
    assert re.search(because, str(error.value.orig)), error.value.orig


@pytest.fixture
def stored(store: Store, key: SourceKey) -> Store:
    """Page 1 with three messages, one of them with a body of a file; page 2 has a revision of the first."""
    claim = claimed(store, key)
    image = {"type": "img", "url": "https://h/a", "file_length": 5}
    for arrived in (
        page_of(record("1"), record("2", bodies=[image]), record("3", stamp=ORIGIN + 9)),
        page_of(record("1", "edited")),
    ):
        with store.write() as tx:
            pages.insert(windows.hold(tx, claim), [arrived], ORIGIN)
    with store.write() as tx:  # what holds know is noted there; without it, everything is read each time
        installation.begin(tx, deletion=True)
    return store


def stone(request: int, **more: Any) -> dict[str, Any]:
    common = {
        "kind": "expired",
        "app_id": 1,
        "messages": 1,
        "bodies": 1,
        "revisions": 0,
        "request_id": request,
        "at": ORIGIN,
    }
    return common | {"msg_id": None, "page_id": 1, "position": None, "leaf": None} | more


def expiry(tx: Tx, floor_ms: int = ORIGIN + 9, *said: str) -> int:
    return approved(tx, "retention", {"app_id": 1, "floor_ms": floor_ms}, *said)


def lower(tx: Tx, request: int, floor_ms: int = ORIGIN + 9, app_id: int = 1) -> None:
    row = {"app_id": app_id, "ms": floor_ms, "request_id": request, "at": ORIGIN}
    tx.conn.execute(expired_before.insert().inline().values(row))


def bury(tx: Tx, *rows: dict[str, Any]) -> None:
    tx.conn.execute(tombstones.insert().inline(), list(rows))


def place_hold(store: Store, covered: HoldCriteria) -> None:
    with store.write(lock="exclusive") as tx:
        holds.place(tx, HoldRow(holds.next_id(tx), "case", "placed", "K7", "a letter", "me"), covered)


KEPT = ("messages", "message_bodies", "message_revisions", "revision_bodies")


@pytest.mark.parametrize("table", KEPT)
def test_what_a_page_brought_is_neither_changed_nor_deleted(stored: Store, database: Database, table: str) -> None:
    for statement in (f"UPDATE {table} SET app_id = app_id", f"DELETE FROM {table}"):
        with pytest.raises(Exception, match="is append-only: no tombstone allows this"):
            database.run(statement)
    for change in ("raw = '', withheld = 2", "withheld = 2", "withheld = 7", "sender = 'x'", "timestamp_ms = 1"):
        with pytest.raises(Exception, match="is append-only"):
            database.run(f"UPDATE messages SET {change}")
    if database.kind == "postgresql":
        with pytest.raises(Exception, match="is append-only"):
            database.run(f"TRUNCATE {table} CASCADE")


def test_of_a_page_nothing_changes_but_its_hash_which_may_be_emptied(stored: Store, database: Database) -> None:
    for change in ("sha256 = 'ff'", "received = received + 0", "sha256 = '', known = 5, received = 8"):
        with pytest.raises(Exception, match="but for its hash"):
            database.run(f"UPDATE pages SET {change} WHERE id = 1")
    database.run("UPDATE pages SET sha256 = '' WHERE id = 1")
    assert database.value("SELECT sha256 FROM pages WHERE id = 1") == ""


def test_a_message_expires_with_tombstones_below_the_floor_alone(stored: Store, database: Database) -> None:
    def everything(request: int) -> list[dict[str, Any]]:
        return [stone(request), stone(request, page_id=2, messages=0, bodies=0, revisions=1)]

    with refused(stored, "append-only") as tx:
        lower(tx, expiry(tx))
        removing.rows(tx, 1, ["1"])
    with refused(stored, "append-only") as tx:  # no floor
        bury(tx, *everything(expiry(tx)))
        removing.rows(tx, 1, ["1"])
    with refused(stored, "append-only") as tx:  # not of the revision's page
        lower(tx, request := expiry(tx))
        bury(tx, everything(request)[0])
        removing.rows(tx, 1, ["1"])
    with refused(stored, "append-only") as tx:  # stamped behind the floor
        lower(tx, request := expiry(tx))
        bury(tx, *everything(request))
        removing.rows(tx, 1, ["1", "2", "3"])
    with refused(stored, "append-only") as tx:  # another place
        lower(tx, request := expiry(tx))
        bury(tx, stone(request, position=1, leaf=b"x"), everything(request)[1])
        removing.rows(tx, 1, ["1"])
    with stored.write(lock="exclusive") as tx:
        lower(tx, request := expiry(tx))
        bury(tx, *(stone(request, position=at, leaf=b"x") for at in (0, 1)), everything(request)[1])
        removing.rows(tx, 1, ["1", "2"])
    for table in ("messages", "message_bodies"):
        assert database.rows(f"SELECT msg_id FROM {table}") == [("3",)]
    assert not any(database.value(f"SELECT count(*) FROM {table}") for table in (*KEPT[2:], "attachments"))


def test_a_stamp_that_nobody_can_mean_counts_from_when_it_was_archived(store: Store, key: SourceKey) -> None:
    with store.write() as tx:
        at = tx.now_ms()
    claim, stamps = claimed(store, key), (5, at - 2 * DAY_MS, at + 2 * DAY_MS)
    with store.write() as tx:
        arrived = page_of(*(record(str(number), stamp=stamp) for number, stamp in enumerate(stamps)))
        pages.insert(windows.hold(tx, claim), [arrived], ORIGIN)
    for floor_ms, goes in ((at - DAY_MS, [1]), (at + DAY_MS, [0, 1, 2])):
        for number in range(3):
            if number in goes:
                with undone(store) as tx:
                    _expire(tx, floor_ms, str(number))
            else:
                with refused(store, "append-only") as tx:
                    _expire(tx, floor_ms, str(number))


def _expire(tx: Tx, floor_ms: int, msg_id: str) -> None:
    lower(tx, request := expiry(tx, floor_ms), floor_ms)
    bury(tx, stone(request))
    removing.rows(tx, 1, [msg_id])


@pytest.mark.parametrize("said", [(), ("refused",), ("approved", "withdrawn")], ids=str)
def test_without_approval_there_is_neither_tombstone_nor_floor(stored: Store, said: tuple[str, ...]) -> None:
    asked = said or ("refused",)
    with refused(stored, "no approved request of kind retention") as tx:
        lower(tx, expiry(tx, ORIGIN + 9, *asked))
    with refused(stored, "no approved request of kind retention") as tx:
        bury(tx, stone(expiry(tx, ORIGIN + 9, *asked)))
    with refused(stored, "no approved request of kind erase") as tx:
        request = approved(tx, "erase", {}, *asked, items=["1"])
        bury(tx, stone(request, kind="erased", msg_id="1", position=0, leaf=b"x"))
    with refused(stored, "no approved request of kind erase") as tx:  # of another kind
        bury(tx, stone(expiry(tx), kind="erased", msg_id="1", position=0, leaf=b"x"))
    with refused(stored, "no approved request of kind erase") as tx:
        approved(tx, "erase", {}, *asked, items=["1"])
        tx.conn.execute(messages.update().where(messages.c.msg_id == "1").values(withheld=1))


def test_a_request_is_about_its_app_its_floor_and_its_messages(stored: Store) -> None:
    for floor_ms, app_id in ((ORIGIN + 10, 1), (ORIGIN + 8, 1), (ORIGIN + 9, 2)):
        with refused(stored, "about another app or another floor") as tx:
            tx.conn.execute(sa.text("INSERT INTO apps (id, name, created_at) VALUES (2, 'o#b', '2026-01-01Z')"))
            lower(tx, expiry(tx), floor_ms, app_id)
    with refused(stored, "about another app") as tx:
        tx.conn.execute(sa.text("INSERT INTO apps (id, name, created_at) VALUES (2, 'o#b', '2026-01-01Z')"))
        bury(tx, stone(expiry(tx), app_id=2))
    with refused(stored, "about other messages") as tx:
        request = approved(tx, "erase", {}, items=["1"])
        bury(tx, stone(request, kind="erased", msg_id="2", position=0, leaf=b"x"))


@pytest.mark.parametrize(
    "covered",
    [
        HoldCriteria(),
        HoldCriteria(Filter(sender="A")),
        HoldCriteria(Filter(from_ms=ORIGIN, to_ms=ORIGIN + 6)),
        HoldCriteria(participant="B"),
        HoldCriteria(Filter("o#a"), ids=("1",)),
    ],
    ids=("all", "sender", "range", "participant", "list"),
)
def test_what_a_hold_keeps_gets_no_tombstone_and_stays_in_spite_of_one(stored: Store, covered: HoldCriteria) -> None:
    with stored.write(lock="exclusive") as tx:
        request = expiry(tx)
        lower(tx, request)
        bury(tx, stone(request))
        erasure = approved(tx, "erase", {}, items=["1"])
        bury(tx, stone(erasure, kind="erased", msg_id="1", position=0, leaf=b"x"))
    place_hold(stored, covered)
    keeps = "a legal hold keeps this message"
    with refused(stored, keeps) as tx:
        bury(tx, stone(request, position=0, leaf=b"x"))
    with refused(stored, keeps) as tx:
        bury(tx, stone(request, page_id=2))
    with refused(stored, keeps) as tx:
        bury(tx, stone(erasure, kind="erased", msg_id="1", position=0, leaf=b"x"))
    with refused(stored, keeps) as tx:
        removing.content(tx, 1, ["1"])
    with refused(stored, keeps) as tx:
        tx.conn.execute(messages.update().where(messages.c.msg_id == "1").values(**BLANK, withheld=2))
    with refused(stored, "append-only|keeps") as tx:
        removing.rows(tx, 1, ["1"])


def test_conversations_of_participants_are_noted_before_their_messages_go(store: Store, key: SourceKey) -> None:
    """A hold from a later day on: what made the conversation the person's is older, and may go."""
    texts = [
        text.replace('"to": "b", "chat_type": "chat"', '"to": "g1", "chat_type": "groupchat"')
        for text in (record("1"), record("2", stamp=ORIGIN + 900))
    ]
    claim = claimed(store, key)
    place_hold(store, HoldCriteria(Filter(from_ms=ORIGIN + 100), participant="a"))
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page_of(texts[0])], ORIGIN)
    other = texts[1].replace('"from": "a"', '"from": "c"')
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page_of(other)], ORIGIN)
    with store.write(lock="exclusive") as tx:
        request = expiry(tx, ORIGIN + 1000)
        lower(tx, request, ORIGIN + 1000)
        bury(tx, stone(request))
        removing.rows(tx, 1, ["1"])
    with refused(store, "a legal hold keeps this message") as tx:
        bury(tx, stone(request, page_id=2))


def test_an_erased_message_leaves_a_husk_and_no_other_change(stored: Store, database: Database) -> None:
    with stored.write(lock="exclusive") as tx:
        request = approved(tx, "erase", {}, items=["1"])
        tx.conn.execute(messages.update().where(messages.c.msg_id == "1").values(withheld=1))
    with refused(stored, "append-only") as tx:
        tx.conn.execute(messages.update().where(messages.c.msg_id == "1").values(withheld=None))
    this = messages.c.msg_id == "1"
    for wrong in (BLANK | {"raw": b"x"}, BLANK | {"sender": "x"}, BLANK | {"digest": b""}, BLANK | {"position": 8}):
        with refused(stored, "append-only") as tx:
            bury(tx, stone(request, kind="erased", msg_id="1", position=0, leaf=b"x"))
            tx.conn.execute(messages.update().where(this).values(**wrong, withheld=2))
    with stored.write(lock="exclusive") as tx:
        bury(tx, stone(request, kind="erased", msg_id="1", position=0, leaf=b"x"))
        removing.content(tx, 1, ["1"])
        tx.conn.execute(messages.update().where(this).values(**BLANK, withheld=2))
    with refused(stored, "append-only") as tx:
        tx.conn.execute(messages.update().where(this).values(sender="somebody"))
    with refused(stored, "append-only") as tx:
        tx.conn.execute(messages.delete().where(this))
    assert database.rows("SELECT msg_id, withheld, sender FROM messages ORDER BY 1") == [
        ("1", 2, None), ("2", None, "a"), ("3", None, "a"),
    ]  # fmt: skip
    assert database.value("SELECT count(*) FROM message_bodies") == 2
    assert database.value("SELECT count(*) FROM message_revisions") == 0


def test_events_go_with_the_message_that_they_report_of(stored: Store) -> None:
    common = {"app_id": 1, "kind": "recall", "signed": "signed", "raw": b"x", "received_at": ORIGIN, "at_ms": ORIGIN}
    with stored.write() as tx:
        rows = [common | {"target_msg_id": name, "digest": name.encode()} for name in ("1", "3", "elsewhere")]
        tx.conn.execute(events.insert().inline(), rows)

    def goes(tx: Tx, name: str) -> None:
        tx.conn.execute(events.delete().where(events.c.target_msg_id == name))

    for name in ("1", "3", "elsewhere"):
        with refused(stored, "events stays") as tx:
            goes(tx, name)
    with stored.write(lock="exclusive") as tx:
        request = expiry(tx)
        lower(tx, request)
        bury(tx, stone(request))
    with stored.write(lock="exclusive") as tx:
        goes(tx, "1")
        goes(tx, "elsewhere")
    with refused(stored, "events stays") as tx:
        goes(tx, "3")


def test_a_requeued_record_that_the_database_refuses_leaves_what_is_there(
    store: Store, key: SourceKey, database: Database
) -> None:
    """Its page is stored already, so nothing of it can be deleted again: it is undone otherwise."""
    claim = claimed(store, key)
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page_of('{"msg_id": "1"}', record("2"))], ORIGIN)
    readable = page_of(record("1")).messages[0]
    refused_record = readable._replace(bodies=(readable.bodies[0]._replace(file_length=2**70),))
    assert requeue(store, lambda _raw, _position: refused_record).resolved == 0
    assert database.rows("SELECT msg_id FROM messages") == [("2",)]
    assert database.value("SELECT reason FROM quarantine") == "the database refused it"
    assert requeue(store, lambda raw, _position: readable._replace(raw=raw)).resolved == 1
    assert database.rows("SELECT msg_id FROM messages ORDER BY 1") == [("1",), ("2",)]
    with store.read() as tx:
        assert tx.conn.scalar(sa.select(sa.func.count()).select_from(page_rows)) == 1


def test_conversations_that_a_hold_knows_are_no_obstacle(stored: Store, database: Database) -> None:
    """They were noted when it was placed; what goes lies before its range."""
    place_hold(stored, HoldCriteria(Filter(from_ms=ORIGIN + 100_000), participant="a"))
    assert database.value("SELECT count(*) FROM hold_conversations") == 1
    with stored.write(lock="exclusive") as tx:
        lower(tx, request := expiry(tx))
    with stored.write(lock="exclusive") as tx:
        expiring.expire(tx, expiring.TermOver(1, ORIGIN + 9), request, [1, 2])
    assert database.rows("SELECT msg_id FROM messages") == [("3",)]
    assert database.value("SELECT count(*) FROM hold_conversations") == 1
