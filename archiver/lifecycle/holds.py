"""Legal holds: one person places and widens them, and they are in force at once; two let go, and a month later."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from archiver.errors import UsageError
from archiver.lifecycle import proposals
from archiver.lifecycle.proposals import Asker, Made, Proposal
from archiver.store import decisions, holds
from archiver.store.admin import citus
from archiver.store.decisions import Asked
from archiver.store.engine import Store, Tx
from archiver.store.holds import HoldCounts, HoldCriteria, HoldEvent, HoldRow
from archiver.store.read import filters

RELEASE = "hold-release"
IN_FORCE, ENDING, RELEASED = "in_force", "ending", "released"


class Hold(NamedTuple):
    """A hold with all that was done to it. `ends_ms`: when it ends or has ended, if its release is approved."""

    id: int
    name: str
    state: str
    """`in_force`; `ending`, while a release that was approved has not taken effect; `released`."""
    ends_ms: int | None
    events: Sequence[HoldEvent]

    @property
    def case_id(self) -> str | None:
        return self.events[0].case_id


class Placed(NamedTuple):
    """A hold that was placed or widened, and how many messages of its list the archive does not have."""

    hold_id: int
    unarchived: int


def add(store: Store, name: str, covered: HoldCriteria, *, case_id: str, reason: str, who: str) -> Placed:
    """Place a hold, which is in force when this returns. Raises UsageError for an app that is not archived."""
    with store.patient.write(lock="exclusive") as tx:
        _demand(tx, covered)
        row = HoldRow(holds.next_id(tx), name, "placed", case_id, reason, decisions.person(tx, who))
        return _place(tx, row, covered)


def widen(
    store: Store, hold_id: int, covered: HoldCriteria, *, case_id: str | None = None, reason: str, who: str
) -> Placed:
    """Have a hold keep more, at once. Raises UsageError for a hold that is not there, or that ends already."""
    if not covered.names_anything():
        raise UsageError("this would hold everything; say what the hold is to keep as well", hint="--participant USER")
    with store.patient.write(lock="exclusive") as tx:
        _demand(tx, covered)
        hold = _in_force(tx, hold_id)
        row = HoldRow(hold_id, hold.name, "widened", case_id or hold.case_id, reason, decisions.person(tx, who))
        return _place(tx, row, covered)


def _place(tx: Tx, row: HoldRow, covered: HoldCriteria) -> Placed:
    holds.place(tx, row, covered)
    return Placed(row.hold_id, 0 if covered.ids is None else holds.unarchived(tx, row.hold_id))


def _demand(tx: Tx, covered: HoldCriteria) -> None:
    demand_whole(tx)
    if covered.unreadable and covered.participant is None:
        raise UsageError("--unreadable goes with --participant: other criteria ask nothing that they could not answer")
    if covered.ids is not None and len(filters.resolve(tx, covered.criteria).app_ids or ()) != 1:
        raise UsageError("the ids of a list are those of one app", hint="--app org#app")


def demand_whole(tx: Tx) -> None:
    """Raises UsageError for an archive that lies on many machines: there no trigger could keep what is held."""
    if citus.is_distributed(tx):
        hint = "archiver copy, into an archive that is not distributed"
        raise UsageError("holds and terms are not for a distributed archive", hint=hint)


def ask_release(store: Store, hold_id: int, reason: str, asker: Asker) -> Made:
    """Ask for the release of a hold. Raises UsageError as `widen`."""
    with store.write() as tx:
        return proposals.made(tx, propose_release(tx, hold_id, reason), asker)


def propose_release(tx: Tx, hold_id: int, reason: str) -> Proposal:
    """What a release comes to. Raises UsageError as `widen`."""
    demand_whole(tx)
    hold = _in_force(tx, hold_id)
    wish = {"hold": hold_id, "reason": reason}
    return Proposal(RELEASE, {**wish, "name": hold.name}, wish)


def release(tx: Tx, asked: Asked, who: str) -> None:
    """Let go of a hold, as was asked and approved in this transaction. Raises UsageError as `widen`."""
    hold, approved_ms = _in_force(tx, int(asked.body["hold"])), asked.when("approved") or tx.now_ms()
    row = HoldRow(hold.id, hold.name, "released", hold.case_id, str(asked.body["reason"]), who)
    holds.release(tx, row, asked.id, approved_ms)


def everything(store: Store) -> list[Hold]:
    """All holds, the latest first."""
    with store.read() as tx:
        demand_whole(tx)
        return _holds(tx, holds.events(tx))[::-1]


def find(store: Store, hold_id: int) -> Hold:
    """A hold by its number. Raises UsageError where there is none."""
    with store.read() as tx:
        demand_whole(tx)
        return _known(tx, hold_id)


def count(store: Store, hold: Hold) -> HoldCounts:
    """What a hold keeps now, or would if it were in force; reads all messages."""
    with store.patient.read() as tx:
        return holds.counts(tx, hold.id)


def _in_force(tx: Tx, hold_id: int) -> Hold:
    hold = _known(tx, hold_id)
    if hold.state != IN_FORCE:
        hint = "archiver hold add, to place another one"
        raise UsageError(f"the release of hold {hold_id} is approved already", hint=hint)
    return hold


def _known(tx: Tx, hold_id: int) -> Hold:
    known = _holds(tx, holds.events(tx, hold_id))
    if not known:
        raise UsageError(f"there is no hold {hold_id}", hint="archiver hold list")
    return known[0]


def _holds(tx: Tx, events: Sequence[HoldEvent]) -> list[Hold]:
    return [_hold(list(rows), tx.now_ms()) for _, rows in groupby(events, lambda event: event.hold_id)]


def _hold(rows: list[HoldEvent], now_ms: int) -> Hold:
    ends_ms = min((row.effective_at for row in rows if row.effective_at is not None), default=None)
    state = IN_FORCE if ends_ms is None else RELEASED if ends_ms <= now_ms else ENDING
    return Hold(rows[0].hold_id, rows[0].name, state, ends_ms, rows)
