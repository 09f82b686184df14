"""The record of runs: one row from start to end; a row without an end whose process is gone was a crash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from archiver import __version__
from archiver.model import Tally
from archiver.store import leases
from archiver.store.apps import Key
from archiver.store.engine import Tx
from archiver.store.schema import FATES, run_counters, runs

r = runs.c
SILENT_MS = 15 * 60_000
"""A run without an end whose heart has not beaten for this long is over."""
_ADVANCE = (
    runs.update()
    .where(r.id == sa.bindparam("run_id"))
    .values({name: r[name] + sa.bindparam(f"more_{name}") for name in (*FATES, "pages", "windows")})
)


def start(tx: Tx, key: Key, command: str, owner: str, *, alone: bool = False) -> int:
    """Open the row of a run; runs that died before are marked as crashed.

    `alone`: the owner runs this source once at a time, so the database was away when a run of its own ended.
    """
    now_ms = tx.now_ms()
    query = sa.select(r.id, r.owner, r.heartbeat_at).where(
        r.app_id == key.app_id, r.source == key.source, r.ended_at.is_(None)
    )
    for row in tx.conn.execute(query).all():
        if row.heartbeat_at < now_ms - SILENT_MS or leases.dead([row.owner]):
            _end_for(tx, key, row, "crashed", None)
        elif alone and row.owner == owner:
            _end_for(tx, key, row, "unfinished", "the database was away when it ended")
    values = {"app_id": key.app_id, "source": key.source, "command": command, "program": __version__, "owner": owner}
    statement = runs.insert().values(**values, started_at=now_ms, heartbeat_at=now_ms)
    return int(tx.conn.execute(statement.returning(r.id)).scalar_one())


def _end_for(tx: Tx, key: Key, row: Any, outcome: str, reason: str | None) -> None:
    """Close the row of a run that could not do so, as of its last sign of life."""
    last = {"outcome": outcome, "reason": reason, "ended_at": row.heartbeat_at}
    tx.conn.execute(runs.update().where(r.id == row.id).values(last))
    _count(tx, key, "runs", {outcome: 1})


def advance(tx: Tx, run_id: int, tally: Tally, *, pages: int = 0, windows: int = 0) -> None:
    """Count what the run has done, in the transaction that did it."""
    more = {f"more_{name}": getattr(tally, name) for name in FATES}
    counts = {"more_pages": pages, "more_windows": windows}
    tx.conn.execute(_ADVANCE, more | counts | {"run_id": run_id, "heartbeat_at": tx.now_ms()})


def end(
    tx: Tx,
    run_id: int,
    outcome: str,
    *,
    reason: str | None,
    requests: Mapping[str, int],
    skew_ms: int | None,
    refused_commits: int = 0,
) -> None:
    """Close the row of a run, and add up what it counted.

    `requests`: how many answers came with each status ("error": none came). `refused_commits`: page transactions that
    the fence refused, since another process had the window.
    """
    now_ms = tx.now_ms()
    retries = sum(count for status, count in requests.items() if status not in ("200", "404"))
    row = tx.conn.execute(
        runs.update()
        .where(r.id == run_id)
        .values(
            outcome=outcome,
            reason=reason,
            requests=json.dumps(dict(sorted(requests.items()))),
            retries=retries,
            skew_ms=skew_ms,
            ended_at=now_ms,
            heartbeat_at=now_ms,
        )
        .returning(r.app_id, r.source)
    ).one()
    key = Key(row.app_id, row.source)
    _count(tx, key, "requests", requests)
    _count(tx, key, "runs", {outcome: 1})
    _count(tx, key, "refused_commits", {"": refused_commits})


def _count(tx: Tx, key: Key, kind: str, counts: Mapping[str, int]) -> None:
    """In the order of labels, so that two processes that count cannot wait for each other."""
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
