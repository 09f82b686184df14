"""The inbox of decisions by two persons, and legal holds: placed here by one person, released by two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request
from werkzeug.exceptions import NotFound

from archiver.errors import UsageError
from archiver.lifecycle import adopting, decisions, erasing, holds, retention
from archiver.lifecycle.erasing import ErasureWish
from archiver.lifecycle.holds import Hold
from archiver.page import effects, exports, facts, forms
from archiver.page.context import asker, decides, demand_place, page, render, say, see, view, visitor
from archiver.page.searching import choices
from archiver.store.decisions import Asked
from archiver.store.holds import HoldCriteria, HoldEvent
from archiver.store.read.filters import Filter, asked_for

_LIST = 200


def show_request(number: int) -> Response:
    """What a request is about, and what was said to it."""
    return _request_page(number, 200, "")


def _request_page(number: int, status: int, problem: str) -> Response:
    asked = _known(number)
    mine = asked.who.lower() == visitor().row.who.lower()
    return render(
        *("request.html", status),
        asked=asked,
        mine=mine,
        facts=facts.of(asked.body),
        now=effects.now(asked.kind, asked.body),
        command=exports.command(asked) if asked.kind == "export" else "",
        is_open=asked.state in ("waiting", "approved"),
        decides=decides(),
        may_be_approved=decisions.may_be_approved(page().store, asked),
        carried_out=asked.kind in decisions.CARRIED_OUT,
        problem=problem,
    )


def _known(number: int) -> Asked:
    try:
        return decisions.find(page().store, number)
    except UsageError as error:
        forms.said(error)
        raise NotFound from None


def decide(number: int) -> Response:
    """Approve, refuse or withdraw exactly what was seen."""
    demand_place()
    asked, who = _known(number), visitor().row.who
    if request.form.get("seen") != asked.body_sha256:
        return _request_page(number, 400, say("This is not the request that you saw. Look at it again."))
    mine = asked.who.lower() == who.lower()
    acts: dict[str, Callable[[], Asked]] = {
        "approve": lambda: decisions.approve(page().store, number, asker()),
        "refuse": lambda: decisions.refuse(page().store, number, asker()),
        "withdraw": lambda: decisions.refuse(page().store, number, asker(), own=True),
    }
    act = acts.get(request.form.get("act", ""))
    if act is None:
        return _request_page(number, 400, say("Choose what to do."))
    if mine and request.form.get("act") == "approve":
        return _request_page(number, 400, say("This is your own request: another person has to approve it."))
    try:
        act()
    except UsageError as error:
        return _request_page(number, 400, forms.said(error))
    return see("request", number=number)


def show() -> Response:
    """The inbox, holds and terms; only where [lifecycle] is configured."""
    return _lifecycle_page(200, {}, "")


def _lifecycle_page(status: int, form: Mapping[str, str], problem: str) -> Response:
    _demand_lifecycle()
    everything = request.args.get("all") == "yes"
    row = visitor().row
    return render(
        *("lifecycle.html", status),
        **choices(),
        decides=decides(),
        drafts=adopting.everything(page().store)[:_LIST],
        requests=decisions.inbox(page().store, everything=everything)[:_LIST],
        holds=holds.everything(page().store)[:_LIST],
        terms=retention.show(page().store),
        everything=everything,
        form={"case": row.case_id or "", "reason": row.reason or "", **form},
        problem=problem,
        hold_state=_state,
        deletes=_deletes(),
    )


def _demand_lifecycle() -> None:
    if page().settings.lifecycle is None:
        raise NotFound


def _deletes() -> bool:
    """Whether anything may be erased here at all."""
    section = page().settings.lifecycle
    return section is not None and section.deletion


def place_hold() -> Response:
    """Place a hold: it is in force when this returns."""
    _demand_lifecycle()
    form = {name: value for name, value in request.form.items() if name != "csrf"}
    try:
        criteria = forms.criteria(request.form, page().calendar)
        covered = HoldCriteria(criteria, forms.text(request.form, "participant"))
        _demand_criteria(covered)
        case_id = forms.demanded(request.form, "case", say("Case id"))
        reason = forms.demanded(request.form, "reason", say("Reason"))
        name = forms.demanded(request.form, "name", say("Name"))
        placed = holds.add(page().store, name, covered, case_id=case_id, reason=reason, who=visitor().row.who)
    except UsageError as error:
        return _lifecycle_page(400, form, forms.said(error))
    return see("hold", number=placed.hold_id)


def _demand_criteria(covered: HoldCriteria) -> None:
    if not covered.names_anything():
        raise UsageError(say("This would hold every message. Name a person, a conversation or days."))


def ask_erasure() -> Response:
    """Ask for an erasure; another person approves it, and a command carries it out."""
    _demand_lifecycle()
    demand_place()
    form = {name: value for name, value in request.form.items() if name != "csrf"}
    try:
        criteria = forms.criteria(request.form, page().calendar)
        _demand_choice(criteria)
        case_id = forms.demanded(request.form, "case", say("Case id"))
        reason = forms.demanded(request.form, "reason", say("Reason"))
        asked = erasing.ask(page().measuring, ErasureWish(criteria, None, (), case_id, reason), asker())
    except UsageError as error:
        return _lifecycle_page(400, form, _unfound(error))
    return see("request", number=asked.request.number)


def _demand_choice(criteria: Filter) -> None:
    if not asked_for(criteria):
        raise UsageError(say("This would erase every message. Name a person, a conversation or days."))


def _unfound(error: UsageError) -> str:
    text = forms.said(error)
    return say("The archive has no such message.") if text == "the archive has no such message" else text


def show_hold(number: int) -> Response:
    """One hold, with how much it covers."""
    _demand_lifecycle()
    hold = _hold(number)
    counts = holds.count(page().store, hold)
    return render(
        "hold.html",
        hold=hold,
        counts=counts,
        state=_state(hold),
        event_name=_event,
        covers=_covers,
        decides=decides(),
    )


def _hold(number: int) -> Hold:
    try:
        return holds.find(page().store, number)
    except UsageError as error:
        forms.said(error)
        raise NotFound from None


def release_hold(number: int) -> Response:
    """Ask for the release; another person approves it, and it ends 30 days later."""
    _demand_lifecycle()
    demand_place()
    _hold(number)
    reason = forms.demanded(request.form, "reason", say("Reason"))
    return see("request", number=holds.ask_release(page().store, number, reason, asker()).number)


def _state(hold: Hold) -> str:
    return {
        holds.IN_FORCE: say("in force"),
        holds.ENDING: say("in force, release approved"),
        holds.RELEASED: say("released"),
    }[hold.state]


def _event(event: HoldEvent) -> str:
    return {"placed": say("placed"), "widened": say("widened"), "released": say("release approved")}[event.event]


def _covers(event: HoldEvent) -> list[tuple[str, Any]]:
    names = {
        "app": say("app"),
        "sender": say("sender"),
        "recipient": say("recipient"),
        "conversation": say("conversation"),
        "participant": say("participant"),
    }
    known = [(label, getattr(event, name)) for name, label in names.items() if getattr(event, name) is not None]
    limits = ((say("from"), event.from_ms), (say("to"), event.to_ms))
    known += [(label, view().calendar.said(ms)) for label, ms in limits if ms is not None]
    return known + ([(say("listed messages"), say("yes"))] if event.is_list else [])
