"""The rate budget that every process on one database shares: the last turns of a group, in one row.

So is what the provider asked for by Retry-After: who comes next, and be it from cron, does not know what it said.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

import sqlalchemy as sa

from archiver.errors import ProviderUnavailable
from archiver.model import HOUR_MS, SECOND_MS
from archiver.store.engine import Store, Tx
from archiver.store.schema import iso, rate_budgets

_REMEMBERED = 20
_QUEUE = 100
"""No queue of ours is longer; a turn that lies further ahead was booked before the clock was set back."""
_LONGEST_WAIT_MS = 10 * SECOND_MS
"""Who was asked to wait longer does not: he ends, and others may come back then."""
_LONGEST_REST_MS = HOUR_MS
"""No answer keeps a group away for longer, and no rest lies further ahead but by a clock that was set back."""
_MOST_AT_ONCE, _SHARE_AT_ONCE = 16, 20
_GROUP = rate_budgets.c.rate_group == sa.bindparam("of_group")
_RESTS = sa.select(rate_budgets.c.turns).where(_GROUP)
_TURNS = sa.select(rate_budgets.c.turns).where(_GROUP).with_for_update()
_BOOK = rate_budgets.update().where(_GROUP)


_on_wait: ContextVar[Callable[[float], None] | None] = ContextVar("on_wait", default=None)


@contextmanager
def on_wait(call: Callable[[float], None]) -> Iterator[None]:
    """Within the block, a turn taken here or in a thread of its context passes the seconds to wait for it to `call`.

    A lease is lengthened by them: a booked turn comes, and no queue is endless, so to wait for one is no standing
    still; without that a queue longer than the lease lets processes take windows from one another in a circle. It is
    booking that renews, and once per turn, never the time that goes by.
    """
    before = _on_wait.set(call)
    try:
        yield
    finally:
        _on_wait.reset(before)


class RateLimiter:
    """A process's way to its turns: `count` of a group in any `period_ms`, shared with all other processes.

    Of a high rate some turns are booked at once, a twentieth of a period's: a booking is a transaction, and on
    SQLite it waits for the one that stores a page. Turns that were not taken within a period are lost. So a process
    may come a twentieth over the rate, once, after it was idle.
    """

    def __init__(self, store: Store, group: str, count: int, period_ms: int) -> None:
        self._store, self._group, self._count, self._period_ms = store, group, count, period_ms
        self._at_once = max(1, min(_MOST_AT_ONCE, count // _SHARE_AT_ONCE))
        self._lock = Lock()
        self._held: deque[float] = deque()

    def take(self) -> float:
        """Take the next turn; gives the seconds to wait for it.

        Raises ProviderUnavailable while the provider wants to be left alone, and what `call` of `on_wait` raises.
        """
        wait_s = self._next()
        if wait_s and (call := _on_wait.get()) is not None:
            call(wait_s)
        return wait_s

    def rest(self, seconds: float) -> None:
        """The provider asked to be left alone: by all that take turns of the group, in this process or another."""
        with self._lock:
            self._held.clear()
        rest(self._store, self._group, seconds)

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
    """Book the next free turns of `group`, which has `count` in any `period_ms`; gives the ms to wait for every one.

    Up to 20 turns of a period may be taken at once, as the provider counts them; a higher rate is spaced evenly.
    Raises ProviderUnavailable while the provider wants to be left alone for long.
    """
    if count > _REMEMBERED:
        count, period_ms = 1, max(1, period_ms // count)
    with store.write(durable=False) as tx:
        text = tx.conn.scalar(_TURNS, {"of_group": group})
        if text is None:
            tx.conn.execute(tx.insert(rate_budgets).values(rate_group=group).on_conflict_do_nothing())
            text = tx.conn.execute(_TURNS, {"of_group": group}).scalar_one()
        now_ms = tx.now_ms()
        free_ms = max(now_ms, _rests_until(tx, group, now_ms))
        known = [int(turn) for turn in json.loads(text)][-count:]
        # A clock set back must not bar the group for as long as it was set back.
        known = [min(turn, now_ms + period_ms * _QUEUE // count) for turn in known]
        booked: list[int] = []
        for _ in range(turns):
            booked.append(max(free_ms, known[0] + period_ms) if len(known) == count else free_ms)
            known = [*known, booked[-1]][-count:]
        tx.conn.execute(_BOOK, {"of_group": group, "turns": json.dumps(known)})
    return [turn_ms - now_ms for turn_ms in booked]


def rest(store: Store, group: str, seconds: float) -> None:
    """Keep everybody from the turns of a group for so long, at most for an hour.

    It lies in a row of its own: an older program that shares the database reads its turns as ever.
    """
    with store.write(durable=False) as tx:
        now_ms = tx.now_ms()
        until_ms = now_ms + min(int(max(0.0, seconds) * SECOND_MS), _LONGEST_REST_MS)
        turns = json.dumps([max(until_ms, _rests_until(tx, group, now_ms, patient=True))])
        row = tx.insert(rate_budgets).values(rate_group=_rest_of(group), turns=turns)
        tx.conn.execute(row.on_conflict_do_update(index_elements=["rate_group"], set_={"turns": turns}))


def _rests_until(tx: Tx, group: str, now_ms: int, *, patient: bool = False) -> int:
    """Until when a group is to be left alone; raises ProviderUnavailable where that is long, unless `patient`."""
    text = tx.conn.scalar(_RESTS, {"of_group": _rest_of(group)})
    until_ms = 0 if text is None else max(map(int, json.loads(text)), default=0)
    if until_ms > now_ms + _LONGEST_REST_MS:
        return 0
    if until_ms > now_ms + _LONGEST_WAIT_MS and not patient:
        reason = f"{group.partition(' ')[0]} asked to be left alone until {iso(until_ms)}"
        raise ProviderUnavailable(reason, retry_after_s=(until_ms - now_ms) / SECOND_MS)
    return until_ms


def _rest_of(group: str) -> str:
    return f"{group} rest"
