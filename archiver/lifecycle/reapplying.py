"""Erases again what a restored database brought back: by the file of erasures, and by two persons again.

Whoever may write that file could name any message, so the lines alone decide nothing. Where the old request came back
with the database, it is carried on; else what it named becomes a request of kind `reapplied`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from archiver import erasures_file
from archiver.errors import UsageError
from archiver.lifecycle import erasing, erasure_run
from archiver.lifecycle.erasure_run import ErasureDone
from archiver.store import decisions, erasure, erasures, installation
from archiver.store.engine import Store, Tx
from archiver.store.erasures import ERASE, REAPPLIED, RequestItem


def reapply(store: Store, who: str, file: Path, *, more: Iterable[str] = (), stop: Event) -> ErasureDone:
    """Make the erasures again that the database lacks; `more`: lines of other places than the file.

    Raises UsageError where another person has to approve first, and DatabaseRefused for a login that may not erase.
    """
    others = (line for line in map(erasures_file.parsed, more) if line is not None)
    lines = list(dict.fromkeys([*erasures_file.read(file), *others]))
    done = ErasureDone(0, 0, 0, 0)
    with store.patient.read() as tx:
        erasure.demand_rights(tx)
        lacking = erasures.lacking(tx, lines)
        going = _known(tx, sorted({line.request for line in lines}), lacking)
    for request in going:
        done = _sum(done, erasure_run.run(store, request, who, file, stop=stop))
    with store.patient.read() as tx:
        lacking = erasures.lacking(tx, lines)
    if lacking:
        request = _approved(store, lacking, who)
        done = _sum(done, erasure_run.run(store, request, who, file, stop=stop))
    with store.patient.write(lock="exclusive") as tx:
        if not erasures.lacking(tx, lines):
            installation.reapply(tx, needed=False)
    return done


def _sum(first: ErasureDone, second: ErasureDone) -> ErasureDone:
    return ErasureDone(*map(sum, zip(first, second, strict=True)))


def _known(tx: Tx, numbers: Sequence[int], lacking: Sequence[RequestItem]) -> list[int]:
    """The requests that came back with the database, begun or approved, and name something of this."""
    keys = {one[:2] for one in lacking}
    going = []
    for number in numbers:
        rows = decisions.read(tx, number)
        is_open = bool(rows) and rows[0].kind == ERASE and rows[0].state in ("begun", "approved")
        if is_open and keys & {one[:2] for one in erasures.items(tx, number)}:
            going.append(number)
    return going


def _approved(store: Store, lacking: Sequence[RequestItem], who: str) -> int:
    """The approved request to erase this again; makes it, and raises UsageError until somebody else has approved it."""
    digest = erasures.digest_of(lacking)
    with store.patient.write() as tx:
        for number in erasures.by_items(tx, REAPPLIED, digest):
            state = erasing.known(tx, number).state
            if state in ("approved", "begun"):
                return number
            if state == "waiting":
                raise _waits(number)
        names = erasures.app_names(tx)
        apps = [names[app_id] for app_id in sorted({one.app_id for one in lacking})]
        body: dict[str, Any] = {"case": None, "reason": "a restored database", "filter": {}, "apps": apps}
        body |= {"asked": len(lacking), "related": 0, "related_left": 0, "related_left_ids": []}
        body |= {"quarantined": None, "exports": []}
        number = decisions.add(tx, REAPPLIED, {**body, "items_sha256": digest}, decisions.person(tx, who))
        erasures.add_items(tx, number, list(lacking))
    raise _waits(number)


def _waits(number: int) -> UsageError:
    problem = f"request {number} names what has to be erased again, and another person has to approve it"
    return UsageError(problem, hint=f"archiver requests approve {number}, by somebody else; archiver erase reapply")
