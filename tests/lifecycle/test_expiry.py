"""A retention run: planned by one person, approved by another, stopped by brakes, and nothing comes back."""

from __future__ import annotations

import json
import random
import re
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from archiver.cli import retention as archive_retention
from archiver.config import load
from archiver.errors import DeletionStopped, Stopped
from archiver.lifecycle import expiry, terms
from archiver.lifecycle.expiry import RunWish
from archiver.lifecycle.proposals import Asker
from archiver.store import expiring
from archiver.store import retention as terms_in_force
from archiver.store.engine import Tx
from archiver.store.retention import RetentionTerms
from tests.export.samples import said
from tests.fixtures.archive import Archive
from tests.fixtures.decided import approve, approved
from tests.fixtures.store import open_database
from tests.lifecycle.conftest import Persons
from tests.lifecycle.test_retention import ends

DAY = 86_400_000


class House:
    """An archive of some days, whose terms say that what is older than a day is over."""

    def __init__(self, persons: Persons) -> None:
        self.persons, self.archive = persons, persons.archive
        self.owner = self.archive.config.read_text()
        self.request = 0

    def as_owner(self) -> Archive:
        self.archive.config.write_text(self.owner)
        return self.archive

    def count(self, table: str = "messages") -> int:
        return self.archive.count(table)

    def terms(self, *given: str) -> None:
        self.persons.now("alice")
        assert self.archive("retention", "set", "--app", self.archive.server.app, *given, "--reason", "law") == 0
        if "request" in self.archive.output:
            number = self.archive.output.split("request ")[1].split()[0]
            self.persons.now("bob")
            assert self.archive("requests", "approve", number) == 0

    def plan(self, *given: str, approve: bool = True) -> int:
        self.persons.now("alice")
        assert self.archive("retention", "plan", "--app", self.archive.server.app, *given) == 0, self.archive.errors
        self.request = int(self.archive.output.split("request ")[1].split()[0])
        if approve:
            self.persons.now("bob")
            assert self.archive("requests", "approve", str(self.request)) == 0
        return self.request

    def apply(self, request: int | None = None) -> int:
        self.persons.now("bob")
        return self.as_owner()("retention", "apply", str(request or self.request))

    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.archive.database.value("SELECT body FROM requests WHERE id = ?", self.request)))


@pytest.fixture
def house(persons: Persons) -> House:
    made = House(persons)
    made.terms("--at-most", "1d")
    return made


def more_pages(archive: Archive) -> None:
    """Late arrivals on pages of their own, with an edited message among them."""
    start = archive.server.start_ms
    for number in range(3):
        for text in ("late", "late, edited")[: 1 + number % 2]:
            message = said(f"late-{number}", text, start + number)
            archive.server.add(message, timestamp_ms=start + number, visible_ms=0)
            assert archive("audit", "--from", str(start), "--to", str(start + 60_000)) in (0, 3)


def sums(archive: Archive) -> tuple[int, int]:
    """Messages by the counters, and by the rows and what stands for the others."""
    rows = archive.count("messages") + int(
        archive.database.value("SELECT coalesce(sum(messages), 0) FROM tombstones WHERE kind = 'expired'")
    )
    return archive.status()["messages"], rows


def test_what_is_over_goes_once_two_persons_agreed(house: House) -> None:
    archive, before = house.archive, house.count()
    house.plan("--max-share", "1", approve=False)
    body = house.body()
    over = int(archive.database.value("SELECT count(*) FROM messages WHERE timestamp_ms < ?", body["floor_ms"]))
    assert body["messages"] == over > 0
    assert sum(count for count, _ in body["by_month"].values()) == over
    assert house.apply() == 2
    assert "is waiting" in archive.errors
    house.persons.now("bob")
    assert archive("requests", "approve", str(house.request)) == 0
    assert house.apply() == 0, archive.errors
    assert house.count() == before - over
    assert archive.database.value("SELECT min(timestamp_ms) FROM messages") >= body["floor_ms"]
    assert archive.database.value("SELECT ms FROM expired_before") == body["floor_ms"]
    counted, there = sums(archive)
    assert counted == there == before
    for table in ("message_bodies", "attachments", "search_texts", "message_revisions", "late_arrivals"):
        missing = (
            f"SELECT count(*) FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.msg_id = t.msg_id)"
        )
        assert archive.database.value(missing) == 0
    hashes = (
        "SELECT count(*) FROM pages p JOIN windows w ON w.id = p.window_id"
        f" WHERE p.sha256 <> '' AND w.lo_ms < {body['floor_ms']}"
    )
    assert archive.database.value(hashes) == 0
    assert archive.database.value("SELECT count(*) FROM pages WHERE sha256 <> ''") > 0
    assert house.apply() == 0
    assert "0 messages are deleted" in archive.output


def untouched(house: House, before: int) -> None:
    """Not a row is gone, nor is a floor set."""
    assert house.count() == before
    assert house.count("tombstones") == house.count("expired_before") == 0


def change_body(house: House, **more: Any) -> None:
    """A request as another plan would have made it, approved as it is."""
    body = house.body() | more
    house.archive.database.alter("DELETE FROM approvals")
    house.archive.database.alter("DELETE FROM requests")
    store = open_database(house.archive.database)
    with store.write() as tx:
        house.request = approved(tx, "retention", body)
    store.dispose()


def set_clock(patch: pytest.MonkeyPatch, days: int) -> None:
    """The store's clock, so many days from now."""
    now_ms = Tx.now_ms
    patch.setattr(Tx, "now_ms", lambda tx: now_ms(tx) + days * DAY)


BRAKES = ("share", "more than planned", "too late", "clock ahead", "plan of tomorrow", "longer terms", "hold")


@pytest.mark.parametrize("brake", BRAKES)
def test_each_brake_alone_stops_with_nothing_gone(house: House, brake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, archive = house.count(), house.archive
    house.plan(*(("--max-share", "1") if brake != "share" else ()))
    if brake == "more than planned":
        change_body(house, messages=house.body()["messages"] - 1)
    if brake == "plan of tomorrow":
        change_body(house, floor_ms=house.body()["floor_ms"] + 3 * DAY)
    if brake == "too late":
        set_clock(monkeypatch, 8)
        monkeypatch.setattr(archive_retention, "_server_ms", lambda *_: int(time.time() * 1000) + 8 * DAY)
    if brake == "clock ahead":
        set_clock(monkeypatch, 6)
    if brake == "longer terms":
        house.terms("--at-most", "4d")
    if brake == "hold":
        place = ("hold", "add", "x", "--case", "1", "--reason", "y")
        assert house.as_owner()(*place) == 0
        assert house.apply() == 0
        assert house.count() == before
        return
    assert house.apply() == 3, archive.errors
    untouched(house, before)


def test_a_run_is_released_by_what_brakes_it(house: House) -> None:
    """The same plan goes when it says so itself: a larger share, or today where no server can be asked."""
    before = house.count()
    house.plan()
    assert house.apply() == 3
    assert "--max-share" in house.archive.errors
    house.owner = re.sub("http://127.0.0.1:[0-9]+", "http://127.0.0.1:9", house.owner)  # nobody answers there
    house.plan("--max-share", "1")
    assert house.apply() == 3
    assert "--today" in house.archive.errors
    untouched(house, before)
    house.plan("--max-share", "1", "--today", datetime.now(UTC).date().isoformat())
    assert house.apply() == 0, house.archive.errors
    assert house.count() < before


def test_what_a_hold_keeps_stays_and_the_rest_of_its_page_goes(house: House) -> None:
    archive = house.archive
    floor_ms = (int(time.time() * 1000) // DAY - 1) * DAY
    sender, held = archive.database.rows(
        "SELECT lower(sender), count(*) FROM messages WHERE timestamp_ms < ? GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
        floor_ms,
    )[0]
    over = int(archive.database.value("SELECT count(*) FROM messages WHERE timestamp_ms < ?", floor_ms))
    assert 0 < held < over
    assert house.as_owner()("hold", "add", "x", "--sender", sender, "--case", "1", "--reason", "y") == 0
    house.plan("--max-share", "1")
    assert house.body()["held"] == [{"hold": 1, "name": "x", "messages": held}]
    assert house.apply() == 0, archive.errors
    left = "SELECT count(*) FROM messages WHERE timestamp_ms < ?"
    assert archive.database.value(left, floor_ms) == held
    counted, there = sums(archive)
    assert counted == there
    report = archive.status()
    assert (report["expired"], report["erased"], report["sealed"]) == (over - held, 0, 0)
    assert report["expired_before_ms"] == floor_ms
    assert archive("statement") in (0, 3)
    assert "have expired" in archive.output
    (said_in_sql,) = archive.database.rows("SELECT statement FROM coverage_statements")[0]
    before = time.strftime("%Y-%m-%dT00:00:00.000Z", time.gmtime(floor_ms / 1000))
    assert f"Messages stamped before {before} have expired." in said_in_sql


def test_nothing_that_has_expired_comes_back(house: House) -> None:
    """By audit, backfill, a reopened window, and requeue; nor does the pull end otherwise for it."""
    archive, server = house.archive, house.archive.server
    start = server.start_ms
    server.add(b'{"msg_id": "broken"}', timestamp_ms=start + 7, visible_ms=0)
    house.plan("--max-share", "1")
    assert house.apply() == 0, archive.errors
    rows = house.count()
    floor_ms = archive.status()["expired_before_ms"]
    assert archive("audit", "--from", str(start), "--to", str(floor_ms)) == 2
    assert "has expired" in archive.errors
    assert archive("audit", "--from", str(start), "--to", str(floor_ms + 3_600_000)) in (0, 75)
    assert archive("backfill", "--from", str(start - DAY)) == 0
    archive.database.run(
        "UPDATE windows SET state = 'pending', walk0_ms = NULL, progress_ms = NULL, closed_at = NULL, walked_at = NULL"
        f" WHERE hi_ms <= {floor_ms}"
    )
    archive.database.run(f"UPDATE watermarks SET complete_until_ms = {start}, complete_from_ms = {start}")
    assert archive("pull") == 0, archive.errors
    assert archive("quarantine", "requeue") == 0
    assert house.count() == rows
    assert archive.database.value("SELECT min(timestamp_ms) FROM messages") >= floor_ms
    assert archive.database.value("SELECT count(*) FROM message_revisions") == 0
    counted, there = sums(archive)
    assert counted == there


def test_a_run_that_is_cut_off_anywhere_is_whole_by_batch_and_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any statement, as a process that is killed: its transaction is gone, and the counters' sum holds."""
    monkeypatch.setattr(expiring, "PAGES_AT_ONCE", 1)
    archive, draw = house.archive, random.Random(4)
    more_pages(house.as_owner())
    house.plan("--max-share", "1")
    floor_ms = house.body()["floor_ms"]
    cut = [0]

    def at(*_: Any) -> None:
        cut[0] -= 1
        if cut[0] == 0:
            raise KeyboardInterrupt

    sa.event.listen(sa.Engine, "before_cursor_execute", at)
    try:
        for _ in range(8):
            cut[0] = draw.randrange(15, 120)
            house.apply()
            cut[0] = 0
            counted, there = sums(archive)
            assert counted == there
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", at)
    assert house.apply() == 0, archive.errors
    assert archive.database.value("SELECT min(timestamp_ms) FROM messages") >= floor_ms
    counted, there = sums(archive)
    assert counted == there
    whole = "SELECT page_id, position FROM tombstones GROUP BY page_id, position HAVING count(*) > 1"
    assert archive.database.rows(whole) == []


def test_a_stop_ends_a_run_between_two_batches(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "PAGES_AT_ONCE", 1)
    more_pages(house.as_owner())
    house.plan("--max-share", "1")
    stop, before = Event(), house.count()
    store, settings = open_database(house.archive.database), load(house.archive.config, {})

    def server_ms() -> int:
        return int(time.time() * 1000)

    with pytest.raises(Stopped):
        expiry.apply(
            store, settings, house.request, "bob", server_ms=server_ms, stop=stop, progress=lambda _: stop.set()
        )
    assert 0 < before - house.count() < house.body()["messages"]
    stop.clear()
    done = expiry.apply(store, settings, house.request, "bob", server_ms=server_ms, stop=stop)
    assert done.in_all == house.body()["messages"] == before - house.count()
    store.dispose()


def test_who_deletes_has_two_roles_and_no_other_login_may(logins: Persons) -> None:
    """archive_officer asks and approves; archive_writer and archive_eraser together delete."""
    house = House(logins)
    house.terms("--at-most", "1d")
    before, archive, bob = house.count(), house.archive, logins.name("bob")
    house.plan("--max-share", "1")
    assert archive("retention", "apply", str(house.request)) == 2, "bob is an officer alone"
    for role in ("archive_writer", "archive_eraser"):
        assert house.count() == before
        assert house.count("tombstones") == 0
        archive.database.run(f"GRANT {role} TO {bob}")
        code = archive("retention", "apply", str(house.request))
        assert code == (0 if role == "archive_eraser" else 2), archive.errors
    assert house.count() == before - house.body()["messages"]
    assert archive.database.value("SELECT who FROM approvals WHERE decision = 'begun'") == bob


@pytest.mark.parametrize("app", ["", "x"])
def test_nothing_is_planned_where_nothing_may_go(persons: Persons, app: str) -> None:
    archive, whole = persons.archive, persons.archive.config.read_text()
    name = app or archive.server.app
    assert archive("retention", "plan", "--app", name) == 2
    assert ("kept for ever" if not app else "there is:") in archive.errors
    archive.config.write_text(whole.replace("[lifecycle]", "[lifecycle]\ndeletion = false"))
    for command in (("plan", "--app", name), ("apply", "1")):
        assert archive("retention", *command) == 2
        assert "deletion = false" in archive.errors
    archive.config.write_text(whole)
    assert archive("retention", "apply", "9") == 2
    for wrong in ("0", "1.1", "much"):
        assert archive("retention", "plan", "--app", name, "--max-share", wrong) == 2
    assert archive("retention", "plan", "--app", name, "--today", "yesterday") == 2
    assert archive.count("requests") == 0


def test_cut_offs_are_no_earlier_than_the_ends_of_terms() -> None:
    """Nothing before the cut-off is still within its term, and at most a day that is over has to wait."""
    days = [date(2023, 1, 1) + timedelta(days=number) for number in range(0, 1_500, 7)]
    days += [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2025, 2, 28), date(2025, 3, 1)]
    for today in days:
        for term in ("1y", "4y", "5y", "1d", "365d", "1826d"):
            cutoff = datetime.fromtimestamp(terms.cutoff_ms(today, term) / 1000, UTC)
            begins = datetime(today.year, today.month, today.day, tzinfo=UTC)
            last = cutoff - timedelta(milliseconds=1)
            assert ends(last, term) <= begins, (today, term)
            assert ends(cutoff + timedelta(days=1), term) >= begins, (today, term)
    assert terms.cutoff_ms(date(2026, 11, 29), "1000y") < 0
    assert terms.cutoff_ms(date(2026, 11, 29), "365250d") < 0


@pytest.mark.parametrize(
    ("least", "most", "floor"),
    [
        (None, None, None),
        ("5y", None, None),
        (None, "1y", "2025-11-29"),
        ("1y", "2y", "2024-11-29"),
        ("2y", "1y", "2024-11-29"),
    ],
)
def test_what_has_to_stay_goes_before_what_may(least: str | None, most: str | None, floor: str | None) -> None:
    """The rows of the table of precedence that know neither hold nor erasure; the last pair cannot be set."""
    found = terms.floor_ms(RetentionTerms(least, most), date(2026, 11, 29))
    assert found == (None if floor is None else int(datetime.fromisoformat(floor + "T00:00Z").timestamp() * 1000))


def test_with_evidence_a_run_waits_for_a_verification_that_found_nothing(begun: Archive) -> None:
    archive, database = begun, begun.database
    assert archive("pull") == 0
    store, settings = open_database(database), load(archive.config, {})
    with store.write() as tx:
        terms_in_force.add(tx, 1, RetentionTerms("1d"), reason="law", who="a")
        shorter = {"app_id": 1, "keep_at_least": None, "keep_at_most": "1d"}
        before = {"before": {"keep_at_least": "1d", "keep_at_most": None}}
        number = approved(tx, "shorten", shorter | before)
        terms_in_force.add(tx, 1, RetentionTerms(None, "1d"), reason="law", who="a", request_id=number)
    planned = expiry.plan(store, RunWish(archive.server.app, Decimal(1)), Asker("alice"))
    with store.write() as tx:
        approve(tx, planned.request.number)

    def run() -> int:
        server_ms = int(time.time() * 1000)
        return expiry.apply(
            store, settings, planned.request.number, "bob", server_ms=lambda: server_ms, stop=Event()
        ).in_all

    with pytest.raises(DeletionStopped, match="was not verified lately"):
        run()
    old = datetime.now(UTC) - timedelta(days=40)
    columns = "INSERT INTO scrubs (began_at, position, ended_at, differences, program)"
    for at, differences, says in ((old, 0, "not verified lately"), (datetime.now(UTC), 1, "found differences")):
        text = at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        database.run(f"{columns} VALUES ('{text}', 0, '{text}', {differences}, 'x')")
        with pytest.raises(DeletionStopped, match=says):
            run()
    assert archive.count("tombstones") == 0
    database.run("DELETE FROM scrubs WHERE program = 'x'")
    assert archive("evidence", "verify") == 0
    assert run() == planned.would.messages > 0
    assert archive("evidence", "seal") == 0
    assert archive("evidence", "verify") == 0, archive.output
    store.dispose()
