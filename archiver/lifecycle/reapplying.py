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
from archiver.lifecycle import erasing, erasure_run, proposals
from archiver.lifecycle.erasure_run import ErasureDone
from archiver.lifecycle.proposals import Asker, Made, Proposal
from archiver.store import decisions, drafts, erasure, erasures, installation
from archiver.store.engine import Store, Tx
from archiver.store.erasures import ERASE, REAPPLIED, RequestItem


def reapply(store: Store, asker: Asker, file: Path, *, more: Iterable[str] = (), stop: Event) -> ErasureDone:
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
        done = _sum(done, erasure_run.run(store, request, asker.name, file, stop=stop))
    with store.patient.read() as tx:
        lacking = erasures.lacking(tx, lines)
    if lacking:
        request = _approved(store, lacking, asker)
        done = _sum(done, erasure_run.run(store, request, asker.name, file, stop=stop))
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


def _approved(store: Store, lacking: Sequence[RequestItem], asker: Asker) -> int:
    """The approved request to erase this again; makes it, and raises UsageError until somebody else has approved it."""
    digest = erasures.digest_of(lacking)
    with store.patient.write() as tx:
        for number in erasures.by_items(tx, REAPPLIED, digest):
            state = erasing.known(tx, number).state
            if state in ("approved", "begun"):
                return number
            if state == "waiting":
                raise _waits(Made(number))
        for number in drafts.by_items(tx, REAPPLIED, digest):
            raise _waits(Made(number, is_draft=True))
        request = proposals.made(tx, _proposal(tx, lacking), asker)
    raise _waits(request)


def propose(tx: Tx, named: Sequence[tuple[str, str]]) -> Proposal:
    """What it comes to to erase messages again, by app and id; those of apps that are not here are left out."""
    numbers = {name: app_id for app_id, name in erasures.app_names(tx).items()}
    items = [RequestItem(numbers[app], msg_id) for app, msg_id in dict.fromkeys(named) if app in numbers]
    if not items:
        raise UsageError("the archive has no such app", hint="archiver erase reapply")
    return _proposal(tx, items)


def _proposal(tx: Tx, lacking: Sequence[RequestItem]) -> Proposal:
    names = erasures.app_names(tx)
    apps = [names[app_id] for app_id in sorted({one.app_id for one in lacking})]
    body: dict[str, Any] = {"case": None, "reason": "a restored database", "filter": {}, "apps": apps}
    body |= {"asked": len(lacking), "related": 0, "related_left": 0, "related_left_ids": []}
    body |= {"quarantined": None, "exports": [], "items_sha256": erasures.digest_of(lacking)}
    wish = {"items": [[names[one.app_id], one.msg_id] for one in lacking]}
    return Proposal(REAPPLIED, body, wish, list(lacking))


def _waits(request: Made) -> UsageError:
    if request.is_draft:
        problem = f"draft {request.number} names what has to be erased again, and waits on the review page"
        return UsageError(problem, hint="adopt it there, and have another person approve it; archiver erase reapply")
    number = request.number
    problem = f"request {number} names what has to be erased again, and another person has to approve it"
    return UsageError(problem, hint=f"archiver requests approve {number}, by somebody else; archiver erase reapply")
