"""Bodies of requests and drafts in words: what is chosen, what it would do, and what is in its way.

Officers may add requests and drafts by SQL, so any JSON may stand in one: what has not our form is shown as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from archiver.export.request import in_words
from archiver.export.wording import Wording
from archiver.page.context import say, view

_LONGEST = 2_000
Fact = tuple[str, str]


def of(body: Mapping[str, Any]) -> list[Fact]:
    """What is in a body, labelled."""
    known: list[Fact] = []
    for name, value in body.items():
        if name == "filter" and isinstance(value, Mapping):
            known += [(say("chosen"), text) for text in _chosen(value)]
        elif value not in (None, False) and name not in _UNSAID:
            known.append((LABELS[name]() if name in LABELS else name, _spoken(name, value)))
    return [(label, text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…") for label, text in known]


def _chosen(options: Mapping[str, Any]) -> list[str]:
    wording = Wording(view().language.name, view().calendar)
    texts = [text for name, value in options.items() if name != "ids" for text in _option(name, value, wording)]
    listed = options.get("ids")
    texts += [] if listed is None else [say("{count} listed messages", count=listed)]
    return texts or [say("everything")]


def _option(name: str, value: object, wording: Wording) -> list[str]:
    try:
        return in_words({name: value}, wording)
    except (KeyError, ValueError, TypeError, OverflowError):
        return [f"{name}: {value}"]


_UNSAID = ("app_id", "related_left_ids", "place", "journal")
LABELS: Mapping[str, Callable[[], str]] = {
    "format": lambda: say("format"),
    "case": lambda: say("case"),
    "reason": lambda: say("reason"),
    "attachments": lambda: say("attachments"),
    "language": lambda: say("language"),
    "zone": lambda: say("zone"),
    "hold": lambda: say("hold"),
    "name": lambda: say("name"),
    "app": lambda: say("app"),
    "apps": lambda: say("app"),
    "keep_at_least": lambda: say("kept at least"),
    "keep_at_most": lambda: say("kept at most"),
    "before": lambda: say("before"),
    "terms": lambda: say("Terms"),
    "from_ms": lambda: say("from"),
    "to_ms": lambda: say("to"),
    "floor_ms": lambda: say("stamped before"),
    "messages": lambda: say("messages"),
    "first_ms": lambda: say("first"),
    "last_ms": lambda: say("last"),
    "by_month": lambda: say("by month: messages, bytes"),
    "held": lambda: say("kept by holds"),
    "drafted_by": lambda: say("drafted by"),
    "to": lambda: say("to"),
    "finish": lambda: say("the configured key alone is valid"),
    "bytes": lambda: say("bytes"),
    "files": lambda: say("files"),
    "file_bytes": lambda: say("bytes of files"),
    "before_2000": lambda: say("stamped before 2000"),
    "archived": lambda: say("messages of the archive"),
    "max_share": lambda: say("share that may go"),
    "today": lambda: say("counted on"),
    "asked": lambda: say("messages asked for"),
    "related": lambda: say("messages that quote them and go as well"),
    "related_left": lambda: say("messages that quote them and stay"),
    "quarantined": lambda: say("records in quarantine"),
    "exports": lambda: say("exports that contain them"),
}
"""What the keys of bodies are called."""


def _spoken(name: str, value: object) -> str:
    try:
        return _in_words(name, value)
    except (ValueError, TypeError, OverflowError, KeyError):
        return json.dumps(value)


def _in_words(name: str, value: object) -> str:
    if value is True:
        return say("yes")
    if name.endswith("_ms") and isinstance(value, int):
        return view().calendar.said(value)
    if name == "held" and isinstance(value, list):
        return _held(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{LABELS[key]() if key in LABELS else key}: {_one(one)}" for key, one in value.items())
    return _one(value) if not isinstance(value, list) or name == "apps" else f"{len(value):,}"


def _held(counts: list[Any]) -> str:
    if not counts:
        return say("none")
    return "; ".join(f"{one['hold']} {one['name']}: {_one(one['messages'])}" for one in counts)


def _one(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(f"{one:,}" if isinstance(one, int) else str(one) for one in value)
    return say("none") if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def effect(body: Mapping[str, Any]) -> str:
    """In a line: how many messages, from when to when, and what holds keep of them; nothing where none is counted."""
    counts = [body[name] for name in ("messages", "asked") if type(body.get(name)) is int]
    if not counts:
        return ""
    related = body.get("related")
    count = f"{counts[0] + (related if type(related) is int else 0):,}"
    texts = [say("{count} messages", count=count)]
    first, last = body.get("first_ms"), body.get("last_ms")
    if type(first) is int and type(last) is int:
        texts.append(view().range(first, last))
    held = body.get("held")
    if isinstance(held, list) and held:
        texts.append(say("kept by holds: {holds}", holds=_spoken("held", held)))
    return " · ".join(texts)
