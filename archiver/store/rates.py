"""The rate budget that every process on one database shares: the last turns of a group, in one row."""

from __future__ import annotations

import json

import sqlalchemy as sa

from archiver.store.engine import Store
from archiver.store.schema import rate_budgets

_REMEMBERED = 20
_QUEUE = 100
"""No queue of ours is longer; a turn that lies further ahead was booked before the clock was set back."""
_GROUP = rate_budgets.c.rate_group == sa.bindparam("of_group")
_TURNS = sa.select(rate_budgets.c.turns).where(_GROUP).with_for_update()
_BOOK = rate_budgets.update().where(_GROUP)


def take_turn(store: Store, group: str, count: int, period_ms: int) -> int:
    """Book the next free turn of `group`, which has `count` turns in any `period_ms`; gives the ms to wait for it.

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
        turns = [int(turn) for turn in json.loads(text)][-count:]
        # A clock set back must not bar the group for as long as it was set back.
        turns = [min(turn, now_ms + period_ms * _QUEUE // count) for turn in turns]
        turn_ms = max(now_ms, turns[0] + period_ms) if len(turns) == count else now_ms
        tx.conn.execute(_BOOK, {"of_group": group, "turns": json.dumps([*turns, turn_ms][-count:])})
    return turn_ms - now_ms
