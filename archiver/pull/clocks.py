"""The provider's clock beside the database's, and both beside what they showed at the last pull."""

from __future__ import annotations

import logging
from typing import NamedTuple

from archiver.model import SECOND_MS, Source
from archiver.store import apps
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.timeline import TOLERATED_SKEW_MS, clock_problem

log = logging.getLogger("archiver.pull")


class Clocks(NamedTuple):
    """By how much the provider's clock is ahead, and what is wrong with its pace."""

    skew_ms: int
    problem: str | None


def compare(tx: Tx, key: SourceKey, source: Source, server_ms: int, database_ms: int) -> Clocks:
    """Compare the clocks, and remember them for the next time; says in the log what is wrong."""
    skew_ms, problem = server_ms - database_ms, None
    apps.note_skew(tx, key, skew_ms)
    fields = {"app": source.app, "source": source.kind, "skew_seconds": skew_ms // SECOND_MS}
    if abs(skew_ms) > TOLERATED_SKEW_MS:
        log.error("the server's clock and the database's differ", extra={"fields": fields})
    if skew_ms <= TOLERATED_SKEW_MS:  # one that is not believed says nothing of its pace, either
        problem = clock_problem(apps.last_clocks(tx, key), server_ms, database_ms)
        apps.note_clocks(tx, key, server_ms, problem)
    if problem is not None:
        log.error("%s", problem, extra={"fields": fields})
    return Clocks(skew_ms, problem)
