"""Whatever the JSON of a page can hold is stored or quarantined, verbatim, alike on both databases."""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from archiver.model import Message, Page, Reject
from archiver.sources import decode
from archiver.sources.easemob.cursor import read_page
from archiver.sources.easemob.hour_files import read_pages, verify
from archiver.store import apps, pages, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.windows import Claim
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed, open_database, record
from tests.hostile import ledger, strategies

REASONS = re.compile(
    r"nested too deep|not valid JSON|a number too long to read|more values than are read|the record is not an object"
    r"|(msg_id|timestamp) is missing|msg_id is neither text nor an integer|msg_id holds (half a surrogate pair|U\+0000)"
    r"|msg_id has \d+ bytes, not 1 to 512|timestamp is (not a whole number|beyond 64 bits)"
)
PLAIN = record("plain", "a plain neighbour")


class Answer:
    """An HTTP answer with this body."""

    date_ms = ORIGIN

    def __init__(self, body: bytes) -> None:
        self.body = body


def read(texts: Sequence[str]) -> Page:
    page, cursor = read_page(Answer(('{"entities":[' + " ,\n".join(texts) + '],"cursor":"c"}').encode()))
    assert cursor == "c"
    return page


def in_order(page: Page) -> list[Message | Reject]:
    return sorted([*page.messages, *page.rejects], key=lambda record: record.position)


class Rolled(Exception):
    """Takes back what an example stored."""


@contextmanager
def taken_back() -> Iterator[None]:
    try:
        yield
    except Rolled:
        return


def stored(store: Store, claim: Claim, page: Page) -> ledger.Rows:
    """What a page leaves behind when it comes twice; nothing of it stays."""
    rows: ledger.Rows = {}
    with taken_back(), store.write() as tx:
        tally = pages.insert(windows.hold(tx, claim), [page], ORIGIN + 10_000_000)[0]
        assert tally.received == page.received
        rows = ledger.read(tx, claim.key.app_id)
        again = pages.insert(windows.hold(tx, claim), [page], ORIGIN + 10_000_000)[0]
        assert (again.new, again.changed, again.quarantined) == (0, 0, tally.quarantined)
        after = ledger.read(tx, claim.key.app_id)
        assert {name: after[name] for name in after if name != "quarantine"} == {
            name: rows[name] for name in rows if name != "quarantine"
        }
        assert len(after["quarantine"]) == len(rows["quarantine"])
        raise Rolled
    return rows


def check_decoding(texts: Sequence[str]) -> Page:
    """Each record keeps its bytes and its place, and is read alike in a page, in an hourly file and from quarantine."""
    page = read(texts)
    records = in_order(page)
    assert [record.raw for record in records] == [text.encode() for text in texts]
    assert [record.position for record in records] == list(range(len(texts)))
    for each in records:
        if isinstance(each, Reject):
            assert REASONS.fullmatch(each.reason), each.reason
        assert decode(each.raw, each.position) == each
    file = io.BytesIO(gzip.compress("\n".join(texts).encode(), 1))
    verify(file, framed=True)
    lines = [each for part in read_pages(file, page_size=1000, server_ms=1) for each in in_order(part)]
    assert [each.raw for each in lines] == [each.raw for each in records]
    readable = [isinstance(each, Message) for each in records]
    assert [isinstance(each, Message) for each in lines] == readable
    return page


def check_rows(rows: ledger.Rows, page: Page) -> None:
    """Every record lies somewhere, and the plain neighbour as if it had been alone."""
    kept = {row[9] for row in rows["messages"]} | {row[3] for row in rows["message_revisions"]}
    quarantined = {row[2] for row in rows["quarantine"]}
    digests = {row[10] for row in rows["messages"]} | {row[4] for row in rows["message_revisions"]}
    for message in page.messages:
        assert message.raw in kept or message.digest in digests
    assert {reject.raw for reject in page.rejects} == quarantined, "nothing that was read is refused by a database"
    (plain,) = [row for row in rows["messages"] if row[0] == "plain"]
    assert (plain[1], plain[3], plain[4], plain[9], plain[11]) == (ORIGIN + 5, "a", "b", PLAIN.encode(), False)


Places = Sequence[tuple[Store, Claim]]


@pytest.fixture
def places(both: Sequence[Database]) -> Iterator[Places]:
    """A window to store pages into, on each kind of database."""
    stores = [open_database(database) for database in both]
    claims = []
    for store in stores:
        with store.write() as tx:
            key: SourceKey = apps.register(tx, "o#a", "cursor", ORIGIN, settle_ms=120_000, retention_ms=None)
        claims.append(claimed(store, key))
    yield list(zip(stores, claims, strict=True))
    for store in stores:
        store.dispose()


def compare(places: Places, pages: int, first: int = 0) -> int:
    """Store as many pages of hostile records on each database; gives how many records those were."""
    records = 0

    @seed(first)
    @settings(max_examples=pages, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(strategies.pages)
    def check(texts: list[str]) -> None:
        nonlocal records
        records += len(texts)
        page = check_decoding([*texts[:1], PLAIN, *texts[1:]])
        rows = [stored(store, claim, page) for store, claim in places]
        check_rows(rows[0], page)
        assert rows[0] == rows[-1]

    check()
    return records


@pytest.mark.full
def test_hostile_records_leave_the_same_rows_on_both_databases(places: Places) -> None:
    assert compare(places, 40) > 40


@pytest.mark.full
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(1, 5))
def test_many_hostile_examples_on_each_database(places: Places, part: int) -> None:
    """An example is a record; what generated pages need is kept until their run ends, so they come by the hundred."""
    run, parts = map(int, os.environ.get("ARCHIVER_PROVE_PART", "1/1").split("/"))  # other parts, other examples
    share = int(os.environ.get("ARCHIVER_HOSTILE_EXAMPLES", "500")) // 4
    seeds = count(4 * (run - 1) + part, 4 * parts)
    while share > 0:
        share -= compare(places, min(100, 1 + share // 3), next(seeds))


@pytest.mark.parametrize("stamp", [-(2**63), 2**63 - 1, -1, 0])
def test_stamps_at_the_borders_are_looked_up_for_late_arrivals(store: Store, key: SourceKey, stamp: int) -> None:
    """Outside its window a record may be late: the look-up must bear every stamp that a column holds."""
    claim = claimed(store, key)
    with store.write() as tx:
        tally = pages.insert(windows.hold(tx, claim), [read([record("edge", stamp=stamp)])], ORIGIN)[0]
    assert (tally.new, tally.late, tally.outside) == (1, 0, 1)
