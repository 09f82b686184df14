"""Ways in which the product could be wrong, as patches: the suite must notice each. `make mutants` tells what does.

Never a switch in the product: each function here changes one decision from outside, as a careless edit would.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from archiver import timeline as arithmetic
from archiver.errors import AnswerUnusable, DatabaseRefused
from archiver.model import MINUTE_MS, Page, Step, Tally, Window
from archiver.pull.walk import WindowWalker
from archiver.sources.easemob import cursor
from archiver.sources.easemob.cursor import CursorSource
from archiver.sources.listing import ListingCheck
from archiver.store import pages, runs, watermarks, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.schema import FATES, messages
from archiver.store.schema import windows as window_rows
from archiver.store.watermarks import Watermark
from archiver.store.windows import Claim, Held
from tests.fixtures.databases import Database
from tests.proof import scenarios
from tests.proof import world as worlds
from tests.proof.mutant_kinds import MUTANT_KINDS
from tests.proof.oracles import ESCAPED, Falsified
from tests.proof.provider import Nature, Trouble
from tests.proof.wide import WidePlan, WideWorld
from tests.proof.world import Mishaps, Plan, World

Patch = pytest.MonkeyPatch


class Mutant(NamedTuple):
    """`plan`: worlds of this kind kill it soon; `scenario`: the deterministic test that kills it."""

    name: str
    apply: Callable[[Patch], None]
    plan: Plan | None = None
    scenario: Callable[[Databases], None] | None = None
    kind: str = ""
    """Wider worlds of this kind kill it."""
    seeds: tuple[int, ...] = ()
    """Of its wider worlds: one that is known to kill it, and some more."""
    dies_by: tuple[type[Exception], ...] = ()
    """Errors that show what is wrong with it. Any other shows that the patch fits the product no longer."""


def _everywhere(patch: Patch, original: object, mutated: object) -> None:
    """Put one function in the place of another, under whatever name the product's modules know it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("archiver"):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    patch.setattr(module, attribute, mutated)


def exclusive_resume(patch: Patch) -> None:
    original = CursorSource.walk

    def walk(self: CursorSource, window: Window, *, resume_ms: int | None, **ways: Any) -> Iterator[Step]:
        return original(self, window, resume_ms=None if resume_ms is None else resume_ms + 1, **ways)

    patch.setattr(CursorSource, "walk", walk)


def no_settle(patch: Patch) -> None:
    _everywhere(patch, arithmetic.due_until, lambda now_ms, _lag_ms: now_ms)


def client_clock(patch: Patch) -> None:
    _everywhere(patch, arithmetic.trusted_now, lambda _server, _database: worlds.running[-1].clock.client_ms())


def clock_at_the_walks_end(patch: Patch) -> None:
    original = WindowWalker._commit

    def commit(self: WindowWalker, lot: Sequence[Step]) -> None:
        self.walk0_ms = None
        original(self, lot)

    patch.setattr(WindowWalker, "_commit", commit)


def _stop_where(patch: Patch, ends: Callable[[CursorSource, Page], bool]) -> None:
    original = CursorSource._next

    def following(self: CursorSource, query: dict[str, str], sent: str | None = None) -> tuple[Page, str | None]:
        page, found = original(self, query, sent)
        return page, None if ends(self, page) else found

    patch.setattr(CursorSource, "_next", following)


def stop_on_a_short_page(patch: Patch) -> None:
    _stop_where(patch, lambda source, page: page.received < source.page_size)


def stop_on_an_empty_page(patch: Patch) -> None:
    _stop_where(patch, lambda _, page: page.received == 0)


def cursor_reused_after_a_restart(patch: Patch) -> None:
    walk, following = CursorSource.walk, CursorSource._next
    saved: dict[tuple[int, int], str | None] = {}
    walked: dict[int, tuple[int, int]] = {}
    restarted: set[int] = set()

    def walk_on(self: CursorSource, window: Window, *, resume_ms: int | None, **ways: Any) -> Iterator[Step]:
        walked[id(self)] = (id(worlds.running[-1]), window.hi_ms)
        if resume_ms is not None:
            restarted.add(id(self))
        yield from walk(self, window, resume_ms=resume_ms, **ways)

    def follow(self: CursorSource, query: dict[str, str], sent: str | None = None) -> tuple[Page, str | None]:
        if id(self) in restarted and id(self) in walked:
            restarted.remove(id(self))
            sent = sent or saved.get(walked[id(self)])
        page, found = following(self, query, sent)
        if id(self) in walked:
            saved[walked[id(self)]] = found
        return page, found

    patch.setattr(CursorSource, "walk", walk_on)
    patch.setattr(CursorSource, "_next", follow)


def order_unchecked(patch: Patch) -> None:
    original = ListingCheck._see

    def see(self: ListingCheck, timestamp_ms: int) -> None:
        original(self, timestamp_ms)
        self.ordered = True

    patch.setattr(ListingCheck, "_see", see)


def _watermark_by(patch: Patch, until: Callable[[Tx, SourceKey], int | None]) -> None:
    original = watermarks.move

    def move(tx: Tx, key: SourceKey, held: Watermark) -> Watermark:
        moved = original(tx, key, held)
        until_ms = until(tx, key)
        if until_ms is not None and until_ms > held.complete_until_ms:
            moved = moved._replace(complete_until_ms=until_ms)
            watermarks._save(tx, key, moved)
        return moved

    patch.setattr(watermarks, "move", move)


def watermark_is_the_latest_closed(patch: Patch) -> None:
    w = window_rows.c
    query = sa.select(sa.func.max(w.hi_ms)).where(w["pass"] == 1, w.state == "closed")
    _watermark_by(patch, lambda tx, _: tx.conn.scalar(query))


def watermark_is_the_latest_stamp(patch: Patch) -> None:
    _watermark_by(patch, lambda tx, _: tx.conn.scalar(sa.select(sa.func.max(messages.c.timestamp_ms))))


def garbage_taken_for_an_empty_page(patch: Patch) -> None:
    original = cursor.read_page

    def read_page(answer: cursor.PageAnswer) -> tuple[Page, str | None]:
        try:
            return original(answer)
        except AnswerUnusable:
            return Page((), (), answer.date_ms, ""), None

    patch.setattr(cursor, "read_page", read_page)


def state_before_rows(patch: Patch) -> None:
    def commit(self: WindowWalker, lot: Sequence[Step]) -> None:
        (step,), context, claim = lot, self.context, self.claim
        with context.store.write() as tx:
            held = windows.hold(tx, claim)
            if self.walk0_ms is None:
                self.walk0_ms = self._walk0(tx, step)
            windows.advance(
                held,
                Tally(),
                pages=1,
                walk0_ms=self.walk0_ms,
                progress_ms=step.progress_ms,
                lease_ms=context.lease_ms,
            )
            if step.end and self._settled():
                self._end(held, step)
        with context.store.write() as tx:
            tally = pages.insert(Held(tx, claim), [step.page], self.walk0_ms)[0]
            counted = {
                name: window_rows.c[name] + getattr(tally, name) for name in (*FATES, "outside", "bodies", "late")
            }
            tx.conn.execute(window_rows.update().where(window_rows.c.id == claim.id).values(counted))
            runs.advance(tx, context.run, tally, pages=1)
        self.claim = claim._replace(pages=claim.pages + 1)
        self.progress_ms = step.progress_ms
        context.count(tally)

    patch.setattr(WindowWalker, "_commit", commit)


def _unfenced(tx: Tx, claim: Claim, **_: bool) -> Held:
    return Held(tx, claim)


def no_fence(patch: Patch) -> None:
    patch.setattr(windows, "hold", _unfenced)


def fence_checked_outside_the_page_transaction(patch: Patch) -> None:
    hold, commit = windows.hold, WindowWalker._commit
    checked: set[tuple[int, int]] = set()

    def hold_unless_checked(tx: Tx, claim: Claim, **exactly: bool) -> Held:
        return Held(tx, claim) if (claim.id, claim.fence) in checked else hold(tx, claim, **exactly)

    def check_and_commit(self: WindowWalker, lot: Sequence[Step]) -> None:
        mine = (self.claim.id, self.claim.fence)
        with self.context.store.write() as tx:
            hold(tx, self.claim)
        checked.add(mine)
        try:
            commit(self, lot)
        finally:
            checked.discard(mine)

    patch.setattr(windows, "hold", hold_unless_checked)
    patch.setattr(WindowWalker, "_commit", check_and_commit)


def watermark_without_the_lock(patch: Patch) -> None:
    patch.setattr(watermarks, "lock", watermarks.read)


# What they are held against.


NewDatabase = Callable[[], contextlib.AbstractContextManager[Database]]


class Databases(NamedTuple):
    """Make migrated, empty archives of each kind."""

    sqlite: NewDatabase
    postgres: NewDatabase


def zombies(databases: Databases) -> None:
    for number in (3, 4):
        with databases.sqlite() as database:
            scenarios.pause_at_request(database, number)


def pauses(databases: Databases) -> None:
    for number in range(4, 11):
        with databases.sqlite() as database:
            scenarios.pause_at_transaction(database, number, heir_dies=True)


def crashes(databases: Databases) -> None:
    with databases.sqlite() as database:
        names = scenarios.names_of_points(database)
    for at in [at for at, name in enumerate(names) if name == "after COMMIT"]:
        with databases.sqlite() as database:
            scenarios.crash_at(database, at)


def neighbours(databases: Databases) -> None:
    with databases.postgres() as database:
        scenarios.close_neighbours(database)


def _plan(**ways: Any) -> Plan:
    """Worlds in which one kind of trouble is met again and again."""
    usual: dict[str, Any] = {"nature": Nature(), "page_size": 3, "messages": 30, "pulls": 4}
    return Plan(**(usual | ways))


_RESTARTS = _plan(mishaps=Mishaps(crash=0.1), every_ms=(15 * MINUTE_MS,))
_RUSH = _plan(
    trouble=Trouble({"slow": 0.8}, first_answer_ahead_ms=60_000),
    settle_ms=2 * MINUTE_MS,
    span_ms=10 * MINUTE_MS,
    every_ms=(MINUTE_MS,),
    pulls=10,
    messages=80,
)

MUTANTS = (
    Mutant("exclusive resume", exclusive_resume, _RESTARTS),
    Mutant(
        "no settle", no_settle, _plan(settle_ms=2 * MINUTE_MS, every_ms=(MINUTE_MS,), pulls=8, span_ms=10 * MINUTE_MS)
    ),
    Mutant("client clock", client_clock, _plan(settle_ms=2 * MINUTE_MS, client_offset_ms=20 * MINUTE_MS)),
    Mutant("clock at the walk's end", clock_at_the_walks_end, _RUSH),
    Mutant("stop on a short page", stop_on_a_short_page, _plan(trouble=Trouble({"short_page": 0.3}))),
    Mutant("stop on an empty page", stop_on_an_empty_page, _plan(trouble=Trouble({"empty_page": 0.3}))),
    Mutant(
        "cursor reused after a restart",
        cursor_reused_after_a_restart,
        replace(_RESTARTS, nature=Nature(cursors="offset")),
    ),
    Mutant("order unchecked", order_unchecked, _plan(nature=Nature(lower_only=True, order="descending"))),
    Mutant(
        "W = max(closed)",
        watermark_is_the_latest_closed,
        replace(_RESTARTS, one_host=False, every_ms=(MINUTE_MS,), pulls=8),
    ),
    Mutant("W = max(timestamp)", watermark_is_the_latest_stamp, _plan()),
    Mutant(
        "garbage 200 taken for an empty page", garbage_taken_for_an_empty_page, _plan(trouble=Trouble({"garbage": 0.3}))
    ),
    Mutant("state before rows", state_before_rows, _RESTARTS, crashes),
    Mutant("no fence", no_fence, _plan(mishaps=Mishaps(other_process=0.2)), zombies, dies_by=(DatabaseRefused,)),
    Mutant(
        "fence checked outside the page transaction",
        fence_checked_outside_the_page_transaction,
        scenario=pauses,
    ),
    Mutant("watermark computed without the lock", watermark_without_the_lock, scenario=neighbours),
)


def killed_by_world(mutant: Mutant, seed: int, plan: Plan | None = None) -> str:
    """What a world says to a mutant: the oracle that does not hold; empty where it notices nothing."""
    return _killed(mutant, lambda: World(seed, None if plan is None else deepcopy(plan)).run())


def killed_by_wide_world(mutant: Mutant, seed: int) -> str:
    """The same of a wider world of its kind."""
    return _killed(mutant, lambda: wide_world(mutant.kind, seed).run())


def wide_world(kind: str, seed: int) -> WideWorld:
    """A wider world of a kind, whatever other kinds there are."""
    return WideWorld(seed, lambda draw, _: _of_kind(kind, draw))


def _of_kind(kind: str, draw: random.Random) -> WidePlan:
    plan = MUTANT_KINDS[kind](draw)
    plan.kind = kind
    return plan


def _killed(mutant: Mutant, run: Callable[[], object]) -> str:
    """The oracle that kills; an error only where the mutant may die by it, or one that fits no more would look dead."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.apply(patch)
        try:
            run()
        except Falsified as found:
            escaped = found.__context__
            if found.oracle != ESCAPED or isinstance(escaped, mutant.dies_by):
                return found.oracle
            raise Unfit(mutant.name) from escaped
        except mutant.dies_by as error:
            return type(error).__name__
        except Exception as error:
            raise Unfit(mutant.name) from error
    return ""


class Unfit(Exception):
    """A mutant died by its own hand: its patch must be made to fit the product again."""


def killed_by_scenario(mutant: Mutant, databases: Databases) -> str:
    """What its scenario says to a mutant: an oracle, or an assertion of the scenario's own."""
    assert mutant.scenario is not None
    with pytest.MonkeyPatch.context() as patch:
        mutant.apply(patch)
        try:
            mutant.scenario(databases)
        except AssertionError as error:
            if not isinstance(error, Falsified) and _raised_in(error) not in SCENES:
                raise Unfit(mutant.name) from error
            return str(error).split(" does not hold")[0].splitlines()[0]
    return ""


SCENES = tuple(f"tests.proof.{name}" for name in ("scenarios", "scene"))


def _raised_in(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals["__name__"])
