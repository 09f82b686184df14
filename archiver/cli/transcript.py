"""Messages as lines of a transcript, in a zone and a language.

Nothing in them can steer a terminal or pass for a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from archiver.logs import readable, visible
from archiver.model import Archived, Body, File, Marks
from archiver.rendering import words
from archiver.view import View

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INDENT = "    "


class ConversationLines:
    """Remembers the day, so that it is printed once."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._zone = view.calendar.zone
        self._day = ""

    def lines(self, archived: Archived) -> Iterator[str]:
        """The lines of one message; a new day comes first."""
        say, m = self._view.language.say, archived.message
        day, clock = self._moment(m.timestamp_ms)
        if day != self._day:
            self._day = day
            yield ""
            yield f"--- {day} ---"
        first, *more = [self._said(body) for body in m.bodies] or [say("(no body)")]
        sender = visible(m.sender) if m.sender else say("(nobody)")
        yield from _under(f"{clock} {sender}: {first}")
        for part in more:
            yield from _under(f"{_INDENT}{part}")
        yield from (f"{_INDENT}{self._file(file)}" for file in archived.files)
        if archived.lateness_ms is not None:
            yield _INDENT + say("(arrived late, by up to {length})", length=self._view.length(archived.lateness_ms))
        yield from self._marks(archived.marks)
        if m.lossy:
            yield _INDENT + say("(shown with substitutes; the record itself is in the archive)")
        yield from self._revisions(archived)

    def _marks(self, marks: Marks) -> Iterator[str]:
        say = self._view.language.say
        if marks.recalled_at is not None:
            when, who = self._when(marks.recalled_at), marks.recalled_by
            text = say("(recalled {when})", when=when)
            if who is not None:
                text = say("(recalled {when} by {who})", when=when, who=visible(who))
            yield _INDENT + text
        if marks.edits:
            yield _INDENT + say("(edited, by callbacks: {count} times)", count=marks.edits)

    def _revisions(self, archived: Archived) -> Iterator[str]:
        say = self._view.language.say
        for revision in archived.revisions:
            said = " / ".join(self._said(body) for body in revision.bodies) or say("(no body)")
            when = self._when(revision.seen_at)
            about = say("(revision {number}, seen {when})", number=revision.revision, when=when)
            yield from _under(f"{_INDENT}{about} {said}")

    def _moment(self, ms: int) -> tuple[str, str]:
        """Day and time; what lies beyond the calendar, in ms."""
        try:
            moment = (_EPOCH + timedelta(milliseconds=ms)).astimezone(self._zone)
        except (OverflowError, ValueError):
            return self._view.language.say("beyond the calendar"), f"{ms} ms"
        return f"{moment:%Y-%m-%d} {self._view.weekday(moment.weekday())}", f"{moment:%H:%M:%S}"

    def _when(self, instant: str | None) -> str:
        if instant is None:
            return self._view.language.say("at an unknown time")
        return f"{datetime.fromisoformat(instant).astimezone(self._zone):%Y-%m-%d %H:%M:%S}"

    def _said(self, body: Body) -> str:
        """What a body says, in words; its kind unless it is a text."""
        name = self._view.language.name
        kind, parts = words(body, None if name == "en" else name)
        text = " ".join(parts)
        return text if kind is None else f"[{kind}] {text}".rstrip()

    def _file(self, file: File) -> str:
        """By its digest where it is stored; otherwise how that stands."""
        say = self._view.language.say
        stored = self._view.state(file.state)
        if file.sha256 is not None:
            stored = say("SHA-256 {sha256}, {size} bytes", sha256=file.sha256, size=f"{file.size or 0:,}")
        kind = {"file": say("file"), "thumbnail": say("thumbnail")}.get(file.kind, file.kind)
        return visible(f"{kind}: {stored}" + (f" ({file.reason})" if file.reason else ""))


def _under(text: str) -> Iterator[str]:
    """A text of several lines: the further ones marked, so that none can pass for another message."""
    first, *more = text.replace("\r\n", "\n").split("\n")
    yield readable(first)
    for line in more:
        yield f"{_INDENT}| {readable(line)}"
