"""The record of runs: one row from start to end; a row without an end whose process is gone was a crash.

A database that lost its last commits may have lost the row of a run that goes on, and given its number to another. So
a row is a run's own only with its owner's name; and at its end, a run writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver import __version__
from archiver.model import Tally
from archiver.store import owner
from archiver.store.apps import SourceKey, of_source
from archiver.store.engine import Tx
from archiver.store.schema import FATES, run_counters, runs

SILENT_MS = 15 * 60_000
"""A run without an end whose heart has not beaten for this long is over."""
_OURS = sa.and_(runs.c.id == sa.bindparam("run_id"), runs.c.owner == sa.bindparam("run_owner"), of_source(runs.c))
_ADVANCE = (
    runs.update()
    .where(_OURS)
    .values({name: runs.c[name] + sa.bindparam(f"more_{name}") for name in (*FATES, "pages", "windows")})
)


class Run(NamedTuple):
    """A run that goes on, and what its row begins with."""

    id: int
    key: SourceKey
    command: str
    owner: str
    started_ms: int

    @property
    def row(self) -> dict[str, Any]:
        begun = {"command": self.command, "program": __version__, "owner": self.owner, "started_at": self.started_ms}
        return {**self.key._asdict(), **begun}

    @property
    def bound(self) -> dict[str, object]:
        return self.key.bound | {"run_id": self.id, "run_owner": self.owner}


def bar(tx: Tx) -> None:
    """Let no run begin before this transaction ends; on SQLite none can anyway."""
    if tx.postgres:
        tx.conn.exec_driver_sql("LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE")


def alive(tx: Tx) -> str | None:
    """Who is in the middle of a run; None: nobody, as far as heartbeats tell."""
    query = sa.select(runs.c.owner, runs.c.heartbeat_at).where(runs.c.ended_at.is_(None)).order_by(runs.c.id)
    for row in tx.conn.execute(query):
        if row.heartbeat_at >= tx.now_ms() - SILENT_MS and not owner.dead([row.owner]):
            return str(row.owner)
    return None


def start(tx: Tx, key: SourceKey, command: str, run_owner: str, *, alone: bool = False) -> Run:
    """Open the row of a run; runs that died before are marked as crashed.

    `alone`: the owner runs this source once at a time, so the database was away when a run of its own ended.
    """
    now_ms = tx.now_ms()
    query = sa.select(runs.c.id, runs.c.owner, runs.c.heartbeat_at).where(
        runs.c.app_id == key.app_id, runs.c.source == key.source, runs.c.ended_at.is_(None)
    )
    for row in tx.conn.execute(query).all():
        if row.heartbeat_at < now_ms - SILENT_MS or owner.dead([row.owner]):
            _end_for(tx, key, row, "crashed", None)
        elif alone and row.owner == run_owner:
            _end_for(tx, key, row, "unfinished", "the database was away when it ended")
    run = Run(0, key, command, run_owner, now_ms)
    statement = runs.insert().values(**run.row, heartbeat_at=now_ms).returning(runs.c.id)
    return run._replace(id=int(tx.conn.execute(statement).scalar_one()))


def _end_for(tx: Tx, key: SourceKey, row: Any, outcome: str, reason: str | None) -> None:
    """Close the row of a run that could not do so, as of its last sign of life."""
    last = {"outcome": outcome, "reason": reason, "ended_at": row.heartbeat_at}
    ended = runs.update().where(runs.c.id == row.id, runs.c.ended_at.is_(None)).values(last).returning(runs.c.id)
    if tx.conn.execute(ended).first() is not None:  # unless another process was faster
        _count(tx, key, "runs", {outcome: 1})


def advance(tx: Tx, run: Run, tally: Tally, *, pages: int = 0, windows: int = 0) -> None:
    """Count what the run has done, in the transaction that did it."""
    more = {f"more_{name}": count for name, count in _fates(tally).items()}
    counts = {"more_pages": pages, "more_windows": windows}
    tx.conn.execute(_ADVANCE, more | counts | run.bound | {"heartbeat_at": tx.now_ms()})


def end(
    tx: Tx,
    run: Run,
    outcome: str,
    *,
    did: Tally,
    pages: int,
    reason: str | None,
    requests: Mapping[str, int],
    skew_ms: int | None,
    refused_commits: int = 0,
) -> None:
    """Close the row of a run, and add up what it counted. `did`, `pages`: what a row made anew says of it.

    `requests`: how many answers came, by status ("error": none came). `refused_commits`: page transactions that
    the fence refused, since another process had the window.
    """
    now_ms = tx.now_ms()
    retries = sum(count for status, count in requests.items() if status not in ("200", "404"))
    last = {
        "outcome": outcome,
        "reason": reason,
        "requests": json.dumps(dict(sorted(requests.items()))),
        "retries": retries,
        "skew_ms": skew_ms,
        "ended_at": now_ms,
        "heartbeat_at": now_ms,
    }
    before = tx.conn.execute(sa.select(runs.c.outcome).where(_OURS).with_for_update(), run.bound).first()
    if before is None:
        tx.conn.execute(runs.insert().values({**run.row, **_fates(did), "pages": pages, **last}))
    else:
        tx.conn.execute(runs.update().where(_OURS), run.bound | last)
        if before.outcome is not None:  # another process took this one for dead
            _count(tx, run.key, "runs", {before.outcome: -1})
    _count(tx, run.key, "requests", requests)
    _count(tx, run.key, "runs", {outcome: 1})
    _count(tx, run.key, "refused_commits", {"": refused_commits})


def failing_since(tx: Tx, key: SourceKey) -> int | None:
    """When the first run of a source ended that was not done, since the last one that was (ms); None: none was not."""
    ended = sa.and_(of_source(runs.c), runs.c.ended_at.is_not(None))
    newest = sa.select(runs.c.id).where(ended, runs.c.outcome == "done").order_by(runs.c.id.desc()).limit(1)
    done_id = tx.conn.execute(newest, key.bound).scalar()
    first = sa.select(runs.c.ended_at).where(ended, runs.c.id > (done_id or 0)).order_by(runs.c.id).limit(1)
    since_ms: int | None = tx.conn.execute(first, key.bound).scalar()
    return since_ms


def _fates(tally: Tally) -> dict[str, int]:
    return {name: getattr(tally, name) for name in FATES}


def _count(tx: Tx, key: SourceKey, kind: str, counts: Mapping[str, int]) -> None:
    """In the order of labels, so that two processes that count cannot wait for one another."""
    rows = [{**key._asdict(), "kind": kind, "label": label, "count": counts[label]} for label in sorted(counts)]
    for row in rows:
        if row["count"]:
            added = tx.insert(run_counters).values(row)
            tx.conn.execute(
                added.on_conflict_do_update(
                    index_elements=[*run_counters.primary_key],
                    set_={"count": run_counters.c["count"] + row["count"]},
                )
            )
