"""Messages as lines of a transcript, in a chosen time zone; nothing in them can steer a terminal or pass for a line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from archiver.cli import console
from archiver.logs import readable, visible
from archiver.model import Archived, Body, File
from archiver.rendering import words

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INDENT = "    "


class Spoken:
    """Remembers the day, so that it is printed once."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._day = ""

    def lines(self, archived: Archived) -> Iterator[str]:
        """The lines of one message; a new day comes first."""
        day, clock = self._moment(archived.message.timestamp_ms)
        if day != self._day:
            self._day = day
            yield ""
            yield f"--- {day} ---"
        m = archived.message
        said = [_said(body) for body in m.bodies] or ["(no body)"]
        yield from _under(f"{clock} {visible(m.sender or '(nobody)')}: {said[0]}")
        for part in said[1:]:
            yield from _under(f"{_INDENT}{part}")
        yield from (f"{_INDENT}{_file(file)}" for file in archived.files)
        if archived.lateness_ms is not None:
            yield f"{_INDENT}(arrived late, by up to {console.length(archived.lateness_ms)})"
        if m.lossy:
            yield f"{_INDENT}(shown with substitutes; the record itself is in the archive)"
        yield from self._revisions(archived)

    def _revisions(self, archived: Archived) -> Iterator[str]:
        for revision in archived.revisions:
            said = [_said(body) for body in revision.bodies]
            seen = " ".join(self._moment_of(revision.seen_at))
            yield from _under(f"{_INDENT}(revision {revision.revision}, seen {seen}) {' / '.join(said) or '(no body)'}")

    def _moment(self, ms: int) -> tuple[str, str]:
        """Day and time; what lies beyond the calendar, in ms."""
        try:
            moment = (_EPOCH + timedelta(milliseconds=ms)).astimezone(self._zone)
        except (OverflowError, ValueError):
            return "beyond the calendar", f"{ms} ms"
        return f"{moment:%Y-%m-%d %A}", f"{moment:%H:%M:%S}"

    def _moment_of(self, text: str | None) -> tuple[str, str]:
        if text is None:
            return ("at an unknown time",) * 2
        moment = datetime.fromisoformat(text).astimezone(self._zone)
        return f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}"


def _under(text: str) -> Iterator[str]:
    """A text of several lines: the further ones marked, so that none can pass for another message."""
    first, *more = text.replace("\r\n", "\n").split("\n")
    yield readable(first)
    for line in more:
        yield f"{_INDENT}| {readable(line)}"


def _said(body: Body) -> str:
    """What a body says, in words; its kind unless it is a text."""
    kind, parts = words(body)
    text = " ".join(parts)
    return text if kind is None else f"[{kind}] {text}".rstrip()


def _file(file: File) -> str:
    """By its digest where it is stored; otherwise how that stands."""
    stored = file.state if file.sha256 is None else f"SHA-256 {file.sha256}, {file.size or 0:,} bytes"
    return visible(f"{file.kind}: {stored}" + (f" ({file.reason})" if file.reason else ""))
