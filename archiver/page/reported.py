"""What callbacks reported, by its texts: events whose words are in no message, as what a message was changed into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from archiver import search
from archiver.errors import UsageError
from archiver.page import forms
from archiver.page.context import ReviewPage, say
from archiver.page.forms import SearchTerms
from archiver.page.viewings import LookAnswer
from archiver.store.engine import Tx
from archiver.store.read import filters, listing
from archiver.store.read.events import EventHit, EventKey

ROWS = 50


class ReportedEvent(NamedTuple):
    """An event on the screen. `message`: the one it is about, as a button sends it; None where the archive has none."""

    hit: EventHit
    message: str | None


class EventsPage(NamedTuple):
    """One page of events. `further`: what the button for the next page sends; None on the last one."""

    rows: tuple[ReportedEvent, ...]
    further: Mapping[str, object] | None
    form: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EventsLook:
    """A page of events that hold the words."""

    terms: SearchTerms
    form: Mapping[str, str]
    after: EventKey | None = None
    number: int = 1
    action: ClassVar[str] = "events"
    template: ClassVar[str] = "events.html"

    def asked(self) -> dict[str, Any]:
        return self.terms.asked()

    def read(self, place: ReviewPage) -> LookAnswer:
        texts, any_of, criteria = self.terms
        if not texts:
            raise UsageError(say("Write a word: events of callbacks are found by their texts alone."))
        rows = search.find_events_page(place.store, texts, criteria, self.after, ROWS + 1, any_of=any_of)
        chosen = [hit for _, hit in rows[:ROWS]]
        with place.store.read() as tx:
            there = _archived(tx, chosen)
        shown = tuple(ReportedEvent(hit, _name(hit) if _target(hit) in there else None) for hit in chosen)
        further = _further(rows[ROWS - 1][0], self.number + 1) if len(rows) > ROWS else None
        conversations = tuple(dict.fromkeys((hit.app, hit.conversation) for hit in chosen))
        return LookAnswer(EventsPage(shown, further, self.form), len(shown), conversations)


def place_of(form: Mapping[str, str]) -> EventKey | None:
    """Behind which event the next page begins."""
    number = forms.number(form, "after_id")
    return None if number is None else EventKey(forms.number(form, "after_at_ms"), number)


def _further(last: EventKey, number: int) -> dict[str, object]:
    return {f"after_{name}": value for name, value in last._asdict().items()} | {"number": number}


def _target(hit: EventHit) -> tuple[str, str | None]:
    return hit.app, hit.target_msg_id or hit.msg_id


def _name(hit: EventHit) -> str:
    return " ".join((hit.app, hit.target_msg_id or hit.msg_id or ""))


def _archived(tx: Tx, hits: Sequence[EventHit]) -> set[tuple[str, str | None]]:
    """The messages that these events are about, as far as they may be read."""
    ids: dict[str, list[str]] = {}
    for app, msg_id in map(_target, hits):
        if msg_id is not None:
            ids.setdefault(app, []).append(msg_id)
    return {
        (app, msg_id)
        for app, msg_ids in ids.items()
        for msg_id in listing.there(tx, filters.app_ids(tx, app)[0], msg_ids)
    }
