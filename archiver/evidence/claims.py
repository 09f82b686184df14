"""The claim as entries of the ledger have it: what a source says it has, so that no later state can say otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from archiver import coverage, entries, merkle
from archiver.coverage import Coverage
from archiver.model import HOUR_MS
from archiver.store import ledger
from archiver.store.engine import Tx
from archiver.store.read import status
from archiver.store.seals import root_text

Json = dict[str, Any]
_NEWS = ("from", "holes_root", "accepted", "presumed_empty", "late", "expired_before")
_HOLES = 1_000
HoleFields = tuple[int, int, str]
"""Range in ms, and state: what an entry tells of a hole. Reasons are text written by people, and stay out."""


def due(tx: Tx, *, exported: bool) -> list[Json]:
    """The claims that are to be entered now: where something of them is news, for an export, else once an hour."""
    last: dict[tuple[str, str], Json] = {}
    for _, entry in ledger.latest(tx, "claim"):
        last.setdefault((entry["app"], entry["source"]), entry)
    found = []
    for one in coverage.read(tx):
        claim, before = of(tx, one), last.get((one.app, one.source))
        changed = before is None or any(claim[name] != before[name] for name in _NEWS)
        hourly = before is not None and tx.now_ms() - before["at"] >= HOUR_MS
        if before is None or before["holes_root"] != claim["holes_root"]:
            claim["holes"] = [list(hole) for hole in holes(one)[:_HOLES]]
        if changed or hourly or exported:
            found.append(claim)
    return found


def of(tx: Tx, one: Coverage) -> Json:
    """The claim of one source, without its list of holes."""
    listed = holes(one)
    return {
        "kind": "claim",
        "at": tx.now_ms(),
        "app": one.app,
        "source": one.source,
        "from": one.complete_from_ms,
        "until": one.complete_until_ms,
        "audited": one.audited_until_ms,
        "late": one.late_arrivals,
        "worst_lateness_ms": one.worst_lateness_ms,
        "quarantined": one.quarantined,
        "unproven": len(one.unproven),
        "accepted": sum(state == "accepted" for _, _, state in listed),
        "presumed_empty": one.presumed_empty,
        "expired_before": one.expired_before_ms,
        "messages": status.messages_of(tx, one.app),
        "holes_root": holes_root(listed),
    }


def holes(one: Coverage) -> list[HoleFields]:
    """The holes of a claim as entries have them, in order of time."""
    return [(*hole.window, hole.state) for hole in one.holes]


def holes_root(listed: Iterable[HoleFields]) -> str:
    """The root over holes in their order, as entries write it."""
    return root_text(merkle.root([merkle.leaf_hash(entries.canonical(list(hole))) for hole in listed]))
