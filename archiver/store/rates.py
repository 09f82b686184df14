"""The rate budget that every process on one database shares: the last turns of a group, in one row."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

import sqlalchemy as sa

from archiver.store.engine import Store
from archiver.store.schema import rate_budgets

_REMEMBERED = 20
_QUEUE = 100
"""No queue of ours is longer; a turn that lies further ahead was booked before the clock was set back."""
_MOST_AT_ONCE, _SHARE_AT_ONCE = 16, 20
_GROUP = rate_budgets.c.rate_group == sa.bindparam("of_group")
_TURNS = sa.select(rate_budgets.c.turns).where(_GROUP).with_for_update()
_BOOK = rate_budgets.update().where(_GROUP)


_heard: ContextVar[Callable[[float], None] | None] = ContextVar("heard", default=None)


@contextmanager
def heard(tell: Callable[[float], None]) -> Iterator[None]:
    """Within the block, whoever takes a turn here or in a thread of its context tells how many seconds he waits for it.

    Who holds something by a lease lengthens that by them: a booked turn comes, and no queue is endless, so to wait for
    one is no standing still; without that a queue longer than the lease lets windows be taken from each other in a
    circle. It is booking that renews, and once for each turn, never the time that goes by.
    """
    before = _heard.set(tell)
    try:
        yield
    finally:
        _heard.reset(before)


class Budget:
    """A process's way to its turns: `count` of a group in any `period_ms`, whoever else takes some.

    Of a high rate some turns are booked at once, a twentieth of a period's: each booking is a transaction, and on
    SQLite it waits for the one that stores a page. Turns that were not taken within a period are lost. So a process
    may come a twentieth over the rate, once, after it was idle.
    """

    def __init__(self, store: Store, group: str, count: int, period_ms: int) -> None:
        self._store, self._group, self._count, self._period_ms = store, group, count, period_ms
        self._at_once = max(1, min(_MOST_AT_ONCE, count // _SHARE_AT_ONCE))
        self._lock = Lock()
        self._held: deque[float] = deque()

    def take(self) -> float:
        """Take the next turn; gives the seconds to wait for it. Raises what `heard` raises."""
        wait_s = self._next()
        if wait_s and (tell := _heard.get()) is not None:
            tell(wait_s)
        return wait_s

    def _next(self) -> float:
        with self._lock:
            while self._held and self._held[0] < time.monotonic() - self._period_ms / 1000:
                self._held.popleft()
            if not self._held:
                waits = book(self._store, self._group, self._count, self._period_ms, self._at_once)
                now = time.monotonic()
                self._held.extend(now + wait_ms / 1000 for wait_ms in waits)
            return max(0.0, self._held.popleft() - time.monotonic())


def book(store: Store, group: str, count: int, period_ms: int, turns: int = 1) -> list[int]:
    """Book the next free turns of `group`, which has `count` in any `period_ms`; gives the ms to wait for each.

    Up to 20 turns of a period may be taken at once, as the provider counts them; a higher rate is spaced evenly.
    """
    if count > _REMEMBERED:
        count, period_ms = 1, max(1, period_ms // count)
    with store.write(durable=False) as tx:
        text = tx.conn.scalar(_TURNS, {"of_group": group})
        if text is None:
            tx.conn.execute(tx.insert(rate_budgets).values(rate_group=group).on_conflict_do_nothing())
            text = tx.conn.execute(_TURNS, {"of_group": group}).scalar_one()
        now_ms = tx.now_ms()
        known = [int(turn) for turn in json.loads(text)][-count:]
        # A clock set back must not bar the group for as long as it was set back.
        known = [min(turn, now_ms + period_ms * _QUEUE // count) for turn in known]
        booked: list[int] = []
        for _ in range(turns):
            booked.append(max(now_ms, known[0] + period_ms) if len(known) == count else now_ms)
            known = [*known, booked[-1]][-count:]
        tx.conn.execute(_BOOK, {"of_group": group, "turns": json.dumps(known)})
    return [turn_ms - now_ms for turn_ms in booked]
