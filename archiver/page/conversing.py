"""Conversations as chats read: by day, with what is not archived between the messages; and lists of who there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

from flask import Response, request
from werkzeug.datastructures import ImmutableMultiDict

from archiver import conversation, coverage, directory, statement
from archiver.conversation import ALL_TIME
from archiver.errors import UsageError
from archiver.model import Window
from archiver.page import forms, reading
from archiver.page.context import ReviewPage, open_look, page, render, say
from archiver.page.reading import DayMark, Gap, RangeVerdict, ShownMessage
from archiver.page.searching import choices
from archiver.page.viewings import LookAnswer
from archiver.page.wording import day
from archiver.store.engine import Tx
from archiver.store.read import conversations, listing
from archiver.store.read.conversations import ConversationKey, Thread
from archiver.store.read.filters import Filter, asked_for
from archiver.store.read.messages import readable

MESSAGES, ROWS = 100, 200
Where = Literal["first", "last", "after", "before", "around"]


class ConversationPage(NamedTuple):
    """What is drawn. `earlier` and `later`: what their buttons send; None where there is no more."""

    thread: Thread
    pieces: tuple[DayMark | Gap | ShownMessage, ...]
    verdict: RangeVerdict
    earlier: Mapping[str, object] | None
    later: Mapping[str, object] | None
    at: ConversationKey | None


class _Keys(NamedTuple):
    keys: Sequence[ConversationKey]
    has_earlier: bool
    has_later: bool


@dataclass(frozen=True, slots=True)
class ConversationLook:
    """A page of a conversation: its first or last messages in a range, or those beside a key."""

    app: str | None
    name: str
    window: Window = ALL_TIME
    where: Where = "last"
    key: ConversationKey | None = None
    number: int = 1
    action: ClassVar[str] = "conversation"
    template: ClassVar[str] = "conversation.html"

    def asked(self) -> dict[str, Any]:
        lo_ms, hi_ms = self.limits()
        return asked_for(Filter(self.app, conversation=self.name, from_ms=lo_ms, to_ms=hi_ms))

    def limits(self) -> tuple[int | None, int | None]:
        """The range as somebody gave it."""
        lo_ms, hi_ms = self.window
        return (None if lo_ms == ALL_TIME.lo_ms else lo_ms), (None if hi_ms == ALL_TIME.hi_ms else hi_ms)

    def read(self, place: ReviewPage) -> LookAnswer:
        store = place.store
        thread = conversation.find(store, self.name, self.app)
        with store.read() as tx:
            chosen = self._keys(tx, thread)
            ids = listing.there(tx, thread.app_id, [key.msg_id for key in chosen.keys])
            messages = readable(tx, thread.app_id, thread.app, ids)
            shown = reading.marked(tx, thread.app_id, messages)
            files = reading.files_of(tx, thread.app_id, messages)
            claims = coverage.claimed(tx, thread.app)
            made = statement.of(tx, *self._span(chosen), thread.app, claims=claims)
            asked = statement.of(tx, *self.limits(), thread.app, claims=claims)
        pieces = tuple(reading.in_order(shown, reading.gaps(made), day))
        verdict = reading.verdict(asked)
        earlier = self._button(chosen.keys[0], "before") if chosen.has_earlier else None
        later = self._button(chosen.keys[-1], "after") if chosen.has_later else None
        content = ConversationPage(thread, pieces, verdict, earlier, later, self.key)
        return LookAnswer(content, len(shown), ((thread.app, thread.conversation),), files)

    def _keys(self, tx: Tx, thread: Thread) -> _Keys:
        """One more is asked for than is shown: it tells whether there is more."""
        if self.where in ("first", "after"):
            keys = conversations.page(tx, thread, self.window, self.key, MESSAGES + 1)
            return _Keys(keys[:MESSAGES], self.where == "after", len(keys) > MESSAGES)
        if self.where in ("last", "before"):
            keys = conversations.before(tx, thread, self.window, self.key, MESSAGES + 1)
            return _Keys(keys[-MESSAGES:], len(keys) > MESSAGES, self.where == "before")
        half, key = MESSAGES // 2, self.key or ConversationKey(*ALL_TIME[:1], "")
        earlier = conversations.before(tx, thread, self.window, key, half + 1)
        later = conversations.page(tx, thread, self.window, key, half + 1)
        here = [key] if listing.there(tx, thread.app_id, [key.msg_id]) else []
        return _Keys([*earlier[-half:], *here, *later[:half]], len(earlier) > half, len(later) > half)

    def _span(self, chosen: _Keys) -> tuple[int | None, int | None]:
        """The time that is drawn: to the ends of the range where the page reaches them."""
        lo_ms, hi_ms = self.limits()
        stamps = [key.timestamp_ms for key in chosen.keys if 0 <= key.timestamp_ms < 2**47]
        if chosen.has_earlier and stamps:
            lo_ms = stamps[0]
        if chosen.has_later and stamps:
            hi_ms = stamps[-1] + 1
        if lo_ms is not None and hi_ms is not None and lo_ms >= hi_ms:
            hi_ms = lo_ms + 1
        return lo_ms, hi_ms

    def _button(self, key: ConversationKey, where: Where) -> dict[str, object]:
        return {
            **self._range(),
            "where": where,
            "at_ms": key.timestamp_ms,
            "at_id": key.msg_id,
            "number": self.number + 1,
        }

    def _range(self) -> dict[str, object]:
        lo_ms, hi_ms = self.limits()
        given = {"app": self.app, "conversation": self.name, "lo_ms": lo_ms, "hi_ms": hi_ms}
        return {name: value for name, value in given.items() if value is not None}


def open_conversation() -> Response:
    """Open a conversation: by the form, or by a button beside its messages."""
    form = request.form
    try:
        return open_look(_look(form))
    except UsageError as error:
        given = {name: value for name, value in form.items() if name != "csrf"}
        return render("search.html", 400, **choices(), form=given, problem=_said(error))


def _said(error: UsageError) -> str:
    """The one thing that is asked for and not there, in the reader's language."""
    if str(error).startswith("there is no conversation"):
        return say("There is no such conversation in the archive. The list of a person's conversations has their ids.")
    return forms.said(error)


def _look(form: ImmutableMultiDict[str, str]) -> ConversationLook:
    name = _named(form)
    days = forms.criteria(form, page().calendar)
    lo_ms, hi_ms = forms.number(form, "lo_ms"), forms.number(form, "hi_ms")
    lo_ms, hi_ms = days.from_ms if lo_ms is None else lo_ms, days.to_ms if hi_ms is None else hi_ms
    window = Window(ALL_TIME.lo_ms if lo_ms is None else lo_ms, ALL_TIME.hi_ms if hi_ms is None else hi_ms)
    look = ConversationLook(forms.text(form, "app"), name, window, "last" if lo_ms is None else "first")
    at_ms, at_id, where = forms.number(form, "at_ms"), form.get("at_id", ""), form.get("where")
    number = max(1, min(forms.number(form, "number") or 1, 1_000_000))
    if (jump_ms := forms.day_begins(form, "jump", page().calendar)) is not None:
        return replace(look, where="after", key=ConversationKey(jump_ms, ""))
    if at_ms is None or len(at_id) > 1_000 or "\0" in at_id:
        return look
    known: dict[str, Where] = {"after": "after", "before": "before", "around": "around"}
    return replace(look, where=known.get(where or "", "around"), key=ConversationKey(at_ms, at_id), number=number)


def _named(form: Mapping[str, str]) -> str:
    """A group's id, or two users."""
    first, second = forms.text(form, "conversation"), forms.text(form, "with")
    if first is None:
        raise UsageError(say("Name two people, or the id of a group."))
    return first if second is None else f"{first}|{second}"


@dataclass(frozen=True, slots=True)
class DirectoryLook:
    """The conversations of somebody, or the people whose id has a part."""

    kind: Literal["conversations", "participants"]
    name: str | None
    app: str | None = None
    action: ClassVar[str] = "list"
    number: ClassVar[int] = 1

    @property
    def template(self) -> str:
        return f"{self.kind}.html"

    def asked(self) -> dict[str, Any]:
        field = "of" if self.kind == "conversations" else "like"
        return asked_for(Filter(self.app), **{field: self.name, "list": self.kind})

    def read(self, place: ReviewPage) -> LookAnswer:
        if self.kind == "conversations":
            limits = (None, None)
            rows = directory.conversations(place.store, app=self.app, user=self.name, limits=limits, most=ROWS + 1)
        else:
            rows = directory.participants(place.store, app=self.app, like=self.name, most=ROWS + 1)
        return LookAnswer((rows[:ROWS], len(rows) > ROWS), len(rows[:ROWS]))


def list_conversations() -> Response:
    """The conversations of somebody."""
    return open_look(DirectoryLook("conversations", forms.text(request.form, "of"), forms.text(request.form, "app")))


def list_participants() -> Response:
    """Who there is."""
    return open_look(DirectoryLook("participants", forms.text(request.form, "like"), forms.text(request.form, "app")))
