"""What codes of the archive are called: kinds of requests, events, looks, windows; one that nobody knows as it is."""

from __future__ import annotations

from archiver.page.calendar_signs import legend
from archiver.page.context import say


def role_name(role: str) -> str:
    """A role of the page."""
    names = {
        "reader": say("reader"),
        "officer": say("officer"),
        "auditor": say("auditor"),
        "operator": say("operator"),
    }
    return names.get(role, role)


def request_kind(kind: str) -> str:
    """What a request asks for."""
    return {
        "export": say("export"),
        "accept": say("accept a loss"),
        "rotate": say("rotate the key"),
        "erase": say("erase messages"),
        "retention": say("delete what is due"),
        "hold-release": say("release a hold"),
        "shorten": say("shorten a term"),
        "reapplied": say("erase again after a restore"),
    }.get(kind, kind)


def event_name(kind: str) -> str:
    """What a callback reports."""
    return {
        "message": say("announced"),
        "recall": say("recalled"),
        "edit": say("edited"),
        "moderation": say("moderated"),
        "reaction": say("reaction"),
        "thread": say("thread"),
        "ack": say("receipt"),
        "group": say("group"),
    }.get(kind, kind)


def signature_name(signed: str) -> str:
    """What the signature of a callback is worth."""
    return {
        "signed": say("signed by the provider"),
        "unsigned": say("not signed"),
        "wrong": say("wrong signature"),
        "replayed": say("replayed"),
    }.get(signed, signed)


def cause_name(cause: str) -> str:
    """Why a window was walked."""
    return {
        "live": say("live"),
        "backfill": say("backfill"),
        "audit": say("audit"),
        "before_first_contact": say("before the first contact"),
    }.get(cause, cause)


def pass_name(cause: str, number: int) -> str:
    """Which walk of a window: an early one, the first one by its cause, or an audit."""
    if number == 0:
        return say("early look")
    return cause_name(cause) if number == 1 or cause == "audit" else say("audit {number}", number=number - 1)


def outcome_name(outcome: str) -> str:
    """How a look or an export ended."""
    return {
        "shown": say("shown"),
        "begun": say("begun"),
        "done": say("done"),
        "stopped": say("stopped"),
        "failed": say("failed"),
    }.get(outcome, outcome)


def action_name(action: str) -> str:
    """What a look showed."""
    return {
        "search": say("search"),
        "list": say("list"),
        "conversation": say("conversation"),
        "message": say("message"),
        "raw": say("record as it came"),
        "file": say("file"),
        "quarantine": say("quarantine"),
        "proof": say("proof"),
        "events": say("events of callbacks"),
        "sealed": say("sealed"),
        "export": say("export"),
        "copy": say("copy"),
    }.get(action, action)


def legend_text(sign: str) -> str:
    """What a sign of the calendar says."""
    return next((text for known, _, text in legend() if known == sign), sign)


FUNCTIONS = (
    *(request_kind, event_name, signature_name, cause_name, pass_name, outcome_name, action_name, legend_text),
)
