"""A workbook for people: a row a body as in CSV, ids as text, and a sheet with the statement of completeness.

No text becomes a formula, a link or a number. What a cell cannot hold is cut with a note in the cell, and counted on
the last sheet; beyond the rows of a sheet there is a further sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from archiver.export import Cover, Writer
from archiver.export.formats import cells
from archiver.export.formats.rows import NAMES, rows
from archiver.export.formats.statement import lines
from archiver.export.wording import Wording
from archiver.model import Archived
from archiver.rendering import kind

_ROWS = 1_048_576
"""Of a sheet, with the names of the columns."""
_SHEET_BYTES = 1 << 30
"""Of a sheet as XML: twice as much, and the archive would need an extension that spreadsheets do not read."""
_CREATED = datetime(2000, 1, 1)  # noqa: DTZ001 - a constant, so that equal exports are equal files
_COLUMNS: dict[str, float] = {
    "sent_at": 23,
    "sent_at_utc": 25,
    "sender": 16,
    "recipient": 18,
    "conversation": 24,
    "chat_type": 11,
    "body_type": 12,
    "text": 60,
    "filename": 24,
    "msg_id": 24,
    "file_length": 12,
    "duration": 9,
    "attachment_state": 12,
    "attachment_sha256": 20,
    "addr": 20,
    "lat": 11,
    "lng": 11,
    "width": 8,
    "height": 8,
    "lateness_ms": 10,
    "revisions": 9,
    "lossy": 9,
    "extra": 30,
    "ext": 30,
    "url": 30,
    "app": 22,
    "direction": 10,
    "body_position": 8,
    "timestamp_ms": 16,
    "digest": 20,
    "archived_at": 25,
}
"""In the order in which people read them, with their widths."""
_PRINTED = list(_COLUMNS).index("msg_id") + 1
"""Columns that go on paper: all of them would be too small to read."""
_HEADINGS = {"conversation": "conversation_id", "lossy": "lossy_column", "app": "app_column"}
_NUMBERS = frozenset(
    ("file_length", "duration", "lat", "lng", "width", "height", "lateness_ms", "revisions", "body_position")
)
_EXACT = 10**15
"""From here on, and where a number is none, a spreadsheet would show another one."""
_LONGEST_AS_TEXT = 255
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "use_zip64": True,
}


class Workbook(Writer):
    """A workbook being written, row by row, through temporary files in the folder of the export."""

    def __init__(self, file: IO[bytes], cover: Cover, *, wording: Wording, scratch: Path | None) -> None:
        self._cover, self._wording, self._output = cover, wording, _WorkbookFile(file)
        self._book = xlsxwriter.Workbook(self._output, {**_OPTIONS, "tmpdir": scratch and str(scratch)})
        self._book.set_properties({"title": cover.title, "created": _CREATED})
        top = {"valign": "top"}
        self._text = self._book.add_format({**top, "num_format": "@"})
        self._wrapped = self._book.add_format({**top, "num_format": "@", "text_wrap": True})
        self._number = self._book.add_format(top)
        self._plain = self._book.add_format({**top, "text_wrap": True})
        self._moment = self._book.add_format({**top, "num_format": "yyyy-mm-dd hh:mm:ss.000"})
        self._heading = self._book.add_format({**top, "bold": True, "num_format": "@", "bottom": 1})
        self._sheets: list[Any] = []
        self._messages = self._rows = self._cut = 0
        self._begin_sheet()

    def _begin_sheet(self) -> None:
        number = len(self._sheets) + 1
        self._sheet = self._add_sheet(f"{self._wording['sheet']}{f' {number}' if number > 1 else ''}")
        self._sheets.append(self._sheet)
        self._row = self._bytes = 0
        for column, (name, width) in enumerate(_COLUMNS.items()):
            self._sheet.set_column(column, column, width)
            heading = self._wording[_HEADINGS.get(name, name)].format(self._wording.calendar.name)
            self._sheet.write_string(0, column, heading, self._heading)
        self._sheet.freeze_panes(1, 0)
        self._sheet.repeat_rows(0)

    def _add_sheet(self, name: str) -> Any:
        sheet = self._book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        case = self._cover.head.get("case")
        sheet.set_header(_margin(self._cover.title, "" if case is None else self._wording.labelled("case", case)))
        sheet.set_footer("&R&P / &N")
        sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
        return sheet

    def add(self, batch: Sequence[Archived]) -> None:
        for archived in batch:
            for row in rows(archived):
                self._write_row(self._shown(dict(zip(NAMES, row, strict=True))))
        self._messages += len(batch)

    def _shown(self, row: dict[str, Any]) -> Iterator[Any]:
        """The values of a row in the order of the columns."""
        row["sent_at_utc"] = row["sent_at"]
        row["sent_at"] = self._local(row["sent_at"])
        row["lossy"] = self._wording["yes" if row["lossy"] else "no"]
        if row["body_type"] is not None:
            row["body_type"] = kind(row["body_type"], self._wording.language)
        return (row[name] if name in _NUMBERS or name == "sent_at" else _as_text(row[name]) for name in _COLUMNS)

    def _local(self, instant: str | None) -> datetime | None:
        written = self._wording.calendar.written(instant)
        return None if written is None else datetime.fromisoformat(written).replace(tzinfo=None)

    def _write_row(self, values: Iterator[Any]) -> None:
        if self._row + 1 >= _ROWS or self._bytes >= _SHEET_BYTES:
            self._close_sheet()
            self._begin_sheet()
        self._row += 1
        self._rows += 1
        for column, value in enumerate(values):
            if value not in (None, ""):
                self._bytes += self._write(self._sheet, self._row, column, value)

    def _write(self, sheet: Any, row: int, column: int, value: Any, style: Any = None) -> int:
        """Write a cell; gives about how many bytes it takes."""
        if isinstance(value, datetime):
            sheet.write_datetime(row, column, value, self._moment)
        elif not isinstance(value, str) and abs(value) < _EXACT:
            sheet.write_number(row, column, value, self._number)
        else:
            text = cells.fitting(str(value), self._wording)
            self._cut += text != str(value)
            sheet.write_string(row, column, text, style or self._style(text))
            return 60 + cells.size(text)
        return 60

    def _style(self, text: str) -> Any:
        """As text, so that it stays one when somebody edits it; some spreadsheets show signs instead of long ones."""
        if len(text) > _LONGEST_AS_TEXT:
            return self._plain
        return self._wrapped if "\n" in text else self._text

    def _close_sheet(self) -> None:
        self._sheet.autofilter(0, 0, self._row, len(_COLUMNS) - 1)
        self._sheet.print_area(0, 0, self._row, _PRINTED - 1)

    def close(self) -> dict[str, Any]:
        self._close_sheet()
        self._write_statement()
        try:
            self._book.close()
        except FileCreateError as error:  # around the file system's own, which says what is wrong
            raise error.__context__ or error from None
        return {}

    def _write_statement(self) -> None:
        sheet = self._add_sheet(self._wording["statement"])
        sheet.set_column(0, 0, 30)
        sheet.set_column(1, 1, 100)
        counts = {"in_workbook": self._messages, "row_count": self._rows, "cut_count": self._cut}
        for row, (label, value) in enumerate(lines(self._cover.head, counts, self._wording)):
            self._write(sheet, row, 0, label, self._heading)
            if value is not None:
                self._write(sheet, row, 1, value, self._plain)

    def abandon(self) -> None:
        """Nothing more is written, and what XlsxWriter has open is closed; the folder is removed by its owner."""
        self._output.lost = True
        self._book.fileclosed = True
        for sheet in self._book.worksheets():
            with suppress(AttributeError, OSError):
                sheet.row_data_fh.close()


def _as_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _margin(left: str, right: str) -> str:
    """A header, whose signs of control are ampersands; it is at most 255 characters long."""
    return f"&L{left[:100].replace('&', '&&')}&R{right[:60].replace('&', '&&')}"


class _WorkbookFile:
    """The file, as the archive sees it that a workbook is; after an error it takes nothing any more, as an archive
    writes its end even while it is being discarded."""

    lost = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes if self.lost else self._file.write(data)

    def tell(self) -> int:
        return 0 if self.lost else self._file.tell()

    def flush(self) -> None:
        if not self.lost:
            self._file.flush()
