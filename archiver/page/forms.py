"""Forms as values: what somebody typed, in the zone of the page. Raises UsageError with what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

from archiver.errors import UsageError
from archiver.page.context import say, view
from archiver.store.read.filters import Filter, asked_for
from archiver.zones import Calendar

TYPES = ("txt", "img", "audio", "video", "file", "loc", "custom", "combine", "cmd")
_LONGEST = 500


class SearchTerms(NamedTuple):
    """What is searched for. Without texts: all messages of the filter."""

    texts: tuple[str, ...]
    any_of: bool
    criteria: Filter

    def asked(self) -> dict[str, Any]:
        """What a look says of them."""
        return asked_for(self.criteria, texts=self.texts, any=self.any_of or None)


def text(form: Mapping[str, str], name: str) -> str | None:
    """One line; None where nothing stands in it."""
    value = form.get(name, "").strip()
    if len(value) > _LONGEST or "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise UsageError(say("A field takes at most {most} characters.", most=_LONGEST))
    return value or None


def demanded(form: Mapping[str, str], name: str, label: str) -> str:
    """The same where something has to stand in it."""
    value = text(form, name)
    if value is None:
        raise UsageError(say("{label}: nothing was written there.", label=label))
    return value


def terms(form: Mapping[str, str], calendar: Calendar) -> SearchTerms:
    """The form of a search. Words in quotes are one text."""
    words = text(form, "words") or ""
    texts = tuple(quoted or word for quoted, word in re.findall(r'["“]([^"“”]+)["”]|([^\s"“”]+)', words))
    return SearchTerms(texts, form.get("any") == "yes", criteria(form, calendar))


def criteria(form: Mapping[str, str], calendar: Calendar) -> Filter:
    """The filter of a form. The last day is meant with all of its hours."""
    from_ms, to_ms = day_begins(form, "from", calendar), day_begins(form, "to", calendar, later=1)
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise UsageError(say("The last day lies before the first."))
    chosen = form.get("type") or None
    if chosen is not None and chosen not in TYPES:
        raise UsageError(say("There is no such type of messages."))
    return Filter(
        app=text(form, "app"),
        sender=text(form, "sender"),
        recipient=text(form, "recipient"),
        conversation=text(form, "conversation"),
        from_ms=from_ms,
        to_ms=to_ms,
        types=() if chosen is None else (chosen,),
    )


def day_begins(form: Mapping[str, str], name: str, calendar: Calendar, *, later: int = 0) -> int | None:
    """When a day begins that somebody has chosen, or so many days later (ms)."""
    value = text(form, name)
    if value is None:
        return None
    try:
        return calendar.begins(date.fromisoformat(value) + timedelta(days=later))
    except (ValueError, OverflowError):
        raise UsageError(say("{value} is no day; write it as 2026-10-31.", value=value)) from None


def number(form: Mapping[str, str], name: str) -> int | None:
    """A whole number that the page itself has put there."""
    value = form.get(name, "")
    if not re.fullmatch(r"-?[0-9]{1,19}", value):
        return None
    return int(value) if -(2**63) <= int(value) < 2**63 else None


def said(error: UsageError) -> str:
    """What is wrong with what somebody typed. Raises an error of any other kind again, as a database's is."""
    if type(error) is not UsageError:
        raise error
    return view().language.error(str(error))


class MessageName(NamedTuple):
    """Which message: app and id, as a button sends them."""

    app: str
    msg_id: str


def message_name(form: Mapping[str, str]) -> MessageName:
    """From `org#app id`; apps have no blank in their names."""
    app, blank, msg_id = form.get("message", "").partition(" ")
    if not blank or not msg_id or len(msg_id) > 1_000 or "\0" in msg_id:
        raise UsageError(say("No message was chosen."))
    return MessageName(app, msg_id)
