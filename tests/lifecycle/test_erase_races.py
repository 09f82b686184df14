"""An erasure beside what stores: a pull that brings the very message at that moment, a download that ends behind it.

A sample of schedules; `ARCHIVER_SCHEDULES=300` runs more of them.
"""

from __future__ import annotations

import hashlib
import os
import random
from threading import Thread, current_thread
from typing import Any

import pytest

from archiver.store import erasure, pages, windows
from archiver.store.apps import SourceKey
from archiver.store.burying import Burial
from archiver.store.engine import Store
from archiver.store.schema import metadata
from archiver.store.windows import Claim
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.store import ORIGIN, claimed, page_of, record
from tests.lifecycle.test_schedules import watched

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")
SCHEDULES = int(os.environ.get("ARCHIVER_SCHEDULES", "12"))
SECRET = "the number 7731"


class Meeting:
    """An erasure and the transaction of a page that offers its messages: one of them begins at a statement of the
    other, which then goes on for as long as `patience_s`, or until the other one is done."""

    def __init__(self, store: Store, claim: Claim, number: int, draw: random.Random) -> None:
        self.store, self.claim, self.number = store, claim, number
        self.ids = [f"{number}-{place}" for place in range(4)]
        self.at, self.erases_first = draw.randrange(0, 30), draw.random() < 0.5
        others = [record(f"{number}-beside", "a neighbour")]
        offered = [record(one, f"{SECRET} {draw.choice(('', 'edited'))}", ORIGIN + 5) for one in self.ids]
        self.page = page_of(*draw.sample(offered + others, len(offered) + 1))
        self.patience_s = 0.02
        self.errors: list[BaseException] = []
        self.statements = 0
        self._second: Thread | None = None
        with store.write(lock="shared") as tx:
            pages.insert(windows.hold(tx, claim), [page_of(*(record(one, SECRET) for one in self.ids))], ORIGIN)
        with store.write() as tx:
            self.request = approved(tx, "erase", {}, items=self.ids)

    def erase(self) -> None:
        with self.store.write(lock="exclusive") as tx:
            erasure.erase(tx, Burial(1, self.request), self.ids, None, lambda _: None)

    def pull(self) -> None:
        with self.store.write(lock="shared") as tx:
            pages.insert(windows.hold(tx, self.claim), [self.page], ORIGIN)

    def _kept(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:
            self.errors.append(error)

    def run(self) -> bool:
        """Whether the second began while the first was at work."""
        works = (self.erase, self.pull) if self.erases_first else (self.pull, self.erase)
        first, second = (Thread(target=self._kept, args=(work,)) for work in works)

        def step() -> None:
            self.statements += current_thread() is first
            if current_thread() is first and self.statements == self.at + 1:
                self._second = second
                second.start()
                second.join(self.patience_s)

        with watched(self.store, step):
            first.start()
            first.join()
        met = self._second is not None
        if not met:
            second.start()
        second.join()
        return met


def left(database: Database, words: str) -> set[str]:
    """The tables in which these words stand."""
    tables = [table.name for table in metadata.sorted_tables]

    def shown(value: Any) -> str:
        return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value)

    return {
        name for name in tables for row in database.rows(f"SELECT * FROM {name}") if words in " ".join(map(shown, row))
    }


def meet(store: Store, key: SourceKey, seed: int, count: int, patience_s: float = 0.02) -> tuple[int, list[Meeting]]:
    claim, draw = claimed(store, key), random.Random(seed)
    meetings = [Meeting(store, claim, number, draw) for number in range(count)]
    for meeting in meetings:
        meeting.patience_s = patience_s
    return sum(meeting.run() for meeting in meetings), meetings


def test_nothing_is_stored_again_by_a_pull_at_the_moment_of_the_erasure(
    store: Store, key: SourceKey, database: Database
) -> None:
    met, meetings = meet(store, key, 71, SCHEDULES)
    assert [meeting.errors for meeting in meetings if meeting.errors] == []
    assert met >= len(meetings) // 3
    assert {meeting.erases_first for meeting in meetings} == {True, False}
    assert left(database, SECRET) == set()
    erased = "SELECT count(*) FROM messages WHERE withheld = 2 AND sender IS NULL"
    assert database.value(erased) == 4 * len(meetings)
    assert database.value("SELECT count(*) FROM messages WHERE withheld IS NULL") == len(meetings), "the neighbours"
    assert database.value("SELECT count(*) FROM message_revisions") == 0
    assert database.value("SELECT count(*) FROM pages WHERE received <> new + known + changed + quarantined") == 0
    hashes = {row[0] for row in database.rows("SELECT sha256 FROM pages")}
    assert not hashes & {hashlib.sha256(b"".join(one.raw for one in meeting.page.messages)).hexdigest()
                         for meeting in meetings}  # fmt: skip


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_something_would_be_without_the_lock(store: Store, key: SourceKey, database: Database) -> None:
    """A control: the same pages, stored without the archive's lock; triggers do not look at what is added."""
    whole = store.write

    def hasty(**options: Any) -> Any:
        return whole(**{name: value for name, value in options.items() if name != "lock"})

    store.write = hasty  # type: ignore[method-assign]
    for table in ("messages", "message_bodies", "message_revisions", "revision_bodies", "tombstones"):
        database.run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    _, meetings = meet(store, key, 71, 24, patience_s=10.0)
    assert left(database, SECRET) - {"quarantine"} != set()
    assert meetings
