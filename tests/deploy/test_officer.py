"""An officer's way: October is asked for, answered in words, exported, and opened in a browser and in LibreOffice.

Read in Chinese, with the times of Beijing, as the configuration says.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import openpyxl
import pytest

from archiver.zones import Calendar, parse_zone
from tests.fixtures.archive import Archive

BEIJING = timezone(timedelta(hours=8))
OFFICER = '[display]\nzone = "Asia/Shanghai"\nlanguage = "zh"\n'


def program(*names: str) -> str:
    for name in names:
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip(f"{names[0]} is not installed")


@pytest.fixture
def officers_archive(archive: Archive) -> Archive:
    """As an officer finds it: configured for Beijing, in Chinese."""
    archive.write_config()
    archive.config.write_text(OFFICER + archive.config.read_text())
    assert archive("pull") == 0
    return archive


def month_of(archive: Archive) -> str:
    """The month in which the archive begins, by the calendar of Beijing."""
    return f"{datetime.fromtimestamp(archive.server.start_ms / 1000, BEIJING):%Y-%m}"


def test_a_month_that_is_not_archived_is_answered_in_words(officers_archive: Archive, tmp_path: Path) -> None:
    archive = officers_archive
    assert archive("statement", "--month", "2026-10") == 3
    assert archive.output.startswith("未归档：2026-10-01 00:00:00 +08:00 至 2026-11-01 00:00:00 +08:00")
    for command in (["search", "e"], ["conversation", "ahua", "xingchen"]):
        assert archive(*command, "--month", "2026-10") == 3
        assert archive.output.startswith("未归档：")
    assert archive("export", "--format", "html", "--output", str(tmp_path / "out"), "--month", "2026-10") == 3
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["covered"] == "not"
    assert "未归档" in manifest["gaps"][0]


def test_the_page_is_read_in_a_browser(officers_archive: Archive, tmp_path: Path) -> None:
    browser = program("chromium", "google-chrome", "chromium-browser")
    archive, place = officers_archive, tmp_path / "out"
    month = month_of(archive)
    options = ("--case", "沪-42", "--month", month)
    assert archive("export", "--format", "html", "--output", str(place), *options) == 3, "the month began before"
    index = opened(browser, place / "index.html", tmp_path)
    for words in ("归档消息", "案件编号", "沪-42", "部分归档", "+08:00"):
        assert words in index
    (sent_at, sender) = archive.database.rows(
        "SELECT sent_at, sender FROM messages WHERE sender IS NOT NULL ORDER BY timestamp_ms LIMIT 1"
    )[0]
    local = datetime.fromisoformat(sent_at).astimezone(BEIJING)
    page = next(page for page in place.rglob("part-*.html") if f"{local:%Y-%m-%d}" in str(page))
    document = opened(browser, page, tmp_path)
    assert f"{local:%H:%M:%S}" in document
    assert sender in document
    assert re.search(r"图片|语音|文件|位置", document), "body types are translated"
    picture = tmp_path / "page.pdf"
    run_browser(browser, page, tmp_path, f"--print-to-pdf={picture}")
    assert picture.read_bytes().startswith(b"%PDF")


def opened(browser: str, page: Path, place: Path) -> str:
    return run_browser(browser, page, place, "--dump-dom")


def run_browser(browser: str, page: Path, place: Path, *what: str) -> str:
    options = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={place}/profile", *what]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to run as root with it
    done = subprocess.run([browser, *options, page.as_uri()], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_workbook_is_opened_by_a_spreadsheet_program(officers_archive: Archive, tmp_path: Path) -> None:
    office = program("soffice", "libreoffice")
    archive, place = officers_archive, tmp_path / "out"
    assert archive("export", "--format", "xlsx", "--output", str(place), "--month", month_of(archive)) == 3
    convert = [office, f"-env:UserInstallation=file://{tmp_path}/office", "--headless", "--convert-to"]
    filter_options = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
    done = subprocess.run(
        [*convert, filter_options, "--outdir", str(tmp_path / "csv"), str(place / "messages.xlsx")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    sheets = {
        path.stem.rpartition("-")[2]: path.read_text(encoding="utf-8") for path in (tmp_path / "csv").glob("*.csv")
    }
    book = openpyxl.load_workbook(place / "messages.xlsx", read_only=True)
    assert set(sheets) == set(book.sheetnames)
    assert any("部分归档" in text for text in sheets.values()), "the statement is a sheet of its own"
    rows = list(csv.DictReader(io.StringIO(sheets["消息"])))
    stamps = dict(archive.database.rows("SELECT msg_id, sent_at FROM messages"))
    calendar = Calendar(parse_zone("Asia/Shanghai"))
    of_month = {msg_id for msg_id, at in stamps.items() if (calendar.written(at) or "").startswith(month_of(archive))}
    assert {row["消息 ID"] for row in rows} == of_month, "no id lost a digit in the spreadsheet program"
    local = next(name for name in rows[0] if name.startswith("发送时间（Asia/Shanghai"))
    for row in rows[:50]:
        assert row[local][:19] == (calendar.written(stamps[row["消息 ID"]]) or "")[:19].replace("T", " ")
