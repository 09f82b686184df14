"""A page's way into the tables: four fates, one transaction, and neighbours that do not hurt each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from archiver.errors import DatabaseUnavailable, LeaseLost
from archiver.model import Message, Window
from archiver.store import pages, planning, windows
from archiver.store.appending import Provenance
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.messages import Batch, InsertResult, insert
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed, open_database, page_of, record


def test_each_record_has_one_of_four_fates(store: Store, key: SourceKey, database: Database) -> None:
    claim = claimed(store, key)
    with store.write() as tx:
        first = pages.insert(windows.hold(tx, claim), [page_of(record("1"), record("2"), '{"msg_id": "3"}')], ORIGIN)[0]
    assert (first.new, first.known, first.changed, first.quarantined) == (2, 0, 0, 1)
    with store.write() as tx:
        second = pages.insert(
            windows.hold(tx, claim), [page_of(record("1"), record("2", "edited"), '{"msg_id": "3"}')], ORIGIN
        )[0]
    assert (second.new, second.known, second.changed, second.quarantined) == (0, 1, 1, 1)
    with store.write() as tx:
        third = pages.insert(windows.hold(tx, claim), [page_of(record("2", "edited"), record("2"))], ORIGIN)[0]
    assert (third.known, third.changed) == (2, 0), "a content that was seen before is known"
    assert database.rows("SELECT seen FROM quarantine") == [(2,)]
    assert database.rows("SELECT revision FROM message_revisions") == [(1,)]
    sums = database.rows("SELECT received, new + known + changed + quarantined FROM pages")
    assert all(received == total for received, total in sums)


def test_an_id_twice_in_one_page_is_stored_once(store: Store, key: SourceKey, database: Database) -> None:
    claim = claimed(store, key)
    with store.write() as tx:
        tally = pages.insert(
            windows.hold(tx, claim), [page_of(record("1"), record("1"), record("1", "other"))], ORIGIN
        )[0]
    assert (tally.new, tally.known, tally.changed) == (1, 1, 1)
    assert database.value("SELECT text FROM message_bodies") == "hello"


def test_the_key_order_of_a_record_makes_no_revision(store: Store, key: SourceKey) -> None:
    claim = claimed(store, key)
    one = (
        '{"msg_id":"1","timestamp":5,"from":"a","to":"b","chat_type":"chat",'
        '"payload":{"bodies":[{"type":"txt","msg":"x"}]}}'
    )
    two = (
        '{"payload":{"to":"b","from":"a","ext":{},"bodies":[{"msg":"x","type":"txt"}]},"direction":"outgoing","uuid":"u",'
        '"chat_type":"chat","to":"JID","from":"JID","timestamp":"5","msg_id":1}'
    )
    with store.write() as tx:
        tally = pages.insert(windows.hold(tx, claim), [page_of(one, two)], ORIGIN)[0]
    assert (tally.new, tally.known, tally.changed) == (1, 1, 0)


IMAGE = {"type": "img", "url": "https://h/a", "file_length": 5}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda message: message._replace(timestamp_ms=2**70),
        lambda message: message._replace(bodies=(message.bodies[0]._replace(width=2**70),)),
        lambda message: message._replace(bodies=(message.bodies[0]._replace(file_length=2**70),)),
    ],
)
def test_what_the_database_refuses_is_found_among_its_neighbours(
    store: Store, key: SourceKey, database: Database, spoil: Callable[[Message], Message]
) -> None:
    good = page_of(*(record(f"{at:03}", bodies=[IMAGE]) for at in range(450)))
    odd = good.messages[317]
    bad = spoil(odd)
    messages = (*good.messages[:317], bad, *good.messages[318:])
    with store.write() as tx:
        tally = pages.insert(windows.hold(tx, claimed_in(tx, key)), [replace(good, messages=messages)], ORIGIN)[0]
    assert (tally.new, tally.quarantined) == (449, 1)
    ((reason, raw),) = database.rows("SELECT reason, raw FROM quarantine")
    assert reason == "the database refused it"
    assert bytes(raw) == bad.raw
    kept = sorted(message.msg_id for message in good.messages if message is not odd)
    for table in ("messages", "message_bodies", "attachments"):
        assert [row[0] for row in database.rows(f"SELECT msg_id FROM {table} ORDER BY msg_id")] == kept


def test_a_revision_comes_with_its_bodies_and_a_refused_one_hurts_no_other(
    store: Store, key: SourceKey, database: Database
) -> None:
    claim = claimed(store, key)
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page_of(*(record(f"{at:03}") for at in range(20)))], ORIGIN)
    edited = page_of(*(record(f"{at:03}", f"edited {at}") for at in range(20)))
    odd = edited.messages[7]
    bad = odd._replace(bodies=(odd.bodies[0]._replace(file_length=2**70),))
    messages = (*edited.messages[:7], bad, *edited.messages[8:])
    with store.write() as tx:
        tally = pages.insert(windows.hold(tx, claim), [replace(edited, messages=messages)], ORIGIN)[0]
    assert (tally.changed, tally.quarantined, tally.known) == (19, 1, 0)
    told = database.rows("SELECT msg_id, revision, body_position, text FROM revisions_readable ORDER BY msg_id")
    assert told == [(f"{at:03}", 1, 0, f"edited {at}") for at in range(20) if at != 7]
    ((reason, raw),) = database.rows("SELECT reason, raw FROM quarantine")
    assert (reason, bytes(raw)) == ("the database refused it", bad.raw)


def claimed_in(tx: object, key: SourceKey) -> windows.Claim:
    """A window of its own inside a transaction that is open already."""
    window = Window(ORIGIN + 5000, ORIGIN + 6000)
    planning.plan(tx, key, 1, planning.LIVE, 0, [window])  # type: ignore[arg-type]
    wanted, terms = windows.Target(1, planning.LIVE, window.hi_ms), windows.ClaimOptions("me", 60_000)
    found = windows.claim(tx, key, wanted, terms)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_nothing_of_a_page_stays_when_its_transaction_breaks(store: Store, key: SourceKey, database: Database) -> None:
    claim = claimed(store, key)

    def break_off() -> None:
        with store.write() as tx:
            pages.insert(windows.hold(tx, claim), [page_of(record("1"), "7")], ORIGIN)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    for table in ("messages", "message_bodies", "quarantine", "pages"):
        assert database.value(f"SELECT count(*) FROM {table}") == 0


def test_late_arrivals_are_what_is_new_in_a_closed_range(store: Store, key: SourceKey, database: Database) -> None:
    closed = claimed(store, key)
    with store.write() as tx:
        windows.close(windows.hold(tx, closed), by_order=False)
    later = claimed(store, key, Window(ORIGIN + 1000, ORIGIN + 2000))
    brought = page_of(record("1", stamp=ORIGIN + 999), record("2", stamp=ORIGIN + 1000), record("3", stamp=10**15))
    with store.write() as tx:
        tally = pages.insert(windows.hold(tx, later), [brought], ORIGIN + 61_000)[0]
    assert (tally.late, tally.worst_lateness_ms, tally.outside) == (1, 60_001, 2)
    assert database.rows("SELECT msg_id, lateness_ms FROM late_arrivals") == [("1", 60_001)]


def test_a_zombie_is_refused_by_the_fence(store: Store, key: SourceKey) -> None:
    claim = claimed(store, key)
    with store.write() as tx:
        windows.retry(windows.hold(tx, claim), "taken for dead", at_ms=None, keep_progress=False)
    with pytest.raises(LeaseLost), store.write() as tx:
        windows.hold(tx, claim)


def race(database: Database, faster: Sequence[Message], slower: Sequence[Message]) -> tuple[InsertResult, InsertResult]:
    """The second writer finds the keys free, waits for the first one's commit, and looks again."""
    one, two = open_database(database), open_database(database)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"

    def second() -> list[InsertResult]:
        with two.write() as tx:
            return insert(tx, Provenance(1, ORIGIN), [Batch(2, slower)])

    with ThreadPoolExecutor(1) as beside:
        with one.write() as tx:
            (first,) = insert(tx, Provenance(1, ORIGIN), [Batch(1, faster)])
            other = beside.submit(second)
            while database.value(waiting) == 0:
                assert not other.done()
        (found,) = other.result()
    one.dispose()
    two.dispose()
    return first, found


def test_two_writers_of_the_same_rows_agree(postgres_database: Database) -> None:
    batch = list(page_of(*(record(f"{at:03}") for at in range(20))).messages)
    first, second = race(postgres_database, batch[:10], batch)
    assert len(first.new) == 10
    assert (len(second.new), second.known) == (10, 10)
    assert postgres_database.value("SELECT count(*) FROM messages") == 20


def test_what_was_stored_before_another_writer_was_faster_counts_as_new(postgres_database: Database) -> None:
    """A record that the database refuses has the page stored in parts, and the other's row lies in the last one."""
    batch = list(page_of(*(record(f"{at:03}") for at in range(8))).messages)
    batch[1] = batch[1]._replace(chat_type="\0")
    _, second = race(postgres_database, [batch[6]], batch)
    assert (len(second.new), second.known, len(second.refused)) == (6, 1, 1)
    assert [message.msg_id for message in second.new] == ["000", "002", "003", "004", "005", "007"]
    assert postgres_database.rows("SELECT page_id, count(*) FROM messages GROUP BY 1 ORDER BY 1") == [(1, 1), (2, 6)]


def test_two_writers_of_revisions_agree(postgres_database: Database) -> None:
    """The same number for other content, and the same content: neither ends a pull, nor is anything counted twice."""
    plain = page_of(*(record(f"{at:03}") for at in range(8))).messages
    edited, other = ([page_of(record(each.msg_id, text)).messages[0] for each in plain] for text in ("one", "two"))
    store = open_database(postgres_database)
    with store.write() as tx:
        insert(tx, Provenance(1, ORIGIN), [Batch(0, plain)])
    store.dispose()
    bad = other[0]._replace(bodies=(other[0].bodies[0]._replace(text="\0"),))
    mixed = [bad, *edited[1:4], *other[4:]]
    first, second = race(postgres_database, edited[2:6], mixed)
    assert (len(first.changed), len(second.changed), second.known, len(second.refused)) == (4, 5, 2, 1)
    kept = postgres_database.rows("SELECT msg_id, count(*), max(revision) FROM message_revisions GROUP BY 1 ORDER BY 1")
    assert kept == [(f"{at:03}", count, count) for at, count in enumerate((0, 1, 1, 1, 2, 2, 1, 1)) if count]


def test_errors_of_the_database_quote_no_values(store: Store, key: SourceKey, database: Database) -> None:
    claim = claimed(store, key)
    secret = "chat text that nobody may read"

    def store_twice() -> None:
        with store.write() as tx:
            pages.insert(windows.hold(tx, claim), [page_of(record("1", secret))], ORIGIN)
            columns = "(app_id, msg_id, position, type, text)"
            tx.conn.exec_driver_sql(f"INSERT INTO message_bodies {columns} VALUES (1, '1', 0, 'txt', '{secret}')")

    with pytest.raises(DatabaseUnavailable) as refused:
        store_twice()
    assert secret not in str(refused.value)
    assert refused.value.__cause__ is None
