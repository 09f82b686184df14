"""The workbook, opened by openpyxl: every body, ids as text, nothing that acts, and the limits of a sheet."""

from __future__ import annotations

import errno
import io
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from archiver import coverage, export
from archiver.errors import Stopped
from archiver.export import Cover
from archiver.export import run as exports
from archiver.export.formats import cells, xlsx
from archiver.export.request import Request
from archiver.export.wording import Wording
from archiver.model import Archived, Body, Message
from archiver.sources import decode
from archiver.store.read.filters import Filter
from archiver.zones import Calendar
from tests.export.samples import FORMULAS, files, said
from tests.export.test_formats import BODIES
from tests.fixtures.archive import Archive
from tests.fixtures.store import open_database

STATEMENT = "Coverage statement"


def workbook(archive: Archive, folder: Path, *more: str) -> Any:
    assert archive("export", "--format", "xlsx", "--output", str(folder), *more) == 0, archive.errors
    assert archive("export", "verify", str(folder)) == 0, archive.output
    assert files(folder) == ["manifest.json", "manifest.json.sha256", "messages.xlsx"]
    return openpyxl.load_workbook(folder / "messages.xlsx")


def table(book: Any) -> list[dict[str, Any]]:
    """The rows of all sheets of messages, by the names of their columns."""
    rows = []
    for sheet in book.worksheets[:-1]:
        names, *values = sheet.iter_rows(values_only=True)
        rows += [dict(zip(names, row, strict=True)) for row in values]
    return rows


def unspelled(text: str | None) -> str:
    """A text as a spreadsheet shows it: openpyxl leaves the spelling of controls as it is in the file."""
    return re.sub("_x([0-9A-F]{4})_", lambda match: chr(int(match[1], 16)), text or "")


def statement(book: Any) -> dict[str, str]:
    return dict(book[STATEMENT].iter_rows(values_only=True))


def test_a_workbook_has_every_body_ids_are_text_and_no_cell_acts(archive: Archive, tmp_path: Path) -> None:
    book = workbook(archive, tmp_path / "out", "--zone", "Asia/Shanghai", "--case", "42")
    rows = table(book)
    assert {(row["Message id"], row["Body"]): unspelled(row["Text"]) for row in rows} == {
        (msg_id, position): text or "" for msg_id, position, text in archive.database.rows(BODIES)
    }
    for row in rows:
        assert all(isinstance(row[name], str) for name in ("Message id", "Timestamp (ms)", "App"))
        assert (row["Sent (UTC)"] is None) == (row["Message id"] == "far")
        if row["Sent (UTC)"]:
            utc = Calendar().spoken(row["Sent (UTC)"])
            ahead = row["Sent (Asia/Shanghai)"]
            assert ahead.isoformat(sep=" ", timespec="milliseconds") > utc
            assert ahead.minute == int(utc[14:16])
    assert {row["Body type"] for row in rows} >= {"text", "file", "odd", None}
    about = statement(book)
    assert about["Case"] == "42"
    assert about[STATEMENT].startswith("Complete from")
    assert about["Filter"] == "none: everything that is archived"
    assert about["Messages in this workbook"] == str(archive.count("messages"))
    check_that_nothing_acts(book, (tmp_path / "out/messages.xlsx").read_bytes())


def check_that_nothing_acts(book: Any, content: bytes) -> None:
    texts = set()
    for sheet in book:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f"
                assert cell.hyperlink is None
                texts.add(unspelled(cell.value) if isinstance(cell.value, str) else "")
    assert set(FORMULAS) <= texts, "as they were written, and nothing put before them"
    for secret in (b"hidden-1", b"hidden-2"):
        assert secret not in content


@pytest.mark.full
def test_a_long_text_is_cut_with_a_note_and_an_empty_export_says_so(archive: Archive, tmp_path: Path) -> None:
    stamp = archive.server.start_ms + 5_200
    archive.server.add(said("long", "长" * 40_000, stamp), visible_ms=0)
    start = str(archive.server.start_ms)
    archive("audit", "--from", start, "--to", str(archive.server.start_ms + 60_000))
    book = workbook(archive, tmp_path / "out", "--sender", "iris", "--from", str(stamp), "--to", str(stamp + 1))
    (row,) = table(book)
    assert len(row["Text"]) <= 32_767
    assert re.fullmatch(
        r"长{32,700}长* \[cut here: 32,\d{3} of 40,000 characters; .*\]", row["Text"][-200:].rjust(40_000, "长")
    )
    about = statement(book)
    assert about["Texts cut at the limit of a cell"] == "1"
    assert "UTC" in about["Filter"]
    empty = workbook(archive, tmp_path / "empty", "--sender", "nobody at all")
    assert table(empty) == []
    assert statement(empty)["Filter"] == "sender: nobody at all"
    assert statement(empty)["Messages of the export"] == "0"


@pytest.mark.parametrize("sign", ["x", "😀", "\x1b", "_x0041_", "\ufffe"])
def test_what_is_left_of_a_text_fits_as_the_file_spells_it(sign: str) -> None:
    for language in ("en", "zh"):
        whole = sign * 40_000
        cut = cells.fitting(whole, Wording(language))
        assert cells.units(cut) <= cells.MOST < cells.units(cut) + 20
        assert "40,000" in cut or f"{len(whole):,}" in cut
    short = sign * (cells.MOST // (8 * len(sign)))
    assert cells.fitting(short, Wording()) is short


@pytest.mark.full
def test_beyond_the_rows_of_a_sheet_there_is_a_further_one(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx, "_ROWS", 21)
    book = workbook(archive, tmp_path / "out")
    assert book.sheetnames[:2] == ["Messages", "Messages 2"]
    assert book.sheetnames[-1] == STATEMENT
    assert max(sheet.max_row for sheet in book.worksheets[:-1]) == 21
    assert len(table(book)) == len(archive.database.rows(BODIES))


@pytest.mark.full
def test_beyond_the_messages_of_a_workbook_there_is_a_further_one(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_WORKBOOK", 30)
    place = tmp_path / "out"
    assert archive("export", "--format", "xlsx", "--output", str(place), "--language", "zh") == 0
    books = [openpyxl.load_workbook(path) for path in sorted(place.glob("*.xlsx"))]
    assert sorted(path.name for path in place.glob("*.xlsx"))[:2] == ["messages-2.xlsx", "messages-3.xlsx"]
    rows = [row for book in books for row in table(book)]
    assert {row["消息 ID"] for row in rows} == {row[0] for row in archive.database.rows("SELECT msg_id FROM messages")}
    assert len(rows) == len(archive.database.rows(BODIES))
    assert all(book.sheetnames == ["消息", "完整性声明"] for book in books)
    assert {"文本", "文件"} <= {row["消息体类型"] for row in rows}


class Stopping:
    """Asks an export to stop after its first messages."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def begun(self, messages: int) -> None: ...

    def wrote(self, messages: int) -> None:
        self._stop.set()


@pytest.mark.full
@pytest.mark.parametrize(("form", "whole"), [("xlsx", "messages.xlsx"), ("csv", "messages.csv")])
def test_an_interrupted_export_of_one_file_is_resumed(archive: Archive, tmp_path: Path, form: str, whole: str) -> None:
    store, stop, place = open_database(archive.database), threading.Event(), tmp_path / "out"
    request = Request(form, place, Filter(), "auditor", single_file=form == "csv")
    parts: dict[str, Any] = {"claims": coverage.claims, "decode": decode, "blobs": None, "stop": stop}
    with pytest.raises(Stopped):
        exports.Export(store, request, **parts, watcher=Stopping(stop)).run()
    assert files(place) == ["export.journal"], "nothing is left of a file that is not whole"
    (place / "export.scratch").mkdir()  # as a kill leaves it
    (place / "export.scratch/tmp123").write_bytes(b"text")
    (place / f"messages-2.{form}").write_bytes(b"of an earlier attempt")
    stop.clear()
    done = exports.Export(store, request, **parts, watcher=Stopping(threading.Event())).run()
    store.dispose()
    with_date = archive.database.value("SELECT count(DISTINCT day_utc) FROM daily_counts")
    assert (done.messages, done.days) == (archive.count("messages"), with_date + 1), "one lies beyond the calendar"
    assert files(place) == ["manifest.json", "manifest.json.sha256", whole]
    assert archive("export", "verify", str(place)) == 0


def message(number: int, text: str) -> Archived:
    body = Body(type="txt", text=text)
    m = Message(
        msg_id=f"{10**18 + number}",
        timestamp_ms=number,
        sender="a",
        recipient="b",
        conversation="a|b",
        chat_type="chat",
        direction=None,
        ext=None,
        raw=b"{}",
        digest=b"\1" * 32,
        lossy=False,
        position=0,
        bodies=(body,),
    )
    return Archived("o#a", m, "2026-11-01T00:00:00.000Z", "2026-11-01T00:00:01.000Z", 1, None, (), ())


HEAD: dict[str, Any] = {
    "counts": {"messages": 2},
    "snapshot_at": "2026-11-02T00:00:00.000Z",
    "zone": "UTC",
    "who": "a & b",
    "program": "archiver",
    "case": "&R&P" * 100,
    "reason": None,
    "export_id": "1",
    "filter_in_words": [],
    "claims": [],
    "gaps": [],
}


def written(texts: Sequence[str], file: io.BytesIO, scratch: Path) -> bytes:
    book = xlsx.Workbook(file, Cover("t", HEAD), wording=Wording(), scratch=scratch)
    book.add([message(number, text) for number, text in enumerate(texts)])
    try:
        book.close()
    except BaseException:
        book.abandon()
        raise
    return file.getvalue()


def test_equal_workbooks_are_equal_files(tmp_path: Path) -> None:
    one, two = (written(["a", "=1"], io.BytesIO(), tmp_path) for _ in range(2))
    assert one == two
    assert list(tmp_path.iterdir()) == []


class Full(io.BytesIO):
    """A disk that is full."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_is_the_file_systems_word(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        written(["a"], Full(), tmp_path)
    assert raised.value.errno == errno.ENOSPC
