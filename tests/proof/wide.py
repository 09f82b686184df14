"""Wider worlds: both sources, several apps in one database, retention, changed settings, lost commits, false clocks.

The worlds of `world.py` stay what they are, by their seeds; those here are made by `kinds.py`. A world has *sides*:
one source of one app each, with a provider, settings and oracles of its own. All sides share the database, the clock
and the fates of processes.
"""

from __future__ import annotations

import logging
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

from archiver import review
from archiver.errors import DatabaseUnavailable, UsageError
from archiver.model import HOUR_MS, MINUTE_MS, Pass, Window
from archiver.pull import plan as planning
from archiver.pull.run import Outcome, Pull, PullOptions
from archiver.sources.easemob.hourly import HourAnswer, HourlySource
from archiver.store import apps
from tests.proof.claims import Claims
from tests.proof.hours import HourFiles, HourNature, HourTrouble, hour_ms
from tests.proof.oracles import ESCAPED, Falsified
from tests.proof.provider import Clock, Nature, Provider, Trouble
from tests.proof.sealed import EVERY, SealedWorld
from tests.proof.world import LEASE_MS, Crash, Mishaps, SimulatedStore, WatchedSource, World, _new_database

T0 = 1_793_491_200_000
"""A full hour of every whole zone: 2026-11-01T00:00:00Z."""

MOST_TRANSACTIONS = 3_000
"""No pull of these worlds needs as many."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says of one source; any of it may change between two runs."""

    settle_ms: int
    audits_ms: tuple[int, ...] = ()
    early_ms: int | None = None
    retention_ms: int | None = None
    page_size: int = 20
    offset_ms: int = 8 * HOUR_MS
    start_ms: int = T0


@dataclass(slots=True)
class SidePlan:
    """One source of one app. `changes`: settings that come into force at these instants."""

    app: str
    settings: Settings
    nature: HourNature | Nature
    trouble: HourTrouble | Trouble
    records: list[Any]
    changes: list[tuple[int, Settings]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return "hourly" if isinstance(self.nature, HourNature) else "cursor"


@dataclass(frozen=True, slots=True)
class Lie:
    """What a clock says for a while: "frozen", "seconds", or so many ms beside the truth."""

    from_ms: int
    until_ms: int
    says: str | int


@dataclass(slots=True)
class WidePlan:
    """What a wider world is made of."""

    kind: str
    sides: list[SidePlan]
    pulls_at: list[int]
    """The instants at which somebody pulls."""
    mishaps: Mishaps = field(default_factory=Mishaps)
    forgets: float = 0.0
    """How often, at a transaction's begin, the database falls back to an older state."""
    forgets_most: int = 5
    """At most so many commits are lost."""
    server_lies: list[Lie] = field(default_factory=list)
    database_lies: list[Lie] = field(default_factory=list)
    accepts: float = 0.0
    strays: float = 0.0
    """How often another process pulls with settings that are somebody's mistake."""
    audits: float = 0.0
    """How often somebody asks for an audit of a range."""
    patient: bool = False
    one_host: bool = True
    outage_only: bool = False
    """Nothing but an outage can keep a window from being walked: none may become stuck."""

    def told(self) -> str:
        """What a world is made of, for people: hours from T0."""

        def hours(ms: int) -> str:
            return f"{(ms - T0) / HOUR_MS:.2f}"

        lines = [self.kind, f"pulls at {', '.join(map(hours, self.pulls_at))}", str(self.mishaps)]
        lines += [f"forgets {self.forgets} {self.forgets_most}, accepts {self.accepts}, strays {self.strays}"]
        for whose, lies in (("server", self.server_lies), ("database", self.database_lies)):
            lines += [f"{whose} {lie.says} from {hours(lie.from_ms)} to {hours(lie.until_ms)}" for lie in lies]
        for side in self.sides:
            lines += [f"{side.app} {side.kind}, {len(side.records)} records", *map(str, (side.settings, side.nature))]
            lines += [str(side.trouble), *(f"from {hours(at_ms)}: {changed}" for at_ms, changed in side.changes)]
        return "\n  ".join(lines)


class Side:
    """One source of one app as it goes on in a world."""

    def __init__(self, world: WideWorld, plan: SidePlan) -> None:
        self.plan, self.settings = plan, plan.settings
        self.provider: HourFiles | Provider
        if isinstance(plan.nature, HourNature):
            assert isinstance(plan.trouble, HourTrouble)
            self.provider = HourFiles(world.draw, world.clock, plan.nature, plan.trouble)
        else:
            assert isinstance(plan.trouble, Trouble)
            self.provider = Provider(world.draw, world.clock, plan.nature, plan.trouble)
        self.provider.meanwhile = world._within_request
        self.provider.keep(plan.records)
        self.oracles = Claims(world, self)
        self.asked_ms: dict[int, list[int]] = {}
        """When an hour was asked for, by the first instant that it has for the process that asked."""

    @property
    def name(self) -> str:
        return f"{self.plan.app} {self.plan.kind}"

    def source(self, world: WideWorld, settings: Settings) -> WatchedSource | HourlySource:
        passes = (Pass(1, settings.settle_ms), *(Pass(n, lag) for n, lag in enumerate(settings.audits_ms, 2)))
        if isinstance(self.provider, Provider):
            lower = self.provider.nature.lower_only
            fetch = self.provider.fetch_page
            return WatchedSource(self.plan.app, passes, settings.retention_ms, settings.page_size, lower, fetch)
        if settings.early_ms is not None:
            passes = (Pass(0, settings.early_ms), *passes)
        return HourlySource(
            *(self.plan.app, passes, settings.retention_ms, settings.page_size, settings.offset_ms),
            *(partial(self._ask, self.provider, settings.offset_ms), self.provider.download, world.database_ms),
            clock=lambda: world.clock.now_ms / 1000,
        )

    def _ask(self, provider: HourFiles, offset_ms: int, hour: str) -> HourAnswer:
        """Ask for an hour, and note by the true time when that was."""
        self.asked_ms.setdefault(hour_ms(hour) - offset_ms, []).append(provider.clock.now_ms)
        return provider.ask_in(offset_ms, hour)


class WideWorld(World):
    """The whole of one wider world; `run` raises Falsified where the product breaks its word."""

    def __init__(self, seed: int, draw_plan: Callable[[random.Random, int], WidePlan]) -> None:
        self.seed = seed
        self.draw = random.Random(seed)
        self.in_transaction = self.calm = False
        names = "pulls", "crashes", "lost replies", "database errors", "zombies", "terminated", "requests"
        self.counts = dict.fromkeys((*names, "commits forgotten", "audits"), 0)
        self.wide = draw_plan(self.draw, seed)
        self.mishaps = self.wide.mishaps
        self.clock = Clock(self.wide.pulls_at[0] - 1)
        self.clock.told_ms = self._server_says
        engine, self._raw = _new_database()
        self.store = SimulatedStore(engine, self)
        self.evidence = SealedWorld(seed, self.store, self.database_ms) if seed % EVERY == 0 else None
        self._saved: deque[sqlite3.Connection] = deque(maxlen=self.wide.forgets_most)
        self._alive: list[str] = []
        self._dead: set[str] = set()
        self._stops: list[Event] = []
        self._processes = self._transactions = 0
        self.sides = [Side(self, plan) for plan in self.wide.sides]
        self.oracles = self.sides[0].oracles

    # Clocks

    def _lie(self, lies: list[Lie], ms: int) -> int:
        for lie in lies:
            if not self.calm and lie.from_ms <= self.clock.now_ms < lie.until_ms:
                if isinstance(lie.says, int):
                    return ms + lie.says
                return lie.from_ms if lie.says == "frozen" else ms // 1000
        return ms

    def _server_says(self, ms: int) -> int:
        return self._lie(self.wide.server_lies, ms)

    def server_lies(self) -> bool:
        """Whether the provider's clock is wrong now."""
        return self._server_says(self.clock.now_ms) != self.clock.now_ms

    def database_ms(self) -> int:
        return self._lie(self.wide.database_lies, self.clock.now_ms)

    # What befalls a process

    def before_transaction(self) -> None:
        self._transactions += 1
        if self._transactions > MOST_TRANSACTIONS:
            self.oracles.fail("O15", f"a pull does not end: {MOST_TRANSACTIONS} transactions")
        self._forget()
        self.clock.now_ms += self.draw.randrange(0, 5)
        if self._chance(self.mishaps.crash):
            raise Crash
        if self._chance(self.mishaps.other_process):
            self._meanwhile()

    def before_commit(self) -> None:
        if self._chance(self.mishaps.crash):
            raise Crash
        if self._chance(self.mishaps.database_error):
            self.counts["database errors"] += 1
            raise DatabaseUnavailable("simulated: the disk is full")

    def after_commit(self) -> None:
        for side in self.sides:
            side.oracles.after_commit()
        if self.wide.forgets and not self.calm:
            saved = sqlite3.connect(":memory:")
            self._raw.backup(saved)
            self._saved.append(saved)
        if self._chance(self.mishaps.crash):
            raise Crash
        if self._chance(self.mishaps.lost_reply):
            self.counts["lost replies"] += 1
            raise DatabaseUnavailable("simulated: the commit is done, its reply lost")

    def _forget(self) -> None:
        """The database falls back to what it was some commits ago, as a replica does that is promoted late."""
        if len(self._saved) < 2 or not self._chance(self.wide.forgets):
            return
        lost = self.draw.randrange(1, len(self._saved))
        for _ in range(lost):
            self._saved.pop()
        self._saved[-1].backup(self._raw)
        self.counts["commits forgotten"] += lost
        for side in self.sides:
            side.oracles.forget()

    def _within_request(self) -> None:
        assert not self.in_transaction, "a request within a transaction"
        if self._chance(self.mishaps.crash):
            raise Crash
        if self._chance(self.mishaps.terminated):
            self.counts["terminated"] += 1
            self._stops[-1].set()
        if self._chance(self.mishaps.other_process):
            self._meanwhile()

    def _meanwhile(self) -> None:
        """This process is paused, perhaps for longer than its lease, and another one pulls: its settings may differ."""
        if len(self._alive) > 1:
            return
        if self.draw.random() < 0.7:
            self.counts["zombies"] += 1
            self.clock.now_ms += LEASE_MS + self.draw.randrange(HOUR_MS)
        side = self.draw.choice(self.sides)
        stray = side.plan.changes and self._chance(self.wide.strays)
        self.pull_side(side, self.draw.choice(side.plan.changes)[1] if stray else None)

    # What processes do

    def pull_side(self, side: Side, settings: Settings | None = None, **ways: Any) -> Outcome | None:
        """One pull of one side by a process of its own; None when it crashed."""
        if settings is None:
            settings = self._settings_now(side)
        self._processes += 1
        self.counts["pulls"] += 1
        owner, stop = f"process {self._processes}", Event()
        self._transactions = 0
        self._alive.append(owner)
        self._stops.append(stop)
        source = side.source(self, settings)
        patient = self.wide.patient and not self.calm
        options = PullOptions(origin_ms=settings.start_ms, lease_ms=LEASE_MS, patient=patient, ahead=False, **ways)
        began = side.oracles.before_pull(settings)
        outcome = None
        try:
            outcome = Pull(self.store, source, options, stop=stop).run()
        except Crash:
            self.counts["crashes"] += 1
            if self.wide.one_host:
                self._dead.add(owner)
        except DatabaseUnavailable:
            pass  # before there was a run whose outcome could tell
        except Falsified:
            raise
        except Exception as error:  # whatever escapes a pull is a finding
            side.oracles.fail(ESCAPED, f"{type(error).__name__}: {error}")
        finally:
            self._alive.remove(owner)
            self._stops.remove(stop)
        for each in self.sides:
            each.oracles.after_pull_of(each is side, began, None if ways else outcome, source, whole=not self._alive)
        if self.evidence is not None:
            self.evidence.publish()
        return outcome

    def _settings_now(self, side: Side) -> Settings:
        due = [settings for at_ms, settings in side.plan.changes if at_ms <= self.clock.now_ms]
        found = due[-1] if due and not self.calm else side.settings
        if self.calm and isinstance(side.provider, HourFiles):  # the operator has set the zone right
            found = replace(due[-1] if due else found, offset_ms=side.provider.nature.offset_at(self.clock.now_ms))
        return found

    def run(self) -> WideWorld:
        with self.surroundings():
            for at_ms in self.wide.pulls_at:
                self.clock.now_ms = max(self.clock.now_ms, at_ms)
                for side in self.draw.sample(self.sides, len(self.sides)):
                    self.pull_side(side)
                    if self._chance(self.wide.accepts):
                        self._accept(side)
                    if self._chance(self.wide.audits):
                        self._audit_side(side)
            self._rest()
            if self.evidence is not None and (problem := self.evidence.problem_at_rest(self.ask)) is not None:
                self.oracles.fail("O17", problem)
        self.counts["requests"] = sum(side.provider.asked for side in self.sides)
        return self

    def _audit_side(self, side: Side) -> None:
        mark = side.oracles.mark
        if mark is None or mark[1] - mark[0] < 10:
            return
        settings = self._settings_now(side)
        lo_ms, hi_ms = sorted(self.draw.sample(range(mark[0], mark[1]), 2))
        offset_ms = settings.offset_ms if side.plan.kind == "hourly" else None
        try:
            with self.store.write() as tx:
                key = apps.find(tx, side.plan.app, side.plan.kind)
                assert key is not None
                pass_no = planning.plan_audit(tx, key, Window(lo_ms, hi_ms), hour_offset_ms=offset_ms)
        except (Crash, DatabaseUnavailable, UsageError):
            return
        self.counts["audits"] += 1
        outcome = self.pull_side(side, live=False, audit=pass_no, command="audit")
        if outcome is not None:
            side.oracles.check_asked(pass_no, outcome)

    def _accept(self, side: Side) -> None:
        for hole in side.oracles.holes():
            if hole[2] in ("expired", "stuck"):
                with suppress(Crash, DatabaseUnavailable):
                    try:
                        review.accept(self.store, Window(hole[0], hole[1]), "lost", "an operator", app=side.plan.app)
                    except UsageError as error:
                        side.oracles.fail("O15", f"the hole {hole} cannot be accepted: {error}")

    def _rest(self) -> None:
        """The troubles end: the archive comes to what is due, or says what it lacks, and that can be accepted."""
        self.calm = True
        for side in self.sides:
            side.provider.calm = True
        open_sides = list(self.sides)
        for number in range(40):
            self.clock.now_ms += HOUR_MS + MINUTE_MS if number < 10 else 4 * HOUR_MS
            for side in list(open_sides):
                if self._has_come_to_rest(side, number):
                    open_sides.remove(side)
            if not open_sides:
                return
        for side in open_sides:
            side.oracles.fail("O15", f"no rest: {side.oracles.lacking_now()}; {side.oracles.last_reason}")

    def _has_come_to_rest(self, side: Side, number: int) -> bool:
        outcome = self.pull_side(side)
        if outcome is not None and outcome.exit_code == 0 and not side.oracles.lacking_now():
            side.oracles.at_rest()
            return True
        if number >= 3:  # what stands as a hole by now is one
            side.oracles.check_holes()
            self._accept(side)
        return False

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        with super().surroundings():
            log = logging.getLogger("archiver.pull")
            for side in self.sides[1:]:
                log.addHandler(side.oracles)
            try:
                yield
            finally:
                for side in self.sides[1:]:
                    log.removeHandler(side.oracles)
