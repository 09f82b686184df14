"""One simulated world: a provider with a nature and its troubles, and the product pulling from it for hours or days.

The product's own `Pull`, `CursorSource` and store run here, on SQLite in memory; the world only turns the clock,
lets processes crash, pause and meet, and asks the oracles after every commit and every pull. A world is made of its
seed alone, so that a failing one can be run again.
"""

from __future__ import annotations

import json
import logging
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from threading import Event
from typing import Any

import sqlalchemy as sa

from archiver.errors import DatabaseUnavailable, UsageError
from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Pass, Step, Window
from archiver.pull import plan as planning
from archiver.pull.run import Outcome, Pull, PullOptions
from archiver.sources.easemob.cursor import CursorSource
from archiver.store import apps
from archiver.store import owner as leases
from archiver.store.admin import migrate
from archiver.store.engine import Store, Tx, open_store
from archiver.store.postgres import ArchiveLock
from tests.proof.oracles import Oracles
from tests.proof.provider import RATES, YEARS_MS, Clock, Nature, Provider, Record, Trouble
from tests.proof.sealed import EVERY, SealedWorld

APP = "proof#world"
START_MS = 1_793_000_000_000
LEASE_MS = 180 * SECOND_MS
TIMES_TO_COMPLETE = 60


running: list[World] = []
"""The world that is being run: a mutant asks it for the clock that it takes for the true one."""


class Crash(BaseException):
    """The process is gone: nothing of the product may catch this."""


@dataclass(frozen=True, slots=True)
class Mishaps:
    """How often, at the points where a process may meet its fate; rates for each such point."""

    crash: float = 0.0
    database_error: float = 0.0
    lost_reply: float = 0.0
    other_process: float = 0.0
    terminated: float = 0.0


@dataclass(slots=True)
class Plan:
    """What a world is made of; drawn from its seed, or set by a test."""

    nature: Nature
    trouble: Trouble = field(default_factory=Trouble)
    mishaps: Mishaps = field(default_factory=Mishaps)
    page_size: int = 10
    settle_ms: int = SECOND_MS
    audits_ms: tuple[int, ...] = ()
    span_ms: int = HOUR_MS
    every_ms: tuple[int, ...] = (10 * MINUTE_MS,)
    pulls: int = 2
    messages: int = 0
    database_offset_ms: int = 0
    client_offset_ms: int = 0
    late_share: float = 0.0
    later_settle_ms: int = 0
    patient: bool = False
    one_host: bool = True
    backfill_ms: int = 0
    audits_asked: bool = False


class SimulatedStore(Store):
    """The product's store, with a fate at each border of its write transactions."""

    def __init__(self, engine: sa.Engine, world: World) -> None:
        super().__init__(engine, clock=world.database_ms)
        self.world = world

    @contextmanager
    def write(self, *, durable: bool = True, lock: ArchiveLock | None = None) -> Iterator[Tx]:
        self.world.before_transaction()
        with super().write(lock=lock) as tx:
            self.world.in_transaction = True
            try:
                yield tx
                self.world.before_commit()
            finally:
                self.world.in_transaction = False
        self.world.after_commit()


@dataclass(frozen=True, slots=True)
class WatchedSource(CursorSource):
    """The product's source; notes for each walk that came to its end whether its rows came in order."""

    walks: list[bool] = field(default_factory=list)

    def walk(
        self,
        window: Window,
        *,
        resume_ms: int | None,
        order_trusted: bool,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Step]:
        inside = Window(window.lo_ms if resume_ms is None else resume_ms, window.hi_ms)
        seen: set[str] = set()
        highest_ms, ordered = inside.lo_ms, True
        for step in CursorSource.walk(self, window, resume_ms=resume_ms, order_trusted=order_trusted):
            for message in step.page.messages:
                if message.msg_id not in seen and inside.lo_ms <= message.timestamp_ms < inside.hi_ms:
                    ordered = ordered and message.timestamp_ms >= highest_ms
                    highest_ms = max(highest_ms, message.timestamp_ms)
                seen.add(message.msg_id)
            if step.end:
                self.walks.append(ordered)
            yield step
            if step.end:
                return
        self.walks.append(ordered)


@cache
def _template() -> tuple[sa.Engine, sqlite3.Connection]:
    """One engine for all worlds, so that statements are compiled once; and an empty, migrated archive."""
    store = open_store("sqlite://")
    migrate.upgrade(store)
    empty = sqlite3.connect(":memory:")
    _raw(store.engine).backup(empty)
    return store.engine, empty


def _raw(engine: sa.Engine) -> sqlite3.Connection:
    with engine.connect() as conn:
        found = conn.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def _new_database() -> tuple[sa.Engine, sqlite3.Connection]:
    engine, empty = _template()
    engine.dispose()  # a memory database lives as long as its connection
    raw = _raw(engine)
    empty.backup(raw)
    return engine, raw


class World:
    """The whole of one world; `run` raises Falsified where the product breaks its word."""

    def __init__(self, seed: int, plan: Plan | None = None) -> None:
        self.seed = seed
        self.draw = random.Random(seed)
        self.plan = plan or draw_plan(self.draw)
        self.in_transaction = False
        self.calm = False
        self.counts = dict.fromkeys(
            ("pulls", "crashes", "lost replies", "database errors", "zombies", "terminated", "requests"), 0
        )
        plan = self.plan
        self.origin_ms = START_MS
        self.settle_ms = plan.settle_ms
        self.clock = Clock(START_MS + plan.backfill_ms // 2, plan.database_offset_ms, plan.client_offset_ms)
        self.provider = Provider(self.draw, self.clock, plan.nature, plan.trouble)
        self.provider.meanwhile = self._within_request
        self.provider.keep(make_records(self.draw, plan))
        engine, self._raw = _new_database()
        self.store = SimulatedStore(engine, self)
        self.evidence = SealedWorld(seed, self.store, self.database_ms) if seed % EVERY == 0 else None
        self.oracles = Oracles(seed, self.ask, self.provider, self.settle_ms, plan.audits_ms)
        self._alive: list[str] = []
        self._dead: set[str] = set()
        self._stops: list[Event] = []
        self._processes = 0

    def database_ms(self) -> int:
        return self.clock.database_ms()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._raw.execute(sql).fetchall()

    # What befalls a process

    def _chance(self, rate: float) -> bool:
        return rate > 0 and not self.calm and self.draw.random() < rate

    def before_transaction(self) -> None:
        self.clock.now_ms += self.draw.randrange(0, 5)
        mishaps = self.plan.mishaps
        if self._chance(mishaps.crash):
            raise Crash
        if self._chance(mishaps.other_process):
            self._meanwhile()

    def before_commit(self) -> None:
        mishaps = self.plan.mishaps
        if self._chance(mishaps.crash):
            raise Crash
        if self._chance(mishaps.database_error):
            self.counts["database errors"] += 1
            raise DatabaseUnavailable("simulated: the disk is full")

    def after_commit(self) -> None:
        self.oracles.after_commit()
        mishaps = self.plan.mishaps
        if self._chance(mishaps.crash):
            raise Crash
        if self._chance(mishaps.lost_reply):
            self.counts["lost replies"] += 1
            raise DatabaseUnavailable("simulated: the commit is done, its reply lost")

    def _within_request(self) -> None:
        assert not self.in_transaction, "a request within a transaction"
        mishaps = self.plan.mishaps
        if self._chance(mishaps.crash):
            raise Crash
        if self._chance(mishaps.terminated):
            self.counts["terminated"] += 1
            self._stops[-1].set()
        if self._chance(mishaps.other_process):
            self._meanwhile()

    def _meanwhile(self) -> None:
        """This process is paused, perhaps for longer than its lease, and another one pulls."""
        if len(self._alive) > 1:
            return
        if self.draw.random() < 0.7:
            self.counts["zombies"] += 1
            self.clock.now_ms += LEASE_MS + self.draw.randrange(HOUR_MS)
        self.pull()

    # What processes do

    def pull(self, **ways: object) -> Outcome | None:
        """One pull by a process of its own; None when it crashed."""
        self._processes += 1
        self.counts["pulls"] += 1
        owner, stop, plan = f"process {self._processes}", Event(), self.plan
        self._alive.append(owner)
        self._stops.append(stop)
        passes = (Pass(1, self.settle_ms), *(Pass(pass_no, lag) for pass_no, lag in enumerate(plan.audits_ms, 2)))
        dialect, fetch = plan.nature.lower_only, self.provider.fetch_page
        source = WatchedSource(APP, passes, None, plan.page_size, dialect, fetch)
        options = PullOptions(
            origin_ms=self.origin_ms,
            lease_ms=LEASE_MS,
            patient=plan.patient and not self.calm,
            ahead=False,
            **ways,  # type: ignore[arg-type]
        )
        outcome = None
        try:
            outcome = Pull(self.store, source, options, stop=stop).run()
        except Crash:
            self.counts["crashes"] += 1
            if plan.one_host:
                self._dead.add(owner)
        except DatabaseUnavailable:
            pass  # before there was a run whose outcome could tell
        finally:
            self._alive.remove(owner)
            self._stops.remove(stop)
        clean = outcome is not None and outcome.exit_code == 0
        self.oracles.after_pull(source.walks if clean else None, whole=not self._alive)
        if self.evidence is not None:
            self.evidence.publish()
        return outcome

    def run(self) -> World:
        with self.surroundings():
            plan = self.plan
            for number in range(plan.pulls):
                self.clock.now_ms += self.draw.choice(plan.every_ms)
                if number == plan.pulls // 2:
                    self._change_settings()
                self.pull(backfill=plan.backfill_ms > 0 and number > plan.pulls // 2)
                if plan.audits_asked and self._chance(0.3):
                    self._audit()
            self._come_to_rest()
            if self.evidence is not None and (problem := self.evidence.problem_at_rest(self.ask)) is not None:
                self.oracles.fail("O17", problem)
        self.counts["requests"] = self.provider.asked
        return self

    def _change_settings(self) -> None:
        plan = self.plan
        if plan.later_settle_ms:
            self.settle_ms = plan.later_settle_ms
        if plan.backfill_ms:
            try:
                with self.store.write() as tx:
                    key = apps.find(tx, APP, "cursor")
                    if key is not None:
                        planning.request_backfill(tx, key, START_MS - plan.backfill_ms, None)
            except (Crash, DatabaseUnavailable):
                pass

    def _audit(self) -> None:
        mark = self.oracles.mark
        if mark is None or mark[1] - mark[0] < 10:
            return
        lo_ms, hi_ms = sorted(self.draw.sample(range(mark[0], mark[1]), 2))
        try:
            with self.store.write() as tx:
                key = apps.find(tx, APP, "cursor")
                assert key is not None
                pass_no = planning.plan_audit(tx, key, Window(lo_ms, hi_ms), hour_offset_ms=None)
        except (Crash, DatabaseUnavailable, UsageError):
            return
        self.pull(live=False, audit=pass_no, command="audit")

    def _come_to_rest(self) -> None:
        """The troubles end: without anybody's help the archive must become complete up to what is due."""
        self.calm = self.provider.calm = True
        plan = self.plan
        self.clock.now_ms += max(plan.audits_ms, default=0) + plan.span_ms
        for _ in range(TIMES_TO_COMPLETE):
            self.clock.now_ms += HOUR_MS + MINUTE_MS
            began_ms = min(self.clock.now_ms - 1_000, self.database_ms())
            outcome = self.pull(backfill=plan.backfill_ms > 0)
            if outcome is not None and outcome.exit_code == 0 and not self.oracles.lacking(began_ms, self.settle_ms):
                break
        else:
            lacking = self.oracles.lacking(began_ms, self.settle_ms)
            self.oracles.fail("O5", f"{lacking}; the last pull: {outcome and outcome.reason}")

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Owners are simulated processes, and the product's log goes to the oracles."""
        log = logging.getLogger("archiver.pull")
        was = leases.me, leases.dead, log.propagate, log.level
        leases.me = lambda: self._alive[-1]
        leases.dead = lambda owners: [owner for owner in owners if owner in self._dead]
        log.propagate = False
        log.setLevel(logging.ERROR)
        log.addHandler(self.oracles)
        running.append(self)
        try:
            yield
        finally:
            running.remove(self)
            log.removeHandler(self.oracles)
            leases.me, leases.dead, log.propagate, log.level = was


def draw_plan(draw: random.Random) -> Plan:
    """Most worlds have few troubles at once, so that each is met in many ways."""
    some = draw.choice((0, 1, 1, 2, 3, 4))
    rates = {name: draw.choice((0.03, 0.1, 0.3)) for name in draw.sample(RATES, some)}
    page_size = draw.choice((3, 3, 5, 7, 10, 10, 12, 20, 50))
    nature = _draw_nature(draw, page_size)
    if nature.cut_after:  # a cut is known by a page as long as the others: only where lengths mean something
        for name in ("short_page", "empty_page", "duplicates", "outside"):
            rates.pop(name, None)
    mishaps = _draw_mishaps(draw)
    if nature.order != "ascending" and draw.random() < 0.4:  # a page that looks sorted, and then a crash
        page_size, mishaps = 3, Mishaps(crash=0.05)
    settle_ms = draw.choice((1_000, 10_000, 120_000, 120_000, 300_000))
    span_ms = draw.choice((HOUR_MS, 2 * HOUR_MS, 12 * HOUR_MS, 2 * DAY_MS))
    pulls = draw.randint(2, 4)
    every = (MINUTE_MS, 5 * MINUTE_MS, 5 * MINUTE_MS, span_ms // pulls, 2 * span_ms // pulls)
    day_ahead = draw.choice((0, 0, 0, 1, 3))
    skews = (0, 0, 0, -2_000, -MINUTE_MS, -HOUR_MS) if day_ahead else (0, 0, 700, -HOUR_MS, HOUR_MS, -DAY_MS, DAY_MS)
    audits = draw.choice(((),) * 5 + ((30 * MINUTE_MS,), (2 * HOUR_MS,), (2 * HOUR_MS,), (HOUR_MS, DAY_MS)))
    plan = Plan(
        nature=nature,
        trouble=Trouble(rates, day_ahead, draw.choice((0, 0, 0, 30_000, 4 * MINUTE_MS))),
        mishaps=mishaps,
        page_size=page_size,
        settle_ms=settle_ms,
        audits_ms=audits,
        span_ms=span_ms,
        every_ms=every,
        pulls=pulls,
        messages=draw.choice((0, 10, 20, 30, 50)),
        database_offset_ms=draw.choice(skews),
        client_offset_ms=draw.choice((0, 20 * MINUTE_MS, DAY_MS, -DAY_MS)),
        late_share=draw.choice((0, 0, 0, 0.05)),
        later_settle_ms=draw.choice((0, 0, 0, 0, settle_ms * 2, settle_ms // 2)),
        patient=draw.random() < 0.3,
        one_host=draw.random() < 0.7,
        backfill_ms=draw.choice((0, 0, 0, span_ms)),
        audits_asked=draw.random() < 0.2,
    )
    return _in_a_rush(plan, draw) if draw.random() < 0.1 else plan


def _in_a_rush(plan: Plan, draw: random.Random) -> Plan:
    """Bursts at the very edge of what is due, read by small pages in long walks: where clocks and lags matter most."""
    slow = plan.trouble.rates | {"slow": 0.5}
    return replace(
        plan,
        trouble=replace(plan.trouble, rates=slow, first_answer_ahead_ms=draw.choice((0, 30_000, 60_000))),
        page_size=plan.page_size if plan.nature.cut_after else 3,
        settle_ms=120_000,
        later_settle_ms=0,
        span_ms=15 * MINUTE_MS,
        every_ms=(MINUTE_MS, 2 * MINUTE_MS),
        pulls=5,
        messages=30,
        backfill_ms=0,
    )


def _draw_nature(draw: random.Random, page_size: int) -> Nature:
    node_ms = draw.choice((0, 0, 500, 1_000))
    lower_only = draw.random() < 0.4
    order = draw.choice(("ascending",) * 5 + ("descending", "scrambled", "scrambled"))
    # Lists that are cut and disordered at once leave nothing to see the cut by: docs/proof.md names it.
    cuts = page_size >= 10 and draw.random() < 0.2 and order == "ascending"
    return Nature(
        lower_only=lower_only,
        order=order,
        order_from_ms=draw.choice((0, START_MS + HOUR_MS, START_MS + 6 * HOUR_MS)),
        cursors=draw.choice(("bound", "place", "offset")),
        eager_end=draw.random() < 0.3,
        last_cursor=draw.choice(("absent", "null", "empty")),
        cut_after=page_size * draw.randint(1, 2) if cuts else 0,
        page_rows=0 if cuts else draw.choice((0, 0, 0, 2, 30)),
        nodes_ms=(0,) if not node_ms else (-node_ms, 0, node_ms),
    )


def _draw_mishaps(draw: random.Random) -> Mishaps:
    def rate(*rates: float) -> float:
        return draw.choice((0, 0, 0, *rates))

    return Mishaps(rate(0.01, 0.05), rate(0.03), rate(0.03), rate(0.03, 0.1), rate(0.03))


def make_records(draw: random.Random, plan: Plan) -> list[Record]:
    """The truth: stamps with bursts and ties, visible within `settle`, at its very end, or (some worlds) later."""
    records: list[Record] = []
    before_ms = plan.backfill_ms + draw.choice((0, MINUTE_MS))
    sent_ms = START_MS - before_ms
    mean_ms = (plan.span_ms + before_ms) / max(plan.messages, 1)
    settle_ms = min(plan.settle_ms, plan.later_settle_ms or plan.settle_ms)
    burst = 0
    for number in range(plan.messages):
        if burst:
            burst -= 1
            sent_ms += draw.choice((0, 0, 1, 3))
        else:
            sent_ms += int(draw.expovariate(1) * mean_ms)
            burst = draw.choice((0,) * 6 + (3, 8, 20))
        stamp_ms = sent_ms + draw.choice(plan.nature.nodes_ms)
        lateness_ms = draw.choice((0, 3, draw.randrange(2_000), draw.randrange(settle_ms), settle_ms))
        lateness_ms = min(lateness_ms, settle_ms)
        if draw.random() < plan.late_share:
            lateness_ms = settle_ms + draw.randrange(1, int(1.3 * max(plan.audits_ms, default=HOUR_MS)))
        records.append(make_record(draw, number, stamp_ms, sent_ms + lateness_ms, lateness_ms))
    for odd_ms in (10 * YEARS_MS, -10 * YEARS_MS):
        if draw.random() < 0.3:
            sent_ms = START_MS + draw.randrange(plan.span_ms)
            records.append(make_record(draw, len(records), sent_ms + odd_ms, sent_ms, 0))
    return records


def make_record(draw: random.Random, number: int, stamp_ms: int, visible_ms: int, lateness_ms: int) -> Record:
    msg_id = f"{draw.getrandbits(40):x}-{number}"
    readable, edited_ms = draw.random() > 0.02, 0
    body: dict[str, object] = {"msg_id": msg_id, "timestamp": stamp_ms, "from": "a", "to": "b", "chat_type": "chat"}
    if not readable:
        body["timestamp"] = draw.choice((None, "soon", 2**70))
    raws = [json.dumps(body | {"payload": {"bodies": [{"type": "txt", "msg": f"{number}"}]}}).encode()]
    if draw.random() < 0.01:
        raws.append(json.dumps(body | {"payload": {"bodies": [{"type": "txt", "msg": "edited"}]}}).encode())
        edited_ms = visible_ms + draw.randrange(HOUR_MS)
    return Record(number, msg_id, stamp_ms, visible_ms, lateness_ms, tuple(raws), edited_ms, readable)
