"""What a run of deletion leaves to others: short transactions, and most of the time where somebody pulls."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from archiver.lifecycle.pace import HELD_S, LEFT_TO_OTHERS, DeletionPace
from archiver.store import expiring, floors, holds, pages, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.expiring import PagesOver, TermOver
from archiver.store.holds import HoldCriteria, HoldRow
from archiver.store.read.filters import Filter
from archiver.store.schema import hold_conversations, messages, quarantine
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.store import ORIGIN, claimed, page_of, record

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")


def paced(store: Store, held_s: list[float]) -> tuple[DeletionPace, list[float]]:
    """A pace whose transactions take so long by its clock, and what it waits."""
    waits: list[float] = []

    def clock() -> Iterator[float]:
        now = 0.0
        for seconds in held_s:
            yield now
            now += seconds
            yield now

    times = clock()
    return DeletionPace(store, 1_000, waits.append, lambda: next(times)), waits


def test_transactions_are_as_large_as_they_are_short(store: Store) -> None:
    pace, waits = paced(store, [2 * HELD_S, 2 * HELD_S, 100 * HELD_S, HELD_S / 100, HELD_S / 100])
    sizes = []
    for _ in range(5):
        with pace.transaction():
            pass
        sizes.append(pace.size)
    assert sizes == [500, 250, 50, 100, 200]
    assert waits == [], "nobody pulls"


def test_where_somebody_pulls_they_have_the_archive_most_of_the_time(store: Store, key: SourceKey) -> None:
    pace, waits = paced(store, [0.1, 0.1])
    claim = claimed(store, key)
    with pace.transaction():
        pass
    assert waits == [pytest.approx(LEFT_TO_OTHERS * 0.1)]
    with store.write() as tx:
        windows.close(windows.hold(tx, claim), by_order=False)
    with pace.transaction():
        pass
    assert len(waits) == 1


def test_a_transaction_takes_whole_pages_up_to_its_size() -> None:
    looked = PagesOver([(1, 30), (2, 30), (3, 200), (4, 10), (5, 10), (6, 90)], None)
    assert list(expiring.parts(looked, lambda: 100)) == [[1, 2], [3], [4, 5], [6]]
    assert list(expiring.parts(PagesOver([(one, 1) for one in range(70)], None), lambda: 100)) == [
        list(range(50)),
        list(range(50, 70)),
    ]
    assert list(expiring.parts(PagesOver([], 7), lambda: 100)) == []


def spoken(store: Store, key: SourceKey) -> int:
    """Ann writes in a group before a hold on her begins, others behind it; gives the request of a run over all."""
    claim = claimed(store, key)

    def said(number: int, sender: str, group: str) -> str:
        text = record(f"{number}", stamp=ORIGIN + number).replace('"from": "a"', f'"from": "{sender}"')
        return text.replace('"to": "b", "chat_type": "chat"', f'"to": "{group}", "chat_type": "groupchat"')

    with store.write(lock="exclusive") as tx:
        row = HoldRow(1, "x", "placed", "K", "y", "me")
        holds.place(tx, row, HoldCriteria(Filter(from_ms=ORIGIN + 100), participant="ann"))
    for rows in (
        [said(1, "ann", "g1"), said(101, "bob", "g1"), said(102, "bob", "g2")],
        [said(2, "ann", "g2"), said(103, "bob", "g3"), "{}"],
    ):
        with store.write(lock="shared") as tx:
            pages.insert(windows.hold(tx, claim), [page_of(*rows)], ORIGIN)
        with store.write(lock="exclusive") as tx:
            holds.note(tx)
    with store.write(lock="exclusive") as tx:
        request = approved(tx, "retention", {"app_id": 1, "floor_ms": ORIGIN + 1_000})
        floors.lower(tx, 1, ORIGIN + 1_000, request)
    return request


@pytest.mark.parametrize("requeued", [False, True])
def test_conversations_are_noted_by_what_is_new_and_nothing_is_missed(
    store: Store, key: SourceKey, database: Database, requeued: bool
) -> None:
    """Also of a record that leaves quarantine later, on a page that was looked at."""
    request = spoken(store, key)
    if requeued:
        with store.write(lock="shared") as tx:
            place = tx.conn.execute(sa.select(quarantine.c.page_id, quarantine.c.position)).one()
            row = {
                "app_id": 1,
                "msg_id": "3",
                "timestamp_ms": ORIGIN + 3,
                "sent_at": ORIGIN + 3,
                "sender": "ann",
                "conversation": "g3",
            }
            blank = {"raw": b"x", "digest": b"x", "lossy": False, "archived_at": tx.now_ms()}
            tx.conn.execute(messages.insert().values(row | blank | place._asdict()))
            tx.conn.execute(quarantine.update().values(resolved_at=tx.now_ms()))
    with store.write(lock="exclusive") as tx:
        went = expiring.expire(tx, TermOver(1, ORIGIN + 1_000), request, [1, 2])
        noted = set(tx.conn.scalars(sa.select(hold_conversations.c.conversation)))
    assert noted == {"g1", "g2", *(["g3"] if requeued else [])}
    left = {row[0] for row in database.rows("SELECT msg_id FROM messages")}
    assert left == ({"101", "102", "103"} if requeued else {"101", "102"})
    assert went == 3


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_who_places_a_hold_by_sql_waits_for_what_is_being_deleted(
    store: Store, key: SourceKey, database: Database
) -> None:
    """And so no hold is in force that a transaction, which asked before, does not know."""
    request = spoken(store, key)
    placing = (
        "INSERT INTO hold_events (hold_id, name, event, unreadable, is_list, reason, who, at)"
        " VALUES (2, 'all', 'placed', false, false, 'y', 'me', now())"
    )
    with psycopg.connect(database.url) as officer:
        officer.execute("SET lock_timeout = '200ms'")
        with store.write(lock="exclusive") as tx:
            expiring.expire(tx, TermOver(1, ORIGIN + 1_000), request, [1])
            with pytest.raises(psycopg.errors.LockNotAvailable):
                officer.execute(placing)
        officer.rollback()
        officer.execute(placing)
    with store.write(lock="exclusive") as tx:
        assert expiring.expire(tx, TermOver(1, ORIGIN + 1_000), request, [2]) == 0, "now everything is held"
