"""CSV that a spreadsheet shows and does not run: RFC 4180, every text quoted, a formula's first character disarmed.

The rule, which `manifest.json` repeats: a text that begins with one of = + - @ (in full width, too), with an
apostrophe, a tab, a line end, or with these behind characters that cannot be seen, has one apostrophe put before it.
To have the text back: where a text begins with an apostrophe, take that one away.
"""

from __future__ import annotations

import codecs
import re
import string
from collections.abc import Sequence
from functools import lru_cache
from typing import IO, Any

from archiver.export import Writer
from archiver.export.formats.rows import NAMES, rows
from archiver.model import Archived, Body
from archiver.rendering import canonical
from archiver.zones import Calendar

PREFIX = "'"
RULE = (
    "a text that begins (behind characters that cannot be seen) with = + - @ or their full-width forms, with an"
    " apostrophe, a tab or a line end has one apostrophe put before it; take away one apostrophe at the beginning of"
    " a text to have it back"
)
# Separators, controls and format characters before the sign: some programs drop them, and calculate then.
_UNSEEN = r"[\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u2069\ufeff]*"
_DANGEROUS = re.compile(rf"[\t\r\n']|{_UNSEEN}[=+\-@＝＋－＠]")


_LOCAL_AT = NAMES.index("sent_at") + 1
COLUMNS = (*NAMES[:_LOCAL_AT], "sent_at_local", *NAMES[_LOCAL_AT:])
"""Those of every flat format, and the time by the clock of the export's zone, as a spreadsheet takes it."""


def disarmed(value: Any) -> Any:
    """The value as it goes into a cell; numbers are numbers."""
    return PREFIX + value if isinstance(value, str) and _DANGEROUS.match(value) else value


def restored(cell: str) -> str:
    """The text of a cell, as it was."""
    return cell.removeprefix(PREFIX)


class Sheet(Writer):
    """A file of rows, the names of the columns first."""

    def __init__(self, file: IO[bytes], *, bom: bool, calendar: Calendar) -> None:
        self._file, self._calendar = file, calendar
        if bom:
            file.write(codecs.BOM_UTF8)
        file.write(_row(COLUMNS).encode())

    def add(self, batch: Sequence[Archived]) -> None:
        lines: list[str] = []
        for archived in batch:
            local_at = _text(self._calendar.local(archived.sent_at))
            if _is_plain(archived):
                lines.append(_plain_row(archived, local_at))
            else:
                lines += [_row(row, local_at) for row in rows(archived)]
        self._file.write("".join(lines).encode())

    def close(self) -> dict[str, Any]:
        return {}


_HARMLESS = frozenset({*string.ascii_letters, *string.digits})
"""How most texts begin."""
_NOTHING = '""'
"""Nothing and an empty text look the same in CSV; JSON Lines and Parquet tell them apart."""
_END = "\r\n"


def _text(value: str | None) -> str:
    if not value:
        return _NOTHING
    if value[0] not in _HARMLESS:
        value = disarmed(value)
    return '"' + value.replace('"', '""') + '"'


_repeated = lru_cache(maxsize=4096)(_text)
"""For what many messages have in common."""


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    return str(value) if isinstance(value, int | float) else _text(value)


def _row(row: Sequence[Any], local_at: str | None = None) -> str:
    cells = [_cell(value) for value in row]
    if local_at is not None:
        cells.insert(_LOCAL_AT, local_at)
    return ",".join(cells) + _END


_TEXT_ALONE = (None,) * (len(Body._fields) - 2)
_NO_MEDIA = ",".join([_NOTHING] * (NAMES.index("extra") - NAMES.index("text")))


def _is_plain(archived: Archived) -> bool:
    """Whether it is one text and nothing else, as most messages are."""
    bodies = archived.message.bodies
    return len(bodies) == 1 and not archived.files and bodies[0][2:] == _TEXT_ALONE


def _plain_row(archived: Archived, local_at: str) -> str:
    """What `_row` makes of such a message, in a third of the time."""
    app, m, sent_at, archived_at, _, lateness_ms, revisions, _, _ = archived
    msg_id, timestamp_ms, sender, recipient, conversation, chat_type, direction, (body,), ext, _, digest, lossy, _ = m
    people = f"{_repeated(sender)},{_repeated(recipient)},{_repeated(conversation)}"
    kinds = f"{_repeated(chat_type)},{_repeated(direction)},0,{_repeated(body[0])}"
    tail = f'{_NOTHING if lateness_ms is None else lateness_ms},{len(revisions)},"{"true" if lossy else "false"}"'
    return (
        f"{_repeated(app)},{_text(msg_id)},{_text(sent_at)},{local_at},{timestamp_ms},{people},{kinds},"
        f"{_text(body[1])},{_NO_MEDIA},{_text(canonical(ext))},{_NOTHING},{_NOTHING},"
        f'{tail},"{digest.hex()}",{_text(archived_at)}{_END}'
    )
