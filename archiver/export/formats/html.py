"""HTML that people read and print: no script, nothing loaded from anywhere, every text escaped and kept in its place.

Each file stands for itself. Its Content-Security-Policy allows the one style sheet, by its hash, and nothing else;
a text cannot steer its neighbours (isolated direction), and what cannot be seen is shown as an escape.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from typing import IO, Any

from archiver.export import Decode
from archiver.export.folder import attachment_path
from archiver.logs import readable, visible
from archiver.model import Archived, Body, File, Message, Revision
from archiver.rendering import words
from archiver.zones import Calendar

_STYLE = """
body{font:15px/1.5 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;
  margin:2rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.4rem}
h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid #999}
article{margin:.4rem 0;padding:.2rem .6rem;border-left:3px solid #ccc;break-inside:avoid}
header,.kind{color:#555;font-size:.85rem}
b{color:#000}
p{margin:.1rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
.note{color:#8a4b00;font-size:.85rem}
table{border-collapse:collapse}
td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}
td.n{text-align:right}
"""
_UP = "../../../"
"""From the folder of a day to that of the export."""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"


class Transcript:
    """A file of messages, one conversation after the other; `linked`: the files they point to lie beside them."""

    def __init__(self, file: IO[bytes], title: str, *, decode: Decode, linked: bool, calendar: Calendar) -> None:
        self._file, self._decode, self._linked, self._calendar = file, decode, linked, calendar
        self._conversation: object = self
        self._put(_head(title) + f'<p><a href="{_UP}index.html">all days</a></p>\n')

    def add(self, batch: Sequence[Archived]) -> None:
        for each in batch:
            if each.message.conversation != self._conversation:
                self._conversation = each.message.conversation
                self._put(f"<h2>{text(self._conversation or 'no conversation')}</h2>\n")
            self._put(self._article(each))

    def close(self) -> None:
        self._put("</body></html>\n")

    def _put(self, words: str) -> None:
        self._file.write(words.encode())

    def _article(self, each: Archived) -> str:
        m = each.message
        lines = [f"<article><header>{_envelope(each, self._calendar)}</header>"]
        lines += [f"<p>{_said(body)}</p>" for body in m.bodies] or ["<p>(no body)</p>"]
        lines += [f"<p>{self._file_line(file)}</p>" for file in each.files if file.kind == "file"]
        lines += [f'<p class="note">{note}</p>' for note in self._notes(each)]
        return "\n".join(lines) + "</article>\n"

    def _file_line(self, file: File) -> str:
        if file.sha256 is None:
            return f"file: {text(file.state)}{f' ({text(file.reason)})' if file.reason else ''}"
        told = f"SHA-256 {html.escape(file.sha256)}"
        if self._linked:
            told = f'<a href="{_UP}{html.escape(attachment_path(file.sha256, file.media_type))}">{told}</a>'
        return f"file: {told}, {file.size or 0:,} bytes"

    def _notes(self, each: Archived) -> list[str]:
        notes = [self._revision(revision) for revision in each.revisions]
        if each.lateness_ms is not None:
            notes.append(f"arrived late, by up to {each.lateness_ms / 1000:,.1f} s")
        if each.message.lossy:
            notes.append("shown with substitutes; JSON Lines have the record itself")
        return notes

    def _revision(self, revision: Revision) -> str:
        """What was said under the same id later; never the record itself, which holds the secrets of files."""
        read = self._decode(revision.raw, 0)
        said = " / ".join(_said(body) for body in read.bodies) if isinstance(read, Message) else "(cannot be read)"
        seen_at = self._calendar.written(revision.seen_at)
        return f"seen with other content at {seen_at}: {said} (digest {revision.digest.hex()})"


def text(value: object) -> str:
    """Text of others in its own direction, escaped, with line ends as they are and other controls visible."""
    lines = "\n".join(readable(line) for line in str(value).replace("\r\n", "\n").split("\n"))
    return f'<bdi dir="auto">{html.escape(lines)}</bdi>'


def _envelope(each: Archived, calendar: Calendar) -> str:
    m = each.message
    when = calendar.spoken(each.sent_at) if each.sent_at else str(m.timestamp_ms)
    sender = text("nobody named" if m.sender is None else m.sender)
    to = "" if m.recipient is None else f" → {text(m.recipient)}"
    return f"{html.escape(when)} · <b>{sender}</b>{to} · id {text(m.msg_id)}"


def _said(body: Body) -> str:
    kind, parts = words(body)
    marked = "" if kind is None else f'<span class="kind">[{text(kind)}]</span> '
    return marked + " · ".join(map(text, parts))


def write_index(file: IO[bytes], head: Mapping[str, Any], days: Sequence[Mapping[str, Any]]) -> None:
    """index.html: what this is, what may be claimed, and every day."""
    counts = head["counts"]
    moment = html.escape(str(head["snapshot_at"]))
    lines = [_head("Archived messages"), f"<p>{counts['messages']:,} messages, as archived at {moment}.</p>"]
    told = {"Made by": head["who"], "Program": head["program"], "Case": head["case"], "Reason": head["reason"]}
    told["Filter"] = "; ".join(head["filter_in_words"])
    lines += [f"<p>{label}: {text(value)}</p>" for label, value in told.items() if value]
    for claim in head["claims"]:
        lines.append(f"<h2>{text(claim['app'])} ({text(claim['source'])})</h2><p>{text(claim['words'])}</p>")
        lines += [
            f'<p class="note">hole: {hole["lo"]} to {hole["hi"]}, {text(hole["state"])}: {text(hole["reason"])}</p>'
            for hole in claim["holes"]
        ]
    zone = html.escape(head["zone"])
    lines.append(f"<h2>Days</h2><table><tr><th>app</th><th>day ({zone})</th><th>messages</th><th></th></tr>")
    for day in days:
        links = " ".join(
            f'<a href="{html.escape(_link(part["path"]))}">{number}</a>' for number, part in enumerate(day["files"], 1)
        )
        lines.append(
            f"<tr><td>{text(day['app'])}</td><td>{html.escape(day['day'] or 'unknown')}</td>"
            f'<td class="n">{day["messages"]:,}</td><td>{links}</td></tr>'
        )
    lines.append("</table></body></html>\n")
    file.write("\n".join(lines).encode())


def _link(path: str) -> str:
    """A name on disk holds %23 as it stands; in a link its percent sign is written %25."""
    return path.replace("%", "%25")


def _head(title: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">\n'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(visible(title))}</title>\n<style>{_STYLE}</style></head><body>\n<h1>{text(title)}</h1>\n"
    )
