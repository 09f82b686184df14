"""Honest changes raise nothing: what pulls, people and time do to an archive is as it was sealed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver import connect, review
from archiver.evidence import beginning, sinks
from archiver.evidence.publish import Publisher
from archiver.model import HOUR_MS, Page, Reject, Window
from archiver.sources import decode
from archiver.store import apps, hours, quarantine, reopening, watermarks, windows
from archiver.store.engine import Store
from tests.evidence.tampering import Builder, settings_of, verified
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, open_database, page_of, record


class Honest:
    """An archive with a ledger, and what may be done to it; after each of it a verification finds nothing."""

    def __init__(self, store: Store, settings: object, publish: Publisher, builder: Builder) -> None:
        self.store, self.settings, self.publish, self.builder = store, settings, publish, builder

    def check(self) -> None:
        """Before the ledger has it, and afterwards."""
        for _ in range(2):
            findings = verified(self.store, self.settings)  # type: ignore[arg-type]
            assert findings.differences == []
            assert not findings.classes
            assert self.publish(force=True).problem is None


@pytest.fixture
def honest(database: Database, tmp_path: Path) -> Iterator[Honest]:
    place = tmp_path / "keys"
    place.mkdir()
    settings = settings_of(database.url, place)
    settings = settings.model_copy(update={"evidence": settings.evidence.model_copy(update={"anchors": ()})})  # type: ignore[union-attr]
    store = open_database(database)
    beginning.init(store, settings, "internal audit", "me")
    connect.seal(store, settings)
    with store.write() as tx:
        key = apps.register(tx, "o#a", "cursor", ORIGIN, settle_ms=1000, retention_ms=None)
    yield Honest(store, settings, sinks.publisher(store, settings), Builder(store, key))
    store.dispose()


@pytest.mark.full
def test_a_stuck_millisecond_that_is_walked_later(honest: Honest) -> None:
    builder = honest.builder
    builder.walk(0, 1000, page_of(record("1")))
    builder.walk(1000, 1001, state="stuck")
    builder.walk(1001, 2000, page_of(record("2", stamp=ORIGIN + 1500)))
    honest.check()
    builder.again(1000, page_of())
    with honest.store.read() as tx:
        assert watermarks.read(tx, builder.key).complete_until_ms == ORIGIN + 2000
    honest.check()


@pytest.mark.full
def test_what_was_closed_by_order_is_reopened_and_walked_again(honest: Honest) -> None:
    builder = honest.builder
    builder.walk(0, 1000, page_of(record("1")), by_order=True)
    builder.walk(1000, 2000, page_of(record("2", stamp=ORIGIN + 1500)), by_order=True)
    honest.check()
    with honest.store.write() as tx:
        held = watermarks.lock(tx, builder.key)
        assert reopening.reopen_by_order(tx, builder.key, since_ms=0) == 2
        assert watermarks.recompute(tx, builder.key, held).complete_until_ms == ORIGIN
    honest.check()
    builder.again(0, page_of(record("1"), record("3", stamp=ORIGIN + 8)))
    builder.again(1000, page_of())
    honest.check()


@pytest.mark.full
def test_a_window_that_is_split_and_one_that_is_cut_at_the_retention(honest: Honest) -> None:
    builder = honest.builder
    claim = builder.claimed(0, 4000)
    with honest.store.write() as tx:
        lower = windows.split(windows.hold(tx, claim), ORIGIN + 2000)
        windows.retry(lower, "again", at_ms=None, keep_progress=False)
    builder.again(0, page_of(record("1")))
    claim = builder.taken(2000)
    claim = builder.stored(claim, page_of(record("2", stamp=ORIGIN + 3500)))
    with honest.store.write() as tx:
        locked = watermarks.lock(tx, builder.key)
        held = windows.hold(tx, claim)
        rest = windows.split_off(held, ORIGIN + 3000)
        windows.give_up(held, "beyond the retention when it was walked")
        windows.close(rest, by_order=False)
        watermarks.move(tx, builder.key, locked)
    honest.check()
    assert review.accept(honest.store, Window(ORIGIN + 2000, ORIGIN + 3000), "ticket", "me") == 1
    honest.check()


def test_records_that_leave_quarantine_and_damaged_files(honest: Honest) -> None:
    builder = honest.builder
    refused = [Reject(record(name).encode(), "refused", at) for at, name in enumerate("1299")]
    builder.walk(0, 1000, Page((), tuple(refused), ORIGIN + 9_000, "ab"))
    claim = builder.claimed(1000, 1000 + HOUR_MS)
    with honest.store.write() as tx:
        quarantine.keep_file(windows.hold(tx, claim), b"half a file", "damaged")
    honest.check()
    assert review.requeue(honest.store, decode).resolved == 3
    honest.check()
    with honest.store.write() as tx:
        quarantine.file_came(windows.hold(tx, claim))
    honest.check()


@pytest.mark.full
def test_what_was_requeued_from_a_damaged_file(honest: Honest) -> None:
    builder = honest.builder
    claim = builder.claimed(0, HOUR_MS)
    with honest.store.write() as tx:
        quarantine.keep_file(windows.hold(tx, claim), b"half a file", "damaged")
    whole = page_of(record("1"), record("2")).messages
    assert review.requeue(honest.store, decode, salvage=lambda _: iter(whole)).resolved == 1
    honest.check()


def test_what_lay_before_the_first_contact(honest: Honest) -> None:
    with honest.store.write() as tx:
        hours.add_before_first_contact(tx, honest.builder.key, Window(ORIGIN - 5_000, ORIGIN), 1000)
    honest.builder.walk(0, 1000, page_of())
    honest.check()
