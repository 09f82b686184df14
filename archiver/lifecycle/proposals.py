"""What somebody asks two persons to decide: a request, or a draft where requests are made on the review page.

Requests are made and decided on in one place. In two, one person with a login here and a name there would be two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from archiver.errors import UsageError
from archiver.store import decisions, drafts, erasures, installation
from archiver.store.engine import Store, Tx
from archiver.store.erasures import RequestItem
from archiver.store.installation import DATABASE, PAGE

PLACE, DRAFTED_BY = "place", "drafted_by"
"""What the bodies of requests say of how they came about, and not of what is asked for."""


class Proposal(NamedTuple):
    """What is asked for. `wish`: from what `body` and `items`, the messages that it names, are measured again."""

    kind: str
    body: Mapping[str, Any]
    wish: Mapping[str, Any]
    items: Sequence[RequestItem] = ()


class Asker(NamedTuple):
    """Who asks or decides: the account of a command, or the name of who has signed in on the page."""

    name: str
    on_page: bool = False


class Made(NamedTuple):
    """What came of it: the number of a request, or of a draft that somebody adopts on the review page."""

    number: int
    is_draft: bool = False


def make(store: Store, proposal: Proposal, asker: Asker) -> Made:
    """Ask for something. Raises UsageError on the page where commands ask."""
    with store.write() as tx:
        return made(tx, proposal, asker)


def made(tx: Tx, proposal: Proposal, asker: Asker, drafted_by: str | None = None) -> Made:
    """The same within a transaction. `drafted_by`: who stored the draft that the asker adopts."""
    place, who = installation.decided_in(tx), decisions.person(tx, asker.name)
    if place == PAGE and not asker.on_page:
        return Made(drafts.add(tx, proposal.kind, proposal.wish, proposal.body, who), is_draft=True)
    demand_place(tx, asker)
    body = dict(proposal.body)
    body |= {PLACE: PAGE} if place == PAGE else {}
    body |= {} if drafted_by is None else {DRAFTED_BY: drafted_by}
    number = decisions.add(tx, proposal.kind, body, who)
    if proposal.items:
        erasures.add_items(tx, number, proposal.items)
    return Made(number)


def demand_place(tx: Tx, asker: Asker) -> None:
    """Raises UsageError for who asks or decides in another place than this archive's."""
    place = installation.decided_in(tx)
    if place == PAGE and not asker.on_page:
        hint = "sign in on the review page (archiver review), and decide there"
        raise UsageError('requests are decided on the review page alone ([lifecycle] decided_in = "page")', hint=hint)
    if place == DATABASE and asker.on_page:
        hint = 'archiver requests list; or [lifecycle] decided_in = "page", and archiver migrate'
        raise UsageError('requests are decided by commands here ([lifecycle] decided_in = "database")', hint=hint)


def subject(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a request asks for, without how it came about."""
    return {name: value for name, value in body.items() if name not in (PLACE, DRAFTED_BY)}


def is_from_here(tx: Tx, body: Mapping[str, Any]) -> bool:
    """Whether a request was made where this archive decides now."""
    place = installation.decided_in(tx)
    return place is None or body.get(PLACE, DATABASE) == place
