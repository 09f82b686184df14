"""index.html of an HTML export: what it is, what may be claimed, every day, and every conversation with its days."""

from __future__ import annotations

import html
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from archiver.export.formats.page import END, begin, link, text
from archiver.export.journal import JournalLines
from archiver.export.wording import Wording

_LISTED = 2_000
"""Conversations on one page: with more, it would be too long to be of use, and needs too much memory."""


def write(file: IO[bytes], head: Mapping[str, Any], written: JournalLines, *, wording: Wording) -> None:
    """Write the page from the head of the manifest and what the journal has of the days."""
    lines = [begin(wording["title"], wording, head["case"]), *_about(head, wording)]
    for claim in head["claims"]:
        lines += _claim(claim, wording)
    for part in (lines, _days(head, written, wording), _conversations(written, wording), [END]):
        for line in part:
            file.write(line.encode() + b"\n")


def _about(head: Mapping[str, Any], wording: Wording) -> Iterator[str]:
    moment = html.escape(wording.instant(head["snapshot_at"]))
    yield f"<p>{wording['count'].format(head['counts']['messages'], moment)}</p>"
    for key in ("who", "program", "case", "reason", "export_id"):
        if head[key]:
            yield f"<p>{wording.labelled(key, text(head[key]))}</p>"
    for line in head["gaps"]:
        yield f'<p class="note">{text(line)}</p>'
    sentences = head["filter_in_words"] or [wording["everything"]]
    yield f"<p>{wording.labelled('filter', '; '.join(map(text, sentences)))}</p>"


def _claim(claim: Mapping[str, Any], wording: Wording) -> Iterator[str]:
    yield f"<h2>{text(claim['app'])} ({text(claim['source'])})</h2><p>{text(claim['words'])}</p>"
    for hole in claim["holes"]:
        ends = (html.escape(wording.instant(hole[end])) for end in ("lo", "hi"))
        why = text(wording.why(hole))
        words = wording.labelled("hole", wording["hole_of"].format(*ends, text(hole["state"]), why))
        yield f'<p class="note">{words}</p>'


def _days(head: Mapping[str, Any], written: JournalLines, wording: Wording) -> Iterator[str]:
    day_in_zone = html.escape(wording["day"].format(head["zone"]))
    names = (wording["app"], day_in_zone, wording["messages"], wording["pages"])
    yield f"<h2>{wording['days']}</h2><table><tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    for day in written.days():
        links = " ".join(link(part["path"], str(number)) for number, part in enumerate(day["files"], 1))
        yield (
            f"<tr><td>{text(day['app'])}</td><td>{_name(day, wording)}</td>"
            f'<td class="n">{day["messages"]:,}</td><td>{links}</td></tr>'
        )
    yield "</table>"


def _name(day: Mapping[str, Any], wording: Wording) -> str:
    return html.escape(day["day"] or wording["unknown"])


def _conversations(written: JournalLines, wording: Wording) -> Iterator[str]:
    """A line per conversation, with links to where it begins on its days."""
    parts: list[tuple[str, str]] = []
    places: dict[tuple[str, str | None], array[int]] = {}
    counts: dict[tuple[str, str | None], int] = {}
    for day in written.days():
        for part in day["files"]:
            for number, (conversation, messages) in enumerate(part.get("conversations", ()), 1):
                key = day["app"], conversation
                counts[key] = counts.get(key, 0) + messages
                if key in places or len(places) < _LISTED:
                    # Numbers, since links of a year would be longer than all that the page is made of otherwise.
                    places.setdefault(key, array("q")).extend((len(parts), number, messages))
            parts.append((part["path"], day["day"] or wording["unknown"]))
    names = (wording["app"], wording["conversation"], wording["messages"], wording["days"])
    yield f"<h2>{wording['conversations']}</h2><table><tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    for app, conversation in sorted(places, key=lambda key: (key[0], key[1] is None, key[1] or "")):
        name = text(conversation or wording["no_conversation"])
        key = app, conversation
        links = " ".join(_links(parts, places[key]))
        yield f'<tr><td>{text(app)}</td><td>{name}</td><td class="n">{counts[key]:,}</td><td>{links}</td></tr>'
    yield "</table>"
    if len(counts) > len(places):
        yield f'<p class="note">{wording["more_conversations"].format(len(counts) - len(places))}</p>'


def _links(parts: Sequence[tuple[str, str]], places: array[int]) -> Iterator[str]:
    """`places`: of three numbers, which part, which conversation of it, and its messages there."""
    for at in range(0, len(places), 3):
        part, number, messages = places[at : at + 3]
        path, day = parts[part]
        yield link(path, f"{day} ({messages:,})", f"#c{number}")
