"""A short, exact scene on a real database: who pulls when, where he crashes or pauses, and what must hold after it.

The scene is smaller than a world and says what happens; the oracles are the same.
"""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from archiver.model import HOUR_MS, MINUTE_MS, SECOND_MS, Pass, Window
from archiver.pull.run import Outcome, Pull, PullOptions
from archiver.sources.easemob.cursor import CursorSource
from archiver.store import owner as leases
from archiver.store.engine import Store, Tx, open_store
from archiver.store.postgres import ArchiveLock
from tests.fixtures.databases import Database
from tests.proof.oracles import Ask, Oracles
from tests.proof.provider import Clock, Nature, Provider, Trouble
from tests.proof.world import LEASE_MS, START_MS, Crash, make_record

APP = "proof#scene"
SETTLE_MS = SECOND_MS

_dialects: dict[str, sa.Dialect] = {}
_compiled: dict[Any, Any] = {}
"""Statements as each kind of database takes them: the same in each process, and half of the work of a scene."""


class Points:
    """Counts the points at which a process may die, and dies at one of them; each has a name."""

    def __init__(self, at: int | None = None, die: Callable[[], None] | None = None) -> None:
        self.at, self.names = at, list[str]()
        self._die = die or self._crash

    def reach(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) - 1 == self.at:
            self._die()

    @staticmethod
    def _crash() -> None:
        raise Crash


class PointedStore(Store):
    """The product's store, with a point before and after each statement and each commit."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], int], points: Points) -> None:
        super().__init__(engine, clock)
        self.points = points
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "commit", lambda _: points.reach("before COMMIT"))

    def _before(self, _conn: object, _cursor: object, statement: str, *_: object) -> None:
        self.points.reach(f"before {_head(statement)}")

    def _after(self, _conn: object, _cursor: object, statement: str, *_: object) -> None:
        self.points.reach(f"after {_head(statement)}")

    @contextmanager
    def write(self, *, durable: bool = True, lock: ArchiveLock | None = None) -> Iterator[Tx]:
        with super().write(lock=lock) as tx:
            yield _PointedTx(tx, self._clock, self.points)
        self.points.reach("after COMMIT")


class _PointedTx(Tx):
    """Rows are appended beside SQLAlchemy's events; their points are here."""

    __slots__ = ("points",)

    def __init__(self, tx: Tx, clock: Callable[[], int] | None, points: Points) -> None:
        super().__init__(tx.conn, clock, tx.journal)
        self.points = points

    def append(self, table: sa.Table, *rest: Any) -> None:
        self.points.reach(f"before appending to {table.name}")
        super().append(table, *rest)
        self.points.reach(f"after appending to {table.name}")


def _head(statement: str) -> str:
    words = statement.split()
    verb = words[0].upper()
    named = {"INSERT": 2, "UPDATE": 1, "SAVEPOINT": 1, "RELEASE": 1}.get(verb)
    if verb in ("SELECT", "WITH") and "FROM" in words:
        return f"SELECT FROM {words[words.index('FROM') + 1]}"
    return " ".join(words[: 1 + (named or 0)])


class Scene:
    """One app with messages at these offsets from the start, read in pages of ten."""

    def __init__(
        self,
        database: Database,
        offsets_ms: list[int],
        *,
        nature: Nature | None = None,
        ahead: bool = False,
        workers: int = 1,
    ) -> None:
        self.database, self.ahead, self.workers = database, ahead, workers
        self.clock = Clock(START_MS + HOUR_MS)
        draw = random.Random(1)
        self.provider = Provider(draw, self.clock, nature or Nature(), Trouble())
        self.provider.calm = True
        self.add(offsets_ms)
        self._ask: Ask = database.rows
        self.oracles = Oracles(0, self._rows, self.provider, SETTLE_MS, ())
        self.url = database.url.replace("postgresql://", "postgresql+psycopg://")
        self.alive: list[str] = []
        self.gone: set[str] = set()
        self._processes = 0

    def add(self, offsets_ms: list[int]) -> None:
        draw, first = random.Random(1), len(self.provider.records)
        more = [
            make_record(draw, first + number, START_MS + ms, START_MS + ms, 0) for number, ms in enumerate(offsets_ms)
        ]
        self.provider.keep([*self.provider.records, *more])

    def store(self) -> Store:
        """For a process of its own: its engine and its connections; only what it would compile is there already."""
        found = open_store(self.url, self.clock.database_ms)
        if self.database.kind not in _dialects:
            with found.engine.connect():
                _dialects[self.database.kind] = found.engine.dialect  # which knows the server now
            found.dispose()
        found.engine.dialect = _dialects[self.database.kind]
        found.engine.update_execution_options(compiled_cache=_compiled)
        return found

    def pull(self, store: Store | None = None) -> Outcome | None:
        """A pull by a process of its own; None when it crashed. What it leaves is held against the oracles."""
        self._processes += 1
        name = f"process {self._processes}"
        own = store or self.store()
        source = CursorSource(APP, (Pass(1, SETTLE_MS),), None, 10, self.provider.nature.lower_only, self.fetch_page)
        self.alive.append(name)
        try:
            options = PullOptions(origin_ms=START_MS, lease_ms=LEASE_MS, ahead=self.ahead, workers=self.workers)
            return Pull(own, source, options, stop=Event()).run()
        except Crash:
            self.gone.add(name)
            return None
        finally:
            self.alive.remove(name)
            own.dispose()
            if name in self.gone:
                gc.collect()  # a process leaves nothing open; a cursor that the exception holds would, with its lock
            self.check()

    def fetch_page(self, query: dict[str, str]) -> Any:
        return self.provider.fetch_page(query)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._ask(sql)

    def check(self) -> None:
        with self.database.reading() as self._ask:
            self.oracles.after_pull(None, whole=not self.alive)
        self._ask = self.database.rows

    def complete(self) -> None:
        """One more pull, without anybody's help, and nothing is missing and nothing there twice."""
        self.clock.now_ms += MINUTE_MS
        outcome = self.pull()
        assert outcome is not None
        assert outcome.exit_code == 0, outcome.reason
        due_ms = self.clock.now_ms - 2 * MINUTE_MS
        assert not self.oracles.lacking(due_ms, SETTLE_MS)
        truth = {row.msg_id: row for row in self.provider.records if row.stamp_ms < due_ms and row.readable}
        stored = {row[0]: bytes(row[1]) for row in self.database.rows("SELECT msg_id, raw FROM messages")}
        assert stored == {msg_id: row.raw(self.clock.now_ms) for msg_id, row in truth.items()}

    def windows(self) -> list[tuple[Window, str]]:
        rows = self.database.rows("SELECT lo_ms, hi_ms, state FROM windows WHERE pass = 1 ORDER BY lo_ms")
        return [(Window(lo_ms - START_MS, hi_ms - START_MS), state) for lo_ms, hi_ms, state in rows]

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Processes of this scene are names; the dead among them are known."""
        log = logging.getLogger("archiver.pull")
        was = leases.me, leases.dead
        leases.me = lambda: self.alive[-1]
        leases.dead = lambda owners: [owner for owner in owners if owner in self.gone]
        log.addHandler(self.oracles)
        try:
            yield
        finally:
            log.removeHandler(self.oracles)
            leases.me, leases.dead = was
