"""Holds that are placed while a run deletes: what was there when `hold add` returned is there for good.

A sample of schedules; `ARCHIVER_SCHEDULES=1000` runs more of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread, current_thread
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archiver.lifecycle import holds as placing
from archiver.store import expiring, floors, holds, pages, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.expiring import TermOver
from archiver.store.holds import HELD, HoldCriteria
from archiver.store.read.filters import Filter
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.store import ORIGIN, claimed, page_of, record

SCHEDULES = int(os.environ.get("ARCHIVER_SCHEDULES", "12"))
PAGES, PERSONS = 3, ("ann", "bob", "cem")
FLOOR = ORIGIN + 1_000
AT_ONCE = 50
"""Schedules in one archive: every hold stays, and is asked for."""


def said(number: int, draw: random.Random) -> list[str]:
    """The pages of one schedule: persons of its own write in a group of its own."""
    rows = []
    for place in range(PAGES * 4):
        sender = f"{draw.choice(PERSONS)}{number}"
        text = record(f"{number}-{place}", stamp=ORIGIN + place)
        text = text.replace('"from": "a"', f'"from": "{sender}"').replace('"to": "b"', f'"to": "g{number}"')
        rows.append(text.replace('"chat_type": "chat"', '"chat_type": "groupchat"'))
    return rows


class Schedule:
    """A run over some pages, and a hold that somebody begins to place at one of its statements."""

    def __init__(self, store: Store, number: int, first_page: int, request: int, draw: random.Random) -> None:
        self.store, self.number, self.first_page, self.request = store, number, first_page, request
        self.at = draw.randrange(0, 60)
        person = f"{draw.choice(PERSONS)}{number}"
        self.covered = draw.choice(
            (
                HoldCriteria(Filter(sender=person)),
                HoldCriteria(participant=person),
                HoldCriteria(Filter(conversation=f"g{number}", from_ms=ORIGIN + draw.randrange(6))),
            )
        )
        self.gives_way = draw.random() < 0.7
        """Between two transactions; SQLite lets whoever comes first have the next one."""
        self.kept: set[str] = set()
        self.statements = 0
        self.patience_s = 0.02
        """So long the run waits for the hold, which waits for the lock."""
        self.errors: list[BaseException] = []
        self._placer: Thread | None = None

    def place(self) -> None:
        try:
            placed = placing.add(self.store, "x", self.covered, case_id="K", reason="y", who="me")
            rows = f"(SELECT * FROM holds_in_force WHERE hold_id = {placed.hold_id})"
            with self.store.read() as tx:  # a run that goes on may take none of these
                query = f"SELECT m.msg_id FROM messages m WHERE {HELD.replace('{holds}', rows)}"
                self.kept = set(tx.conn.scalars(sa.text(query)))
        except BaseException as error:
            self.errors.append(error)

    def delete(self) -> None:
        try:
            for page_id in range(self.first_page, self.first_page + PAGES):
                with self.store.write(lock="exclusive") as tx:
                    expiring.expire(tx, TermOver(1, FLOOR), self.request, [page_id])
                if self._placer is not None and self.gives_way:
                    self._placer.join(10.0)
        except BaseException as error:
            self.errors.append(error)

    def step(self, deleting: Thread) -> None:
        """At a statement of the run."""
        if current_thread() is not deleting:
            return
        self.statements += 1
        if self.statements == self.at + 1:
            self._placer = Thread(target=self.place)
            self._placer.start()
            self._placer.join(self.patience_s)

    def run(self) -> bool:
        """Whether the hold was begun while the run was at work."""
        deleting = Thread(target=self.delete)
        with watched(self.store, lambda: self.step(deleting)):
            deleting.start()
            deleting.join()
        during = self._placer is not None
        if self._placer is None:
            self.place()
        else:
            self._placer.join()
        assert not self.errors, (self.number, self.errors)
        return during


@contextmanager
def watched(store: Store, step: Any) -> Iterator[None]:
    def at(*_: Any) -> None:
        step()

    sa.event.listen(store.engine, "before_cursor_execute", at)
    yield
    sa.event.remove(store.engine, "before_cursor_execute", at)


def filled(store: Store, key: SourceKey, numbers: range, draw: random.Random) -> tuple[int, list[int]]:
    """Pages of all schedules, stored before the floor is set; gives the request and the first page of each."""
    claim, firsts = claimed(store, key), []
    for number in numbers:
        rows = said(number, draw)
        with store.write(lock="shared") as tx:
            arrived = [page_of(*rows[place::PAGES]) for place in range(PAGES)]
            pages.insert(windows.hold(tx, claim), arrived, ORIGIN)
            firsts.append(int(tx.conn.scalar(sa.text("SELECT max(id) FROM pages")) or 0) - PAGES + 1)
    with store.write(lock="exclusive") as tx:
        request = approved(tx, "retention", {"app_id": 1, "floor_ms": FLOOR})
        floors.lower(tx, 1, FLOOR, request)
    return request, firsts


def lost(database: Database, schedules: list[Schedule]) -> list[str]:
    there = {row[0] for row in database.rows("SELECT msg_id FROM messages")}
    return sorted(msg_id for schedule in schedules for msg_id in schedule.kept - there)


@pytest.mark.parametrize("first", range(0, SCHEDULES, AT_ONCE))
def test_nothing_is_lost_that_a_hold_kept_when_it_was_placed(
    store: Store, key: SourceKey, database: Database, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    draw = random.Random(20 + first)
    numbers = range(min(SCHEDULES - first, AT_ONCE))
    request, firsts = filled(store, key, numbers, draw)
    schedules = [Schedule(store, number, firsts[number], request, draw) for number in numbers]
    during = sum(schedule.run() for schedule in schedules)
    assert during >= len(schedules) // 4
    assert lost(database, schedules) == []
    assert sum(len(schedule.kept) for schedule in schedules) > 0
    gone = int(database.value("SELECT count(*) FROM tombstones"))
    assert gone > 0
    with store.read() as tx:
        assert holds.next_id(tx) == len(schedules) + 1


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_same_would_be_lost_without_the_lock_and_the_triggers(
    store: Store, key: SourceKey, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: a run that looks before it has the lock, on an archive whose triggers are off."""
    for table in ("messages", "message_bodies", "message_revisions", "revision_bodies", "tombstones"):
        database.run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    monkeypatch.setattr(holds, "note", lambda _: None)  # which takes the lock as well
    draw = random.Random(20)
    request, firsts = filled(store, key, range(12), draw)
    whole, unlocked = store.write, store.write
    schedules = [Schedule(store, number, firsts[number], request, draw) for number in range(12)]
    for schedule in schedules:
        schedule.patience_s = 10.0

    def hasty(**options: Any) -> Any:
        return unlocked(**{name: value for name, value in options.items() if name != "lock"})

    monkeypatch.setattr(store, "write", hasty)
    for schedule in schedules:
        schedule.run()
    monkeypatch.setattr(store, "write", whole)
    assert lost(database, schedules) != []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_run_at_repeatable_read_is_refused(store: Store, key: SourceKey) -> None:
    """It would not see a hold that was placed while it waited for the lock."""
    request, _ = filled(store, key, range(1), random.Random(1))
    with store.engine.connect() as conn, conn.execution_options(archiver_begin="IMMEDIATE").begin():
        conn.exec_driver_sql("ROLLBACK")
        conn.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(DBAPIError, match="READ COMMITTED"):
            expiring.expire(Tx(conn, None), TermOver(1, FLOOR), request, [1])
