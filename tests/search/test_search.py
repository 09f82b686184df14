"""What was said is found: on both databases alike, whether the index has come to it or not."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from threading import Thread

import psycopg
import pytest

from archiver import review, search
from archiver.errors import UsageError
from archiver.model import Window
from archiver.sources import decode
from archiver.store import pages, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.read.filters import Filter
from archiver.store.search import index as indexing
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed, page_of
from tests.search.samples import QUERIES, filled, found, index, said


def check(store: Store) -> None:
    for query, right in QUERIES:
        assert found(store, query) == right, ascii(query)


def check_in_sql(database: Database) -> None:
    """The same by the function that people call in psql."""
    with psycopg.connect(database.url) as conn:
        for query, right in QUERIES:
            if "\0" in query:
                continue
            rows = conn.execute("SELECT DISTINCT msg_id::int FROM archive_search(%s) ORDER BY 1", (query,)).fetchall()
            assert [row[0] for row in rows] == right, ascii(query)


@pytest.mark.full
def test_every_query_finds_what_it_should(database: Database) -> None:
    with filled(database) as store:
        check(store)
        if database.kind == "postgresql":
            check_in_sql(database)
        assert search.lag(store).pages == 5
        assert index(store) > 30
        assert search.lag(store) == (0, 0, None)
        check(store)
        if database.kind == "postgresql":
            check_in_sql(database)
        assert index(store) == 0


def test_both_databases_tell_the_same_in_the_same_order(both: Sequence[Database]) -> None:
    told = []
    for database in both:
        with filled(database) as store:
            index(store)
            every = [search.find(store, query, Filter()) for query, _ in QUERIES]
            told.append([[hit._replace(extra=None) for hit in hits] for hits in every])
    assert told[0] == told[1]


def test_filters_and_limit(database: Database) -> None:
    with filled(database) as store:
        for _ in range(2):  # waiting, then indexed
            assert found(store, "退款", Filter(sender="ann")) == [1, 9, 10]
            assert found(store, "退款", Filter(sender="bob")) == []
            assert found(store, "退款", Filter(conversation="bob|ann", from_ms=ORIGIN + 9)) == [9, 10]
            assert found(store, "退款", Filter(app="a", to_ms=ORIGIN + 9)) == [1]
            assert found(store, "号", Filter(types=("loc",))) == [12]
            assert found(store, "返利", Filter(types=("txt",))) == [34]
            assert found(store, "返利", Filter(types=("img",))) == []
            assert found(store, "退款", most=2) == [9, 10], "the latest first"
            index(store)


def test_a_hit_says_where_it_is(database: Database) -> None:
    with filled(database) as store:
        for _ in range(2):
            (hit,) = search.find(store, "发票", Filter())
            assert (hit.app, hit.msg_id, hit.body_position, hit.text) == ("o#a", "17", 1, "第二段:发票号码")
            (hit,) = search.find(store, "返利", Filter())
            assert (hit.revision, hit.text, hit.sender) == (1, "改成了别的内容:返利", "ann")
            (hit,) = search.find(store, "恭喜", Filter())
            assert "恭喜发财" in (hit.extra or "")
            (hit,) = search.find(store, "看图", Filter())
            assert hit.extra is None, "a secret of the wrong type is still one"
            index(store)


def test_what_nothing_can_be_found_by_is_refused(database: Database) -> None:
    with filled(database, []) as store:
        for query in ("", " ", "\u200b\0", "\ufffd", "x" * 201):
            with pytest.raises(UsageError, match="1 to 200 characters"):
                found(store, query)


def test_what_leaves_quarantine_is_found(database: Database) -> None:
    """Its page was indexed long ago."""
    with filled(database) as store:
        index(store)
        assert found(store, "贿赂") == []
        review.requeue(store, lambda raw, at: decode(raw.replace(b'"later"', b"1790000000037"), at))
        assert found(store, "贿赂") == [37]
        assert search.lag(store).pages == 1
        assert index(store) == 1
        assert found(store, "贿赂") == [37]
        check(store)


def test_what_is_committed_late_is_not_missed(postgres_database: Database) -> None:
    """Two writers: the one that began first, with the smaller page id, ends last."""
    with filled(postgres_database, []) as store:
        key = SourceKey(1, "cursor")
        first, second = (claimed(store, key, Window(ORIGIN + at, ORIGIN + at + 1000)) for at in (1000, 2000))
        with store.write() as early:
            pages.insert(windows.hold(early, first), [page_of(said(50, "迟到的退款"))], ORIGIN + 10)
            with store.write() as late:
                pages.insert(windows.hold(late, second), [page_of(said(51, "先到的退款"))], ORIGIN + 10)
            index(store)
            assert found(store, "退款") == [51]
        assert found(store, "退款") == [50, 51]
        assert index(store) == 1
        assert found(store, "退款") == [50, 51]


SEVERAL: list[tuple[tuple[str, ...], list[int], list[int]]] = [
    (("退款", "处理"), [1], [1, 9, 10]),
    (("处理", "我要"), [1], [1]),
    (("REFUND", "订单"), [5], [4, 5, 6, 29]),
    (("退", "货"), [2, 29], [1, 2, 3, 9, 10, 29, 32]),
    (("退款", "没有的话"), [], [1, 9, 10]),
    (("合同", "2026", "pdf"), [11], [5, 11]),
    (("看图", "发票"), [], [17]),
    (("订单", "最后的话", "跨越边界"), [29], [5, 29]),
    (("最后的话", "最后的话"), [29], [29]),
]
"""Texts, the messages in which one body holds them all, and those in which one holds any of them."""


@pytest.mark.full
def test_several_texts_are_all_in_one_body_or_any_of_them(database: Database) -> None:
    """Whether the index has come to them or not; 29 is so long that it is indexed in parts."""
    with filled(database) as store:
        for _ in range(2):
            for texts, every, some in SEVERAL:
                for most in (None, 50):
                    assert sorted({int(h.msg_id) for h in search.find(store, texts, Filter(), most)}) == every, texts
                    hits = list(search.find(store, texts, Filter(), most, any_of=True))
                    assert sorted({int(h.msg_id) for h in hits}) == some, texts
                    assert len(hits) == len(set(hits))
            index(store)


def test_too_many_texts_are_refused(database: Database) -> None:
    with filled(database, []) as store, pytest.raises(UsageError, match="1 to 10 texts"):
        list(search.find(store, [str(number) for number in range(11)], Filter()))


WORDS = ("常见", "较少", "罕见", "没有", "见", "x")
ASKED = (
    Filter(),
    Filter(from_ms=ORIGIN + 100, to_ms=ORIGIN + 400),
    Filter(from_ms=ORIGIN + 400, to_ms=ORIGIN + 100),
    Filter(app="a", types=("loc",)),
    Filter(sender="eve"),
    Filter(conversation="eve|bob", to_ms=ORIGIN + 300),
)


def talk(count: int) -> list[str]:
    """Records with words that are frequent and rare; many have one stamp, and some texts have several parts."""
    chance = random.Random(7)
    records = []
    for number in range(count):
        text = "".join(word for word, share in zip(WORDS, (0.3, 0.06, 0.004), strict=False) if chance.random() < share)
        long = ("常见" * 3_999 + "较少") * 3 if number % 100 == 0 else ""
        bodies = [f"第{number}句{text}{long}"] + ([{"type": "loc", "addr": f"{text}路"}] if number % 5 == 0 else [])
        stamp = ORIGIN + 10 * chance.randrange(count // 50)
        records.append(said(number, *bodies, timestamp=stamp, **{"from": chance.choice(("ann", "eve"))}))
    return records


@pytest.mark.full
def test_the_latest_are_the_same_by_whichever_way_they_are_found(database: Database) -> None:
    """By the index, by reading the latest texts, and what the index lacks; in psql, too."""
    records = talk(2_000)
    with filled(database, records[:-300]) as store:
        index(store)
        claim = claimed(store, SourceKey(1, "cursor"), Window(ORIGIN + 1000, ORIGIN + 2000))
        for at in range(1_700, 2_000, 100):
            with store.write() as tx:
                pages.insert(windows.hold(tx, claim), [page_of(*records[at : at + 100])], ORIGIN + 10)
        for word, wanted in itertools.product(WORDS, ASKED):
            every = list(search.find(store, word, wanted))
            if wanted == Filter():
                bodies = (json.loads(record)["payload"]["bodies"] for record in records)
                holding = [
                    body for each in bodies for body in each if word in body.get("msg", "") + body.get("addr", "")
                ]
                assert len(every) == len(holding), word
            for most in (1, 100, 900):
                assert list(search.find(store, word, wanted, most)) == every[:most], (word, wanted, most)
        check_latest_of_several(store)
        if database.kind == "postgresql":
            check_latest_in_sql(database, store)


def check_latest_of_several(store: Store) -> None:
    """Against what single words find."""
    for texts, wanted in itertools.product((("见", "较少"), ("常见", "x"), ("罕见", "没有", "句")), ASKED):
        single = [set(search.find(store, text, wanted)) for text in texts]
        every = list(search.find(store, texts, wanted))
        some = list(search.find(store, texts, wanted, any_of=True))
        assert (set(every), set(some)) == (set.intersection(*single), set.union(*single)), (texts, wanted)
        for most in (1, 100):
            assert list(search.find(store, texts, wanted, most)) == every[:most], (texts, wanted, most)
            assert list(search.find(store, texts, wanted, most, any_of=True)) == some[:most], (texts, wanted, most)


def test_stamps_beyond_all_calendars_are_told_in_their_order(database: Database) -> None:
    stamps = [-(2**63), -5, 0, 1, ORIGIN, 2**43 - 5, 2**43, 2**53, 2**63 - 1]
    records = [said(number, "奇怪的时间", timestamp=stamps[number % 9]) for number in range(90)]
    with filled(database, records) as store:
        index(store)
        every = [int(hit.msg_id) for hit in search.find(store, "时间", Filter())]
        assert every == sorted(range(90), key=lambda number: (-stamps[number % 9], str(number)))
        for most in (1, 5, 15, 40, 85):
            assert [int(hit.msg_id) for hit in search.find(store, "时间", Filter(), most)] == every[:most]
        assert found(store, "时间", Filter(from_ms=ORIGIN, to_ms=ORIGIN + 1)) == [*range(4, 90, 9)]


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL needs no numbers
def test_more_texts_than_a_stamp_has_numbers(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_A_STAMP", 4)
    records = [said(number, f"第{number}次退款", timestamp=ORIGIN + number // 30) for number in range(90)]
    with filled(database, records) as store:
        for _ in range(2):  # the second time, all are there
            index(store)
            assert found(store, "退款") == [*range(90)]
            for ms in range(3):
                in_ms = Filter(from_ms=ORIGIN + ms, to_ms=ORIGIN + ms + 1)
                assert found(store, "退款", in_ms) == [*range(30 * ms, 30 * ms + 30)]


def check_latest_in_sql(database: Database, store: Store) -> None:
    with psycopg.connect(database.url) as conn:
        for word, most in itertools.product(WORDS, (1, 100, 900, None)):
            told = conn.execute("SELECT msg_id, body_position, text FROM archive_search(%s, %s)", (word, most))
            hits = search.find(store, word, Filter(), most)
            assert told.fetchall() == [(hit.msg_id, hit.body_position, hit.text) for hit in hits], (word, most)
        with pytest.raises(psycopg.errors.RaiseException, match="give 1 or more"):
            conn.execute("SELECT * FROM archive_search('x', 0)")


def test_two_processes_may_index_at_once(database: Database) -> None:
    with filled(database) as store:
        workers = [Thread(target=index, args=(store,)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert search.lag(store).pages == 0
        check(store)
