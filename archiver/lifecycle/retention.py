"""Terms of retention: one person makes them longer, at once; to make one shorter takes two."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from archiver.errors import UsageError
from archiver.lifecycle import proposals
from archiver.lifecycle.holds import demand_whole
from archiver.lifecycle.proposals import Asker, Made, Proposal
from archiver.store import decisions, retention
from archiver.store.decisions import Asked
from archiver.store.engine import Store, Tx
from archiver.store.read import filters
from archiver.store.retention import RetentionTerms, SetTerms

SHORTEN = "shorten"
_FORM = re.compile(r"([1-9][0-9]{0,6})([yd])")
_MOST = {"y": 1_000, "d": 365_250}
_LEAST_DAYS, _MOST_DAYS = {"y": 365, "d": 1}, {"y": 366, "d": 1}
"""Of a calendar year: which it is depends on the message."""


def parse(text: str) -> str | None:
    """A term as somebody writes it: `5y`, `1826d`, or `none`. Raises ValueError for anything else."""
    term = text.strip().lower()
    if term == "none":
        return None
    if (form := _FORM.fullmatch(term)) is None or int(form[1]) > _MOST[form[2]]:
        raise ValueError(f"{text!r} is no term: 5y (calendar years), 1826d (days), or none")
    return term


def may_be_shorter(old: str, new: str) -> bool:
    """Whether for some message the second term ends before the first one."""
    (old_count, old_unit), (new_count, new_unit) = _parts(old), _parts(new)
    if old_unit == new_unit:
        return new_count < old_count
    return new_count * _LEAST_DAYS[new_unit] < old_count * _MOST_DAYS[old_unit]


def _parts(term: str) -> tuple[int, str]:
    return int(term[:-1]), term[-1]


def shortens(old: RetentionTerms, new: RetentionTerms) -> bool:
    """Whether a message may go earlier by the new terms than by the old ones."""
    least, before = new.keep_at_least, old.keep_at_least
    if before is not None and (least is None or may_be_shorter(before, least)):
        return True
    most, before = new.keep_at_most, old.keep_at_most
    return most is not None and (before is None or may_be_shorter(before, most))


class TermsSet(NamedTuple):
    """What came of it: the terms in force now, and the request that another person has to approve, if it takes one."""

    terms: RetentionTerms
    request: Made | None = None


def show(store: Store) -> list[SetTerms]:
    """The terms in force, by app."""
    with store.read() as tx:
        demand_whole(tx)
        return retention.read(tx)


def change(store: Store, app: str, wanted: Mapping[str, str | None], *, reason: str, asker: Asker) -> TermsSet:
    """Set what is given of `keep_at_least` and `keep_at_most`, or ask for it where something becomes shorter.

    Raises UsageError for terms that contradict each other, that are in force already, or of an app that is not there.
    """
    with store.write(lock="exclusive") as tx:
        before, terms = _changed(tx, app, wanted)
        if not shortens(before.terms, terms):
            retention.add(tx, before.app_id, terms, reason=reason, who=decisions.person(tx, asker.name))
            return TermsSet(terms)
        return TermsSet(before.terms, proposals.made(tx, _shorter(before, terms, wanted, reason), asker))


def _changed(tx: Tx, app: str, wanted: Mapping[str, str | None]) -> tuple[SetTerms, RetentionTerms]:
    """The terms of an app as they are, and as they would be."""
    demand_whole(tx)
    before = of_app(tx, app)
    terms = before.terms._replace(**wanted)
    _demand_consistent(terms)
    if terms == before.terms:
        raise UsageError(f"these are the terms of {before.app} already", hint="archiver retention show")
    return before, terms


def _shorter(before: SetTerms, terms: RetentionTerms, wanted: Mapping[str, str | None], reason: str) -> Proposal:
    body: dict[str, Any] = {"app": before.app, "app_id": before.app_id, **terms._asdict()}
    body |= {"before": before.terms._asdict(), "reason": reason}
    return Proposal(SHORTEN, body, {"app": before.app, "terms": dict(wanted), "reason": reason})


def propose_shorter(tx: Tx, app: str, wanted: Mapping[str, str | None], reason: str) -> Proposal:
    """What shorter terms come to. Raises UsageError as `change`, and where nothing becomes shorter."""
    before, terms = _changed(tx, app, wanted)
    if not shortens(before.terms, terms):
        raise UsageError(f"nothing of {before.app} becomes shorter by this any more", hint="archiver retention set")
    return _shorter(before, terms, wanted, reason)


def shorten(tx: Tx, asked: Asked, who: str) -> None:
    """Set shorter terms, as was asked and approved in this transaction.

    Raises UsageError where the terms are no longer those that the request was made about.
    """
    body = asked.body
    if of_app(tx, str(body["app"])).terms != RetentionTerms(**body["before"]):
        raise UsageError(
            f"the terms of {body['app']} have changed since request {asked.id} was made",
            hint=f"archiver requests refuse {asked.id}, and ask again: archiver retention set",
        )
    terms = RetentionTerms(body["keep_at_least"], body["keep_at_most"])
    retention.add(tx, int(body["app_id"]), terms, reason=str(body["reason"]), who=who, request_id=asked.id)


def of_app(tx: Tx, app: str) -> SetTerms:
    """The terms of an app. Raises UsageError for one that is not archived."""
    names = filters.app_names(tx, app)
    if len(names) > 1:
        raise UsageError(f"several apps are called {app}: {', '.join(sorted(names))}", hint="--app with its whole name")
    return next(one for one in retention.read(tx) if one.app in names)


def _demand_consistent(terms: RetentionTerms) -> None:
    least, most = terms
    if least is not None and most is not None and may_be_shorter(least, most):
        hint = "an --at-most that is not shorter than --at-least, or none"
        raise UsageError(f"what must stay for {least} cannot be due for deletion after {most}", hint=hint)
