"""Each format, opened by a reader that is not ours, and held against the database."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from archiver.export.formats import csv as spreadsheet
from archiver.export.formats.rows import NAMES
from tests.export.samples import FORMULAS, MARKUP
from tests.fixtures.archive import Archive

BODIES = (
    "SELECT m.msg_id, b.position, b.text FROM messages m"
    " LEFT JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id"
)


def exported(archive: Archive, form: str, folder: Path, *more: str) -> list[Path]:
    assert archive("export", "--format", form, "--output", str(folder), *more) == 0, archive.errors
    assert archive("export", "verify", str(folder)) == 0, archive.output
    return sorted(folder.rglob(f"part-*.{form}"))


def test_jsonl_has_every_record_verbatim(archive: Archive, tmp_path: Path) -> None:
    lines = [
        json.loads(line)
        for part in exported(archive, "jsonl", tmp_path / "out")
        for line in part.read_bytes().splitlines()
    ]
    stored = archive.database.rows("SELECT msg_id, raw, digest FROM messages")
    assert {line["msg_id"]: line["raw"].encode() for line in lines} == {row[0]: bytes(row[1]) for row in stored}
    assert {line["msg_id"]: bytes.fromhex(line["digest"]) for line in lines} == {r[0]: bytes(r[2]) for r in stored}
    found = {line["msg_id"]: line for line in lines}
    assert [body["text"] for body in found["two"]["bodies"][:1]] == ["one\nof two"]
    assert found["two"]["ext"] == {"order": 7, "名": "字"}
    assert found["none"]["bodies"] == []
    (revision,) = found["h0"]["revisions"]
    assert json.loads(revision["raw"])["payload"]["bodies"][0]["msg"] == "another content"


def test_days_are_folders_and_lines_stand_in_order(archive: Archive, tmp_path: Path) -> None:
    parts = exported(archive, "jsonl", tmp_path / "out")
    assert parts[-1].parent.name == "day=unknown"
    assert {part.parents[1].name for part in parts} == {"app=easemob-demo%23sandbox"}
    for part in parts[:-1]:
        lines = [json.loads(line) for line in part.read_bytes().splitlines()]
        assert {line["sent_at"][:10] for line in lines} == {part.parent.name.removeprefix("day=")}
        keys = [(line["timestamp_ms"], line["msg_id"].encode()) for line in lines]
        assert keys == sorted(keys)


@pytest.mark.parametrize("bom", [False, True])
def test_csv_is_read_by_python_and_no_cell_is_a_formula(archive: Archive, tmp_path: Path, bom: bool) -> None:
    rows: list[dict[str, Any]] = []
    for part in exported(archive, "csv", tmp_path / "out", *(["--bom"] if bom else [])):
        assert part.read_bytes().startswith(b"\xef\xbb\xbf") == bom
        with part.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows += reader
            assert tuple(reader.fieldnames or ()) == spreadsheet.COLUMNS
    texts = [value for row in rows for name, value in row.items() if name not in ("lat", "lng", "timestamp_ms")]
    assert not [text for text in texts if re.match(r"[\s\u200b]*[=+\-@＝＋－＠]|[\t\r\n]", text)]
    back = {(row["msg_id"], row["body_position"]): spreadsheet.restored(row["text"]) for row in rows}
    stored = {(i, "" if at is None else str(at)): text or "" for i, at, text in archive.database.rows(BODIES)}
    assert back == stored
    assert {back[f"h{number}", "0"] for number in range(len(FORMULAS))} == set(FORMULAS)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["formula_prefix"] == "'"


def test_csv_in_one_file_has_the_rows_of_all_days(archive: Archive, tmp_path: Path) -> None:
    by_day = exported(archive, "csv", tmp_path / "days")
    assert exported(archive, "csv", tmp_path / "single", "--single-file", "--bom") == []
    assert [path.name for path in sorted((tmp_path / "single").iterdir())] == [
        *("manifest.json", "manifest.json.sha256", "messages.csv")
    ]
    header = by_day[0].read_bytes().partition(b"\r\n")[0]
    body = b"".join(part.read_bytes().partition(b"\r\n")[2] for part in by_day)
    assert (tmp_path / "single/messages.csv").read_bytes() == b"\xef\xbb\xbf" + header + b"\r\n" + body
    manifest = json.loads((tmp_path / "single/manifest.json").read_text())
    assert manifest["counts"]["days"] == len(by_day)
    assert manifest["files"][0]["messages"] == archive.count("messages")
    assert archive("export", "--format", "html", "--single-file", "--output", str(tmp_path / "x")) == 2
    assert "--single-file is for --format csv" in archive.errors


@pytest.mark.full
@pytest.mark.parametrize("form", ["csv", "html"])
def test_days_for_people_begin_at_midnight_of_their_zone(archive: Archive, tmp_path: Path, form: str) -> None:
    whole = {row[0] for row in archive.database.rows("SELECT msg_id FROM messages")}
    place = tmp_path / "out"
    parts = exported(archive, form, place, "--zone", "Asia/Kathmandu")
    zone, found, days = ZoneInfo("Asia/Kathmandu"), set(), set()
    stamps = dict(archive.database.rows("SELECT msg_id, timestamp_ms FROM messages WHERE sent_at IS NOT NULL"))
    for part in parts:
        day = part.parent.name.removeprefix("day=")
        days.add(day)
        text = part.read_text(encoding="utf-8")
        if form == "csv":
            rows = list(csv.DictReader(io.StringIO(text)))
            ids = {row["msg_id"] for row in rows}
            for row in rows:
                assert row["archived_at"].endswith("Z")
                assert (row["sent_at"] or "Z").endswith("Z")
                if row["sent_at"]:
                    moment = datetime.fromisoformat(row["sent_at_local"]).replace(tzinfo=zone)
                    assert int(moment.timestamp() * 1000 + 0.5) == int(row["timestamp_ms"])
        else:
            ids = {each for each in whole if f'id <bdi dir="auto">{each}</bdi>' in text}
            assert (" +05:45 ·" in text) == (day != "unknown")
            assert " UTC ·" not in text
        for each in ids & stamps.keys():
            assert datetime.fromtimestamp(stamps[each] / 1000, zone).date().isoformat() == day
        found |= ids
    assert found == whole
    assert len(days) >= 3
    manifest = json.loads((place / "manifest.json").read_text())
    assert (manifest["zone"], manifest["counts"]["days"]) == ("Asia/Kathmandu", len(days))
    if form == "html":
        assert "day (Asia/Kathmandu)" in (place / "index.html").read_text(encoding="utf-8")
    assert archive("export", "verify", str(place)) == 0


def test_what_machines_read_stays_in_utc(archive: Archive, tmp_path: Path) -> None:
    here = exported(archive, "jsonl", tmp_path / "a")
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "b"), "--zone", "+08:00") == 0
    assert "--zone changes nothing there" in archive.errors
    there = sorted((tmp_path / "b").rglob("part-*.jsonl"))
    assert [part.relative_to(tmp_path / "a") for part in here] == [part.relative_to(tmp_path / "b") for part in there]
    assert [part.read_bytes() for part in here] == [part.read_bytes() for part in there]
    assert json.loads((tmp_path / "b/manifest.json").read_text())["zone"] == "UTC"


def test_parquet_is_one_table_by_app_and_day(archive: Archive, tmp_path: Path) -> None:
    parts = exported(archive, "parquet", tmp_path / "out")
    table = ds.dataset(tmp_path / "out" / "messages", format="parquet", partitioning="hive").to_table()
    assert set(table.column_names) == set(NAMES) | {"app", "day"}
    assert len(parts) >= 3
    rows = table.to_pylist()
    assert {(row["msg_id"], row["body_position"]): row["text"] for row in rows} == {
        (msg_id, position): text for msg_id, position, text in archive.database.rows(BODIES)
    }
    assert {row["app"] for row in rows} == {"easemob-demo#sandbox"}
    assert table.schema.field("sent_at").type == pa.timestamp("ms", tz="UTC")
    for row in rows:
        stamp = row["sent_at"] and int(row["sent_at"].timestamp() * 1000)
        assert stamp is None or abs(stamp - row["timestamp_ms"]) <= 1
        assert (row["day"] == "unknown") == (row["sent_at"] is None)
        if row["sent_at"]:
            assert str(row["day"]) == datetime.fromtimestamp(row["timestamp_ms"] / 1000, UTC).date().isoformat()


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.policy = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        told = dict(attrs)
        if tag == "a":
            self.links.append(told["href"] or "")
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = told["content"] or ""

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_holds_texts_and_nothing_that_acts(archive: Archive, tmp_path: Path) -> None:
    parts = exported(archive, "html", tmp_path / "out")
    pages = [Page(part.read_text(encoding="utf-8")) for part in (*parts, tmp_path / "out/index.html")]
    known = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "article", "header", "b", "bdi", "a"}
    for page in pages:
        assert page.tags <= known | {"nav", "span", "table", "tr", "th", "td"}
        assert page.attributes <= {"id", "lang", "charset", "http-equiv", "content", "name", "class", "href", "dir"}
        assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
        assert all(
            link.startswith(("../../../index.html", "../../../messages/app=", "messages/app=")) for link in page.links
        )
    told = "".join(page.text for page in pages)
    assert MARKUP[0] in told
    assert MARKUP[3] in told
    assert re.search(r"seen with other content at \S+: another content \(digest [0-9a-f]{64}\)", told)
    assert not set(told) & {"\u202e", "\u2066", "\x1b", "\r"}
    assert r"\u202eevil\u2066 \x1b[2J line" in told
    assert "break\tcell" in told


def test_the_index_leads_to_every_page(archive: Archive, tmp_path: Path) -> None:
    from urllib.parse import unquote

    parts = exported(archive, "html", tmp_path / "out")
    index = Page((tmp_path / "out/index.html").read_text(encoding="utf-8"))
    paths = {unquote(link).partition("#c")[0] for link in index.links}
    assert {(tmp_path / "out" / path).resolve() for path in paths} == set(parts)
    assert "Complete from" in index.text


@pytest.mark.parametrize("form", ["jsonl", "csv", "html"])
def test_only_jsonl_has_the_secrets_of_files(archive: Archive, tmp_path: Path, form: str) -> None:
    secrets = [row[0] for row in archive.database.rows("SELECT secret FROM message_bodies WHERE secret IS NOT NULL")]
    assert secrets
    secrets += ["hidden-1", "hidden-2"]
    whole = "".join(part.read_text(encoding="utf-8") for part in exported(archive, form, tmp_path / "out"))
    assert all((secret in whole) == (form == "jsonl") for secret in secrets)
    assert "in sight" in whole
