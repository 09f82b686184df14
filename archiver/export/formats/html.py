"""HTML that people read and print: no script, every text escaped and kept in its place, pictures from the folder."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import IO, Any

from archiver.export import Cover, Decode, Writer
from archiver.export.folder import attachment_path
from archiver.export.formats.page import END, UP, begin, link, text
from archiver.export.wording import Wording
from archiver.model import Archived, Body, File, Marks, Message, Revision
from archiver.rendering import words

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What is shown in its place, by the first bytes of the content and not by what a user called it."""


class Transcript(Writer):
    """A file of messages, one conversation after the other; `linked`: the files they point to lie beside them."""

    def __init__(self, file: IO[bytes], cover: Cover, *, decode: Decode, linked: bool, wording: Wording) -> None:
        self._file, self._decode, self._linked, self._wording = file, decode, linked, wording
        self._conversation: object = self
        self._conversations: list[list[Any]] = []
        self._links = self._navigation(cover)
        self._put(begin(cover.title, wording, cover.head.get("case"), pictures=linked) + self._links)

    def _navigation(self, cover: Cover) -> str:
        links = [(cover.previous, "previous"), ("index.html", "all_days"), (cover.following, "following")]
        return f"<nav>{' '.join(link(UP + path, self._wording[key]) for path, key in links if path)}</nav>\n"

    def add(self, batch: Sequence[Archived]) -> None:
        parts = []
        for archived in batch:
            if archived.message.conversation != self._conversation:
                parts.append(self._begin_conversation(archived.message.conversation))
            self._conversations[-1][1] += 1
            parts.append(self._article(archived))
        self._put("".join(parts))

    def _begin_conversation(self, conversation: str | None) -> str:
        self._conversation = conversation
        self._conversations.append([conversation, 0])
        name = text(conversation or self._wording["no_conversation"])
        return f'<h2 id="c{len(self._conversations)}">{name}</h2>\n'

    def close(self) -> dict[str, Any]:
        """Gives the conversations of the page in their order, with the number of their messages."""
        self._put(self._links + END)
        return {"conversations": self._conversations}

    def _put(self, words: str) -> None:
        self._file.write(words.encode())

    def _article(self, archived: Archived) -> str:
        m = archived.message
        lines = [f"<article><header>{self._envelope(archived)}</header>"]
        lines += [f"<p>{self._said(body)}</p>" for body in m.bodies] or [f"<p>{self._wording['no_body']}</p>"]
        lines += [f"<p>{self._file_line(file)}</p>" for file in archived.files if file.kind == "file"]
        lines += [f'<p class="note">{note}</p>' for note in self._notes(archived)]
        return "\n".join(lines) + "</article>\n"

    def _envelope(self, archived: Archived) -> str:
        m, wording = archived.message, self._wording
        when = wording.calendar.spoken(archived.sent_at) if archived.sent_at else str(m.timestamp_ms)
        sender = text(wording["nobody"] if m.sender is None else m.sender)
        to = "" if m.recipient is None else f" → {text(m.recipient)}"
        return f"{html.escape(when)} · <b>{sender}</b>{to} · {wording['id']} {text(m.msg_id)}"

    def _said(self, body: Body) -> str:
        kind, parts = words(body, self._wording.language)
        marked = "" if kind is None else f'<span class="kind">[{text(kind)}]</span> '
        return marked + " · ".join(map(text, parts))

    def _file_line(self, file: File) -> str:
        wording = self._wording
        if file.sha256 is None:
            return wording.labelled("file", f"{text(file.state)}{f' ({text(file.reason)})' if file.reason else ''}")
        name = f"SHA-256 {html.escape(file.sha256)}"
        size = f"{file.size or 0:,} {wording['bytes']}"
        if not self._linked:
            return wording.labelled("file", f"{name}, {size}")
        path = UP + html.escape(attachment_path(file.sha256, file.media_type))
        line = wording.labelled("file", f'<a href="{path}">{name}</a>, {size}')
        if file.media_type not in PICTURES:
            return line
        return f'{line}<img src="{path}" alt="{html.escape(wording["picture"].format(name))}">'

    def _notes(self, archived: Archived) -> list[str]:
        notes = [self._revision(revision) for revision in archived.revisions]
        if archived.lateness_ms is not None:
            notes.append(self._wording["late"].format(archived.lateness_ms / 1000))
        notes += self._marks(archived.marks)
        if archived.message.lossy:
            notes.append(self._wording["lossy"])
        return notes

    def _marks(self, marks: Marks) -> Iterator[str]:
        """What callbacks report of the message, which is shown as it was archived."""
        if marks.recalled_at is not None:
            who = text(self._wording["nobody"] if marks.recalled_by is None else marks.recalled_by)
            yield self._wording["recalled"].format(self._wording.calendar.spoken(marks.recalled_at), who)
        if marks.edits:
            yield self._wording["edited"].format(marks.edits)

    def _revision(self, revision: Revision) -> str:
        """What was said under the same id later; never the record itself, which holds the secrets of files."""
        read = self._decode(revision.raw, 0)
        bodies = (self._said(body) for body in read.bodies) if isinstance(read, Message) else ()
        said = " / ".join(bodies) if isinstance(read, Message) else self._wording["unreadable"]
        seen_at = self._wording.calendar.written(revision.seen_at)
        return self._wording["revision"].format(seen_at, said, revision.digest.hex())
