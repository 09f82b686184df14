"""Acts of two persons: one asks, another approves exactly that, and it is carried out once, begun within a week."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from archiver.errors import UsageError
from archiver.lifecycle import holds, proposals, retention
from archiver.lifecycle.proposals import Asker
from archiver.model import DAY_MS
from archiver.store import audit_log, decisions
from archiver.store.decisions import Asked
from archiver.store.engine import Store, Tx

APPROVED_FOR_MS = 7 * DAY_MS
"""An approval has to be begun within this time."""
CARRIED_OUT: Mapping[str, Callable[[Tx, Asked, str], None]] = {
    holds.RELEASE: holds.release,
    retention.SHORTEN: retention.shorten,
}
"""What an approval itself carries out, in its transaction."""
_OVER = ("refused", "withdrawn", "begun")


def inbox(store: Store, *, everything: bool = False) -> list[Asked]:
    """Requests, the latest first: those that still wait for somebody, or all."""
    with store.read() as tx:
        asked = decisions.read(tx)
    return [one for one in asked if everything or one.state in ("waiting", "approved")]


def find(store: Store, request_id: int) -> Asked:
    """A request by its number. Raises UsageError where there is none."""
    with store.read() as tx:
        return _known(tx, request_id)


def may_be_approved(store: Store, asked: Asked) -> bool:
    """Whether a request was made where this archive decides now: approvals have to come from there as well."""
    with store.read() as tx:
        return proposals.is_from_here(tx, asked.body)


def approve(store: Store, request_id: int, asker: Asker) -> Asked:
    """Agree to what somebody else asks for; what lets go of a hold or a term is carried out with that.

    Raises UsageError for one's own request, for one that is over, and for one that was made in another place.
    """
    with store.write() as tx:
        proposals.demand_place(tx, asker)
        asked, who = _open(tx, request_id), decisions.person(tx, asker.name)
        if asked.who.lower() == who.lower():
            raise UsageError(f"request {request_id} is your own; another person has to approve it")
        if asked.state == "approved":
            raise UsageError(f"request {request_id} is approved already")
        if not proposals.is_from_here(tx, asked.body):
            hint = f"refuse request {request_id}, and ask for it again"
            raise UsageError(f"request {request_id} was made where this archive does not decide any more", hint=hint)
        decisions.decide(tx, asked, "approved", who)
        if (carry_out := CARRIED_OUT.get(asked.kind)) is not None:
            decisions.decide(tx, asked, "begun", who)
            carry_out(tx, _known(tx, request_id), who)
        return _known(tx, request_id)


def refuse(store: Store, request_id: int, asker: Asker, *, own: bool = False) -> Asked:
    """Say no to a request, or take an approval back before it is begun; `own`: withdraw what one has asked for.

    Raises UsageError where a request that is withdrawn is somebody else's.
    """
    with store.write() as tx:
        proposals.demand_place(tx, asker)
        asked, who = _open(tx, request_id), decisions.person(tx, asker.name)
        if own and asked.who.lower() != who.lower():
            raise UsageError(f"request {request_id} is not yours", hint=f"archiver requests refuse {request_id}")
        decisions.decide(tx, asked, "withdrawn" if own else "refused", who)
        return _known(tx, request_id)


def begin(tx: Tx, request_id: int, kind: str, body: Mapping[str, Any], who: str) -> None:
    """Begin to carry out what was approved, and nothing else; an export that was interrupted goes on.

    In the transaction of the act itself, where that is one: what fails has not used its request up. Raises UsageError
    where it may not be.
    """
    asked = _known(tx, request_id)
    goes_on = kind == asked.kind == "export" and asked.state == "begun" and not audit_log.is_done(tx, request_id)
    if not goes_on:
        _demand_open(asked)
    if asked.kind != kind or proposals.subject(asked.body) != dict(body):
        hint = f"archiver requests show {request_id}"
        raise UsageError(f"request {request_id} is about something else", hint=hint)
    if goes_on:
        return
    approved_ms = asked.when("approved")
    if approved_ms is None:
        hint = f"archiver requests approve {request_id}, by somebody else"
        raise UsageError(f"request {request_id} is not approved", hint=hint)
    if tx.now_ms() - approved_ms > APPROVED_FOR_MS:
        raise UsageError(f"request {request_id} was approved more than 7 days ago", hint="ask again: --propose")
    decisions.decide(tx, asked, "begun", decisions.person(tx, who))


def _known(tx: Tx, request_id: int) -> Asked:
    rows = decisions.read(tx, request_id)
    if not rows:
        raise UsageError(f"there is no request {request_id}", hint="archiver requests list --all")
    (asked,) = rows
    if not decisions.is_as_it_was(tx, asked):
        raise UsageError(f"request {request_id} is not what it was when it was made", hint="archiver evidence verify")
    return asked


def _open(tx: Tx, request_id: int) -> Asked:
    asked = _known(tx, request_id)
    _demand_open(asked)
    return asked


def _demand_open(asked: Asked) -> None:
    if asked.state in _OVER:
        raise UsageError(f"request {asked.id} was {asked.state} already", hint="ask again: --propose")
