"""Search: a form, and pages of hits with what stands beside them in their conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from flask import Response, request

from archiver import coverage, search, statement
from archiver.errors import UsageError
from archiver.model import Archived
from archiver.page import forms, reading, reported
from archiver.page.context import ReviewPage, open_look, page, render, say
from archiver.page.forms import TYPES, SearchTerms
from archiver.page.reading import RangeVerdict, ShownMessage
from archiver.page.reported import EventsLook
from archiver.page.viewings import LookAnswer, ShownFile
from archiver.page.wording import options
from archiver.store import looks
from archiver.store.engine import Tx
from archiver.store.read import events, listing
from archiver.store.read.listing import ListKey
from archiver.store.search.statements import Place

HITS = 50


class HitGroup(NamedTuple):
    """A hit between the message before and the one after it. `revision`: 0 where the first copy holds the text."""

    messages: tuple[ShownMessage, ...]
    revision: int

    @property
    def hit(self) -> ShownMessage:
        return next(shown for shown in self.messages if shown.is_hit)


class Hits(NamedTuple):
    """One page of hits. `further`: what the button for the next page sends; None on the last one."""

    groups: tuple[HitGroup, ...]
    verdict: RangeVerdict
    further: Mapping[str, object] | None
    form: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SearchLook:
    """A page of hits: of texts, or of all messages of a person or a conversation."""

    terms: SearchTerms
    form: Mapping[str, str]
    after: Place | None = None
    number: int = 1
    action: ClassVar[str] = "search"
    template: ClassVar[str] = "hits.html"

    def asked(self) -> dict[str, Any]:
        return self.terms.asked()

    def read(self, place: ReviewPage) -> LookAnswer:
        store, criteria = place.store, self.terms.criteria
        places = self._places(place)
        chosen = places[:HITS]
        with store.read() as tx:
            groups, files = _groups(tx, [one for one in chosen if one.is_shown])
            range_ms = (criteria.from_ms, criteria.to_ms)
            made = statement.of(tx, *range_ms, criteria.app, claims=coverage.claimed(tx))
        further = _further(chosen[-1], self.number + 1) if len(places) > HITS else None
        shown = [message.archived for group in groups for message in group.messages]
        content = Hits(tuple(groups), reading.verdict(made), further, self.form)
        return LookAnswer(content, len(groups), reading.conversations_of(shown), files)

    def _places(self, place: ReviewPage) -> list[_Place]:
        texts, any_of, criteria = self.terms
        if texts:
            hits = search.find_page(place.store, texts, criteria, self.after, HITS + 1, any_of=any_of)
            return [_Place(at, hit is not None) for at, hit in hits]
        if not (criteria.sender or criteria.recipient or criteria.conversation):
            raise UsageError(say("Write a word to search for, or name a person or a conversation."))
        after = None if self.after is None else ListKey(*self.after[:3])
        with place.store.read() as tx:
            keys = listing.keys(tx, criteria, after, HITS + 1)
        return [_Place(Place(*key, 0, 0), True) for key in keys]


class _Place(NamedTuple):
    at: Place
    is_shown: bool


def _further(last: _Place, number: int) -> dict[str, object]:
    return {f"after_{name}": value for name, value in last.at._asdict().items()} | {"number": number}


_Key = tuple[int, str]
"""App and message."""


def _groups(tx: Tx, hits: Sequence[_Place]) -> tuple[list[HitGroup], dict[str, ShownFile]]:
    """Hits with their neighbours; a message that holds the text more than once is shown once."""
    revisions = {ListKey(*hit.at[:3]): hit.at.revision for hit in reversed(hits)}
    keys = list(dict.fromkeys(ListKey(*hit.at[:3]) for hit in hits))
    known = listing.archived(tx, keys)
    beside = {key: _beside(tx, key, known[key[1:]]) for key in keys if key[1:] in known}
    known |= listing.archived(tx, [one for pair in beside.values() for one in pair if one is not None])
    marked, files = _marked(tx, known)
    groups = []
    for key, (earlier, later) in beside.items():
        chosen = [one for one in (earlier, key, later) if one is not None and one[1:] in marked]
        messages = tuple(marked[one[1:]]._replace(is_hit=one == key) for one in chosen)
        groups.append(HitGroup(messages, revisions[key]))
    return groups, files


def _beside(tx: Tx, key: ListKey, archived: Archived) -> tuple[ListKey | None, ListKey | None]:
    conversation = archived.message.conversation
    return (None, None) if conversation is None else listing.beside(tx, key, conversation)


def _marked(tx: Tx, known: Mapping[_Key, Archived]) -> tuple[dict[_Key, ShownMessage], dict[str, ShownFile]]:
    marked: dict[_Key, ShownMessage] = {}
    files: dict[str, ShownFile] = {}
    for app_id in dict.fromkeys(app_id for app_id, _ in known):
        messages = [one for (of, _), one in known.items() if of == app_id]
        files |= reading.files_of(tx, app_id, messages)
        for shown in reading.marked(tx, app_id, messages):
            marked[app_id, shown.archived.message.msg_id] = shown
    return marked, files


def show() -> Response:
    """The forms: words, a conversation, and lists of those who may be meant."""
    return render("search.html", **choices(), form={}, problem="")


def choices() -> dict[str, Any]:
    """What a search form lets one choose."""
    with page().store.read() as tx:
        apps, has_events = looks.apps_named(tx, None), events.has_any(tx)
    return {"apps": apps, "types": options(TYPES), "has_events": has_events}


def find() -> Response:
    """Search, and lead to what was found; or the form again, with what is wrong in it."""
    form = {name: value for name, value in request.form.items() if name != "csrf" and not name.startswith("after_")}
    try:
        terms = forms.terms(request.form, page().calendar)
        number = max(1, min(forms.number(request.form, "number") or 1, 1_000_000))
        form.pop("number", None)
        if form.get("in") == "events":
            return open_look(EventsLook(terms, form, reported.place_of(request.form), number))
        return open_look(SearchLook(terms, form, _after(request.form), number))
    except UsageError as error:
        return render("search.html", 400, **choices(), form=form, problem=forms.said(error))


def _after(form: Mapping[str, str]) -> Place | None:
    names = ("timestamp_ms", "app_id", "revision", "position")
    numbers = {name: forms.number(form, f"after_{name}") for name in names}
    msg_id = form.get("after_msg_id", "")
    if None in numbers.values() or not msg_id or len(msg_id) > 1_000 or "\0" in msg_id:
        return None
    return Place(msg_id=msg_id, **{name: value for name, value in numbers.items() if value is not None})
