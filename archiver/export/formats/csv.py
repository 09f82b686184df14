"""CSV that a spreadsheet shows and does not run: RFC 4180, every text quoted, a formula's first character disarmed.

The rule, which `manifest.json` repeats: a text that begins with one of = + - @ (in full width, too), with an
apostrophe, a tab, a line end, or with these behind characters that cannot be seen, has one apostrophe put before it.
To have the text back: where a text begins with an apostrophe, take that one away.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import string
from collections.abc import Iterable, Sequence
from typing import IO, Any

from archiver.export import Writer
from archiver.export.formats.rows import NAMES, rows
from archiver.model import Archived
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
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, quoting=csv.QUOTE_NONNUMERIC)
        if bom:
            file.write(codecs.BOM_UTF8)
        self._write([COLUMNS])

    def add(self, batch: Sequence[Archived]) -> None:
        local = self._calendar.local
        self._write(
            _cells((*row[:_LOCAL_AT], local(archived.sent_at), *row[_LOCAL_AT:]))
            for archived in batch
            for row in rows(archived)
        )

    def _write(self, some: Iterable[Sequence[Any]]) -> None:
        self._writer.writerows(some)
        self._file.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()

    def close(self) -> dict[str, Any]:
        return {}


_NUMBERS = frozenset({int, float, type(None)})
_HARMLESS = frozenset({"", *string.ascii_letters, *string.digits})
"""How most texts begin."""


def _cells(row: Sequence[Any]) -> list[Any]:
    return [
        value if (kind := value.__class__) in _NUMBERS or (kind is str and value[:1] in _HARMLESS) else _cell(value)
        for value in row
    ]


def _cell(value: Any) -> Any:
    """Nothing and an empty text look the same in CSV; JSON Lines and Parquet tell them apart."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return disarmed(value)
