"""What processes that share a rate budget wait for: turns, for longer than a lease lasts, and rests of the provider."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import IO

import pytest
import sqlalchemy as sa

from archiver.attachments.fetch import Fetching, FetchOptions
from archiver.errors import ProviderUnavailable
from archiver.model import DAY_MS, HOUR_MS, Fetched, Pointer
from archiver.store import attachments, rate_limit
from archiver.store.schema import iso, windows
from tests.fixtures.archive import MakeSimulated, Simulated, Waits

NOW = 1_793_491_200_000
URL = "https://a1.easemob.com/red/app/chatfiles/one"


class Queue(Waits):
    """Looks at the end of each wait for windows that somebody else could take by now."""

    def __init__(self, archive: Simulated) -> None:
        super().__init__(archive.clock)
        self.archive = archive
        self.waits = self.lapsed = 0

    def wait(self, timeout: float | None = None) -> bool:
        stopped = super().wait(timeout)
        lapsed = sa.and_(windows.c.state == "leased", windows.c.lease_until < self.archive.clock())
        with self.archive.store.read() as tx:
            self.lapsed += tx.conn.scalars(sa.select(sa.func.count()).where(lapsed)).one()
        self.waits += 1
        return stopped


@pytest.mark.full
@pytest.mark.parametrize("source", ["hourly", "cursor"])
def test_a_window_stays_with_who_waits_for_the_turn_of_its_next_request(
    make_simulated: MakeSimulated, source: str
) -> None:
    server = {"messages": 30, "start_ms": NOW - 3 * HOUR_MS, "span_ms": 2 * HOUR_MS}
    size = 4 if source == "cursor" else 100
    keys: dict[str, object] = {"source": source, "audits": [], "settle": "1m", "rate": "1/h", "page_size": size}
    archive = make_simulated(now=NOW + 3 * HOUR_MS, server=server, **keys)
    archive.stop = queue = Queue(archive)
    assert archive.pull().exit_code == 0
    assert queue.waits > 3
    assert queue.lapsed == 0
    assert archive.stored()


def test_a_file_stays_with_who_waits_for_its_turn(make_simulated: MakeSimulated) -> None:
    server = {"messages": 0, "start_ms": NOW - DAY_MS}
    archive = make_simulated(now=NOW, server=server, source="cursor", audits=[])
    body = {"type": "img", "url": URL, "filename": "f"}
    record = {"msg_id": "one", "timestamp": NOW - HOUR_MS, "payload": {"bodies": [body]}}
    archive.server.add(record, timestamp_ms=NOW - HOUR_MS, visible_ms=0)
    assert archive.pull().exit_code == 0
    budget = rate_limit.RateLimiter(archive.store, "files", 1, HOUR_MS)
    budget.take()
    others = []

    def take_turn(stop: Event) -> None:
        stop.wait(budget.take())
        with archive.store.write() as tx:
            others.append(attachments.claim(tx, 1, "another", HOUR_MS))

    def fetch(_pointer: Pointer, _into: IO[bytes], _progress: Callable[[int], None]) -> Fetched:
        return Fetched("gone", "it is not there")

    options = FetchOptions(workers=1, lease_ms=180_000)
    Fetching(archive.store, 1, NoBlobs(), fetch, options, stop=archive.stop, take_turn=take_turn).run()
    assert others == [None]


class NoBlobs:
    """Where nothing is kept."""

    def save(self, file: IO[bytes], sha256: str, size: int, progress: Callable[[int], None]) -> bool:
        raise AssertionError

    def digest(self, _sha256: str) -> None:
        return None

    def sweep(self) -> None: ...


@pytest.mark.parametrize("fault", ["http_503", "http_429"])
def test_the_next_pull_leaves_the_provider_alone_for_as_long_as_it_asked(
    make_simulated: MakeSimulated, fault: str
) -> None:
    archive = make_simulated(now=NOW, server={"messages": 30, "start_ms": NOW - DAY_MS}, source="cursor", audits=[])
    faults = archive.server.faults
    setattr(faults, fault, 1.0)
    faults.only, faults.retry_after = "/chatmessages", "600"
    assert archive.pull().exit_code == 75
    asked = archive.server.count("")
    setattr(faults, fault, 0.0)
    until = archive.clock.now_ms + 600_000
    for _ in range(3):
        outcome = archive.pull()  # with a client of its own, as the next one of cron
        assert (outcome.exit_code, archive.server.count("")) == (75, asked)
        assert f"asked to be left alone until {iso(until)}" in str(outcome.reason)
        archive.clock.now_ms += 190_000
    archive.clock.now_ms = until
    assert archive.pull().exit_code == 0


def test_no_answer_and_no_clock_keeps_a_group_away_for_long(make_simulated: MakeSimulated) -> None:
    archive = make_simulated(now=NOW, server={"messages": 0, "start_ms": NOW - DAY_MS}, source="cursor")
    budgets = [rate_limit.RateLimiter(archive.store, group, 10, 1_000) for group in ("one", "one", "other")]
    budgets[0].rest(10 * 365 * 86_400.0)
    with pytest.raises(ProviderUnavailable, match="one asked to be left alone until"):
        budgets[1].take()
    assert budgets[2].take() == 0
    archive.clock.now_ms += HOUR_MS
    assert budgets[1].take() == 0
    budgets[0].rest(1800.0)
    archive.clock.now_ms -= DAY_MS
    budgets[1].take()
    budgets[1].rest(4.0)
    assert budgets[0].take() == pytest.approx(4.0, abs=1), "what is short is waited for"


@pytest.mark.full
def test_two_messages_that_kill_their_pages_keep_no_other_from_one_pull(make_simulated: MakeSimulated) -> None:
    """Over real sockets: patience is spent once, and not again on each half of the window in which such a one lies."""
    server = {"messages": 3000, "start_ms": NOW - 3 * DAY_MS, "span_ms": 2 * DAY_MS}
    archive = make_simulated(now=NOW, server=server, source="cursor", audits=[], page_size=100, give_up="2s")
    rows = archive.server.records
    dead = [rows[700], rows[2100], rows[2120]]
    archive.server.faults.poison = ",".join(row.msg_id for row in dead)
    assert archive.pull().exit_code in (3, 75)
    stamps = {row.timestamp_ms for row in dead}
    assert archive.stored() >= {row.msg_id for row in rows if row.timestamp_ms not in stamps}
    assert archive.stored().isdisjoint({row.msg_id for row in dead})
    archive.server.faults.poison = ""
    assert archive.pull(retry_stuck=True).exit_code == 0
    assert archive.stored() == archive.served()
