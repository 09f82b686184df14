"""Retention runs: what is over is counted and asked for, approved by another person, and deleted in batches.

The floor is written first, so that nothing comes back meanwhile. Brakes stop a run before anything is gone; what an
approved run began it goes on with after a stop, and finds what is left by looking again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from threading import Event
from typing import Any, NamedTuple

from archiver.config import Settings
from archiver.errors import DeletionStopped, Stopped, UsageError
from archiver.lifecycle import decisions, proposals
from archiver.lifecycle.holds import demand_whole
from archiver.lifecycle.pace import DeletionPace
from archiver.lifecycle.proposals import Asker, Made, Proposal
from archiver.lifecycle.retention import of_app
from archiver.lifecycle.terms import day, floor_ms
from archiver.model import DAY_MS
from archiver.store import decisions as asking
from archiver.store import expiring, expiring_records, floors, ledger, scrubs, unsalted
from archiver.store.decisions import Asked
from archiver.store.engine import Store, Tx
from archiver.store.expiring import Expiring, TermOver
from archiver.store.retention import RetentionTerms
from archiver.store.schema import iso

RETENTION = "retention"
_SLACK = Decimal("0.001")
"""So many more than planned may have come meanwhile."""
_LATE_SCRUB_MS, _LATE_VERIFY_MS = 7 * DAY_MS, 37 * DAY_MS
_WARNED_MS = DAY_MS
"""So far the clock may be ahead of a server's."""


class Planned(NamedTuple):
    """A request that was made, and what it would delete; `records`: in quarantine, as far as they need not stay."""

    request: Made
    floor_ms: int
    would: Expiring
    records: int


class Expired(NamedTuple):
    """How many messages a run has deleted now, how many its request has deleted in all, and how many records of
    quarantine it has emptied now."""

    messages: int
    in_all: int
    records: int


def meant(ms: int | None) -> int | None:
    """A stamp, where it lies within the calendar: others say nothing to people, and may be no number of JSON."""
    return ms if ms is not None and iso(ms) is not None else None


class RunWish(NamedTuple):
    """Whose messages are due, and what the approver is to confirm."""

    app: str
    max_share: Decimal | None = None
    today: date | None = None


def plan(store: Store, wish: RunWish, asker: Asker) -> Planned:
    """Rehearse a run, and ask for it. Raises UsageError where nothing of the app is ever due, or nothing is now."""
    proposal, floor, would = propose(store, wish)
    return Planned(proposals.make(store, proposal, asker), floor, would, int(proposal.body["quarantined"]))


def propose(store: Store, wish: RunWish) -> tuple[Proposal, int, Expiring]:
    """What a run comes to, with its floor. Raises UsageError as `plan`."""
    app, max_share, today = wish
    with store.patient.read() as tx:
        demand_whole(tx)
        known = of_app(tx, app)
        on = today or day(tx.now_ms())
        floor = floor_ms(known.terms, on)
        if floor is None:
            raise UsageError(f"messages of {known.app} are kept for ever", hint="archiver retention set --at-most")
        term = TermOver(known.app_id, floor)
        would, records = expiring.measure(tx, term), expiring_records.count(tx, term)
        total = expiring.archived(tx)
    if not would.messages and not records:
        raise UsageError(f"nothing of {known.app} is due for deletion", hint="archiver retention show")
    body: dict[str, Any] = {"app": known.app, "app_id": known.app_id, "floor_ms": floor, "archived": total}
    body |= {
        "terms": known.terms._asdict(),
        **would._asdict(),
        "quarantined": records,
        "max_share": None if max_share is None else str(max_share),
    }
    body["today"] = None if today is None else today.isoformat()
    body["held"] = [one._asdict() for one in would.held]
    body |= {"first_ms": meant(would.first_ms), "last_ms": meant(would.last_ms)}
    wishes = {"app": known.app, "max_share": body["max_share"], "today": body["today"]}
    return Proposal(RETENTION, body, wishes), floor, would


ServerTime = Callable[[], int | None]
"""Asks any server for its time (ms); None where none can be asked."""


def apply(
    store: Store,
    settings: Settings,
    request: int,
    who: str,
    *,
    server_ms: ServerTime,
    stop: Event,
    progress: Callable[[int], None] = lambda _: None,
) -> Expired:
    """Delete what an approved request asks for. Raises DeletionStopped where a brake says no; then nothing is gone."""
    asked = _approved(store, request)
    term = TermOver(int(asked.body["app_id"]), int(asked.body["floor_ms"]))
    _demand_time(store, asked.body, server_ms)
    with store.patient.read() as tx:
        _demand_terms(tx, asked.body)
        _demand_scrub(tx, settings)
        _demand_count(tx, asked, term, settings)
    with store.write(lock="exclusive") as tx:
        if asked.state == "approved":
            asking.decide(tx, asked, "begun", asking.person(tx, who))
        _demand_terms(tx, asked.body)
        if (floors.of_app(tx, term.app_id) or -(2**63)) < term.floor_ms:
            floors.lower(tx, term.app_id, term.floor_ms, request)
    count = _delete(store, asked, term, stop, progress)
    records = _expire_records(store, asked, term, stop)
    _empty_hashes(store, term)
    with store.write(lock="exclusive") as tx:
        expiring.expire_events(tx, term)
    with store.read() as tx:
        return Expired(count, expiring.gone(tx, request), records)


def _expire_records(store: Store, asked: Asked, term: TermOver, stop: Event) -> int:
    after: int | None = 0
    count = 0
    while after is not None:
        if stop.is_set():
            raise Stopped("stopped; what is deleted is gone, the same command goes on")
        with store.patient.write(lock="exclusive") as tx:
            _demand_terms(tx, asked.body)
            emptied, after = expiring_records.expire(tx, term, asked.id, after)
        count += emptied
    return count


def _empty_hashes(store: Store, term: TermOver) -> None:
    """They lie over all that a page or a file brought, what was known included: with the neighbours that stay, guesses
    of what has expired could be tested."""
    emptied = 1
    while emptied:
        with store.write(lock="shared") as tx:
            emptied = unsalted.empty_below(tx, *term)


def _delete(store: Store, asked: Asked, term: TermOver, stop: Event, progress: Callable[[int], None]) -> int:
    pace = DeletionPace(store, expiring.MESSAGES_AT_ONCE, stop.wait)
    after: int | None = 0
    count = 0
    while after is not None:
        with store.patient.read() as tx:
            looked = expiring.look(tx, term, after)
        for page_ids in expiring.parts(looked, lambda: pace.size):
            if stop.is_set():
                raise Stopped("stopped; what is deleted is gone, the same command goes on")
            with pace.transaction() as tx:
                _demand_terms(tx, asked.body)
                count += expiring.expire(tx, term, asked.id, page_ids)
            progress(count)
        after = looked.last
    return count


def _approved(store: Store, request: int) -> Asked:
    """A request that may be carried out, or that was begun."""
    asked = decisions.find(store, request)
    if asked.kind != RETENTION:
        raise UsageError(f"request {request} is no retention plan", hint=f"archiver requests show {request}")
    with store.read() as tx:
        demand_whole(tx)
        now_ms = tx.now_ms()
    if asked.state == "begun":
        return asked
    if asked.state != "approved":
        hint = f"archiver requests approve {request}, by somebody else" if asked.state == "waiting" else "plan it again"
        raise UsageError(f"request {request} is {asked.state}, and not approved", hint=hint)
    if now_ms - (asked.when("approved") or 0) > decisions.APPROVED_FOR_MS:
        raise DeletionStopped(f"request {request} was approved more than 7 days ago", hint="archiver retention plan")
    return asked


def _demand_time(store: Store, body: Mapping[str, Any], server_ms: ServerTime) -> None:
    """The terms are over by a server's time, or by the day that the approver has confirmed."""
    with store.read() as tx:
        now_ms = tx.now_ms()
    told_ms = server_ms()
    if told_ms is None and body["today"] is None:
        raise DeletionStopped(
            "no server can be asked for the time, so the clock is not trusted",
            hint="archiver retention plan --today, with the date of today, which the approver confirms",
        )
    if told_ms is not None and now_ms > told_ms + _WARNED_MS:
        raise DeletionStopped("the clock is more than a day ahead of a server's", hint="archiver doctor")
    latest = date.fromisoformat(body["today"]) if told_ms is None else day(told_ms + _WARNED_MS)
    allowed = floor_ms(RetentionTerms(**body["terms"]), latest)
    if allowed is None or body["floor_ms"] > allowed:
        raise DeletionStopped("the plan was made by a clock that was ahead", hint="archiver retention plan")


def _demand_terms(tx: Tx, body: Mapping[str, Any]) -> None:
    """Longer terms are in force at once."""
    known = of_app(tx, str(body["app"]))
    today = date.fromisoformat(body["today"]) if body["today"] else day(tx.now_ms())
    allowed = floor_ms(known.terms, today)
    if known.app_id != body["app_id"] or allowed is None or body["floor_ms"] > allowed:
        raise DeletionStopped(f"by the terms of {known.app} now this has to stay", hint="archiver retention plan")


def _demand_scrub(tx: Tx, settings: Settings) -> None:
    """With evidence, what is deleted has been verified lately: an expiry must not cover up what was done before."""
    if ledger.head(tx) is None:
        return
    section, last = settings.evidence, scrubs.last(tx)
    every_ms = None if section is None else section.scrub_ms
    within_ms = _LATE_VERIFY_MS if every_ms is None else every_ms + _LATE_SCRUB_MS
    if last is None or last.ended_ms is None or tx.now_ms() - last.ended_ms > within_ms:
        raise DeletionStopped("the archive was not verified lately", hint="archiver evidence verify")
    if last.differences:
        raise DeletionStopped("the last verification has found differences", hint="archiver evidence verify")


def _demand_count(tx: Tx, asked: Asked, term: TermOver, settings: Settings) -> None:
    gone, left, total = expiring.gone(tx, asked.id), expiring.left(tx, term), expiring.archived(tx)
    planned = int(asked.body["messages"])
    if gone + left > planned * (1 + _SLACK):
        raise DeletionStopped(
            f"{gone + left:,} messages would go, and {planned:,} were planned", hint="archiver retention plan"
        )
    section = settings.lifecycle
    share = Decimal(asked.body["max_share"] or str(section.max_share if section else 0.1))
    if gone + left > share * (total + gone):
        raise DeletionStopped(
            f"{gone + left:,} of {total + gone:,} messages would go, more than a share of {share}",
            hint="archiver retention plan --max-share",
        )
