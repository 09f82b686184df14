"""What templates say and show: texts in the reader's language, times in the page's zone, and texts of chat users as
escapes where they would steer something. Nothing here marks a text as safe: the templates escape all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from string import Formatter
from typing import Any, NamedTuple

from flask import request

from archiver.logs import readable, visible
from archiver.model import Body, File
from archiver.page import facts, names
from archiver.page.context import page, say, session, view
from archiver.page.viewings import ShownFile
from archiver.rendering import kind as kind_name
from archiver.rendering import words
from archiver.statement import StatementWording

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class Part(NamedTuple):
    """A piece of a sentence; a value stands in <bdi>, so that its direction ends with it."""

    text: str
    is_value: bool


def parts(text: str, /, **values: object) -> list[Part]:
    """A sentence in pieces, its values by themselves."""
    pieces = []
    for before, name, *_ in Formatter().parse(say(text)):
        if before:
            pieces.append(Part(before, False))
        if name is not None:
            pieces.append(Part(shown(values[name]), True))
    return pieces


def shown(text: object) -> str:
    """One line of somebody's text: what cannot be seen, or would steer, as an escape."""
    return visible(str(text))


def shown_lines(text: object) -> str:
    """The same for a text of several lines."""
    return "\n".join(readable(line) for line in str(text).replace("\r\n", "\n").split("\n"))


def as_bytes(raw: bytes) -> str:
    """Bytes as they came: what is not text, or steers something, as an escape."""
    return shown_lines(raw.decode(errors="backslashreplace"))


def clock(ms: int) -> str:
    """The time of the day; what lies beyond the calendar, in ms."""
    text = view().calendar.clock(ms)
    return text[11:] if len(text) == 19 else text


def day(ms: int) -> str:
    """A day with its weekday."""
    text = view().calendar.clock(ms)
    if len(text) != 19:
        return say("beyond the calendar")
    return f"{text[:10]} {view().weekday(date.fromisoformat(text[:10]).weekday())}"


def at(instant: str | int | None) -> str:
    """An instant, in ms or in ISO 8601, by the clock of the page's zone."""
    if instant is None:
        return say("at an unknown time")
    ms = instant if isinstance(instant, int) else _ms(instant)
    return view().calendar.clock(ms)


def _ms(instant: str) -> int:
    return (datetime.fromisoformat(instant) - _EPOCH) // timedelta(milliseconds=1)


def body_words(body: Body) -> tuple[str | None, str]:
    """What kind of body it is, None for a plain text; and what it says."""
    kind, texts = words(body, view().language.name)
    return kind, shown_lines(" ".join(texts))


def is_picture(file: File | ShownFile) -> bool:
    """Whether it may be shown in its place: by its first bytes, not by its name."""
    return file.sha256 is not None and file.media_type in PICTURES


def size(count: int | None) -> str:
    """Bytes, as people say it."""
    number = float(count or 0)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def count(number: int) -> str:
    """With thousands parted."""
    return f"{number:,}"


def statements() -> StatementWording:
    """What is archived, in words."""
    return StatementWording(view().language, view().calendar)


def options(names: Iterable[str]) -> list[tuple[str, str]]:
    """Types of bodies, as a choice."""
    return [(name, kind_name(name, view().language.name)) for name in names]


_FUNCTIONS = (parts, shown, shown_lines, as_bytes, clock, day, at, body_words, is_picture, size, count)


def for_templates() -> dict[str, Any]:
    """The names that every template knows."""
    visit, reader = session(), view()
    return {
        **{function.__name__: function for function in (*_FUNCTIONS, *names.FUNCTIONS)},
        "say": reader.language.say,  # bound here: a page of a hundred messages calls it a thousand times
        "plural": reader.language.plural,
        "view": reader,
        "zone": reader.calendar.name,
        "lang": "zh-CN" if reader.language.name == "zh" else "en",
        "csrf": visit.row.csrf if visit else "",
        "visit": visit,
        "here": request.path,
        "has_lifecycle": page().settings.lifecycle is not None,
        "needs_case": page().needs_case,
        "effect": facts.effect,
    }
