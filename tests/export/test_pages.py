"""HTML for people: how one gets from page to page, what is printed, pictures, languages, and filters in words."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from archiver import coverage, export
from archiver.errors import Stopped
from archiver.export import run as exports
from archiver.export.formats import index
from archiver.export.request import Request
from archiver.export.wording import _WORDS, LANGUAGES, Wording
from archiver.rendering import KINDS
from archiver.sources import decode
from archiver.store.read.filters import Filter
from tests.export.samples import Stopping
from tests.export.test_formats import exported
from tests.fixtures.archive import Archive
from tests.fixtures.store import open_database


def linked(at: Path, words: str) -> Path | None:
    """Where a link of a page leads to."""
    link = re.search(rf'<a href="([^"]+)">{words}</a>', at.read_text(encoding="utf-8"))
    return link and (at.parent / unquote(link[1])).resolve()


def test_one_gets_from_page_to_page_and_back(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_PAGE", 20)
    parts = exported(archive, "html", tmp_path / "out")
    assert len(parts) > 4, "days of several pages"
    way = [parts[0]]
    while following := linked(way[-1], "next page"):
        way.append(following)
    assert way == parts
    back = [way[-1]]
    while previous := linked(back[-1], "previous page"):
        back.append(previous)
    assert back == parts[::-1]
    assert all(linked(part, "all days") == tmp_path / "out/index.html" for part in parts)


def test_every_conversation_is_on_the_index_with_its_days(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "out"
    exported(archive, "html", place)
    text = (place / "index.html").read_text(encoding="utf-8").partition("<h2>Conversations</h2>")[2]
    rows = re.findall(r'<bdi dir="auto">([^<]*)</bdi></td><td class="n">([\d,]+)</td><td>(.*)</td></tr>', text)
    counts = archive.database.rows("SELECT conversation, count(*) FROM messages GROUP BY conversation")
    assert {name: int(count) for name, count, _ in rows} == {name or "no conversation": n for name, n in counts}
    for name, count, links in rows:
        days = re.findall(r'<a href="([^"#]+)#(c\d+)">[^<]* \((\d+)\)</a>', links)
        assert sum(int(number) for *_, number in days) == int(count)
        for path, anchor, _ in days:
            content = (place / unquote(path)).read_text(encoding="utf-8")
            assert f'<h2 id="{anchor}"><bdi dir="auto">{name}</bdi></h2>' in content
    manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    assert all(set(file) <= {"path", "bytes", "sha256", "messages"} for file in manifest["files"])
    monkeypatch.setattr(index, "_LISTED", 3)
    exported(archive, "html", tmp_path / "few")
    few = (tmp_path / "few/index.html").read_text(encoding="utf-8")
    assert f"{len(rows) - 3} further conversations are not listed here" in few
    listed = re.findall(r'<bdi dir="auto">([^<]*)</bdi></td><td class="n">[\d,]+</td><td>(.*)</td></tr>', few)[-3:]
    assert listed == [(name, links) for name, _, links in rows if name in dict(listed)], "with all of their days"


def test_a_finished_day_is_linked_anew_where_its_neighbour_has_changed(archive: Archive, tmp_path: Path) -> None:
    store, stop, place = open_database(archive.database), threading.Event(), tmp_path / "out"

    def export_until(stopping: threading.Event) -> exports.ExportOutcome:
        request = Request("html", place, Filter(), "auditor")
        parts: dict[str, Any] = {"claims": coverage.claims, "decode": decode, "blobs": None, "stop": stop}
        return exports.Export(store, request, **parts, watcher=Stopping(stopping)).run()

    with pytest.raises(Stopped):
        export_until(stop)
    stop.clear()
    header, line = (json.loads(line) for line in (place / "export.journal").read_text().splitlines())
    assert line["about"][0] is None, "the first day has none before it"
    line["about"][1] = line["about"][1].replace("day=", "day=1")  # as if another day had followed
    (place / "export.journal").write_text(f"{json.dumps(header)}\n{json.dumps(line)}\n")
    done = export_until(threading.Event())
    store.dispose()
    assert done.kept_days == 0


def test_labels_and_body_types_are_in_the_language(archive: Archive, tmp_path: Path) -> None:
    parts = exported(archive, "html", tmp_path / "zh", "--language", "zh")
    text = "".join(part.read_text(encoding="utf-8") for part in (*parts, tmp_path / "zh/index.html"))
    assert '<html lang="zh-CN">' in text
    assert '[<bdi dir="auto">文件</bdi>]' in text
    assert "再次出现时内容不同：" in text
    assert "下一页" in text
    assert "next page" not in text
    assert archive("export", "--format", "jsonl", "--output", str(tmp_path / "x"), "--language", "zh") == 0
    assert "--language is for xlsx and html; it changes nothing in jsonl" in archive.errors


def test_every_word_is_there_in_both_languages() -> None:
    assert KINDS["en"].keys() == KINDS["zh"].keys()
    for key, words in _WORDS.items():
        assert len(words) == len(LANGUAGES)
        assert all(words), key
        assert len({word.count("{") for word in words}) == 1, key


def test_the_case_is_printed_on_every_page_and_is_no_style(archive: Archive, tmp_path: Path) -> None:
    case = '42"}body{display:none}</style><script>1</script>\\'
    place = tmp_path / "out"
    parts = exported(archive, "html", place, "--case", case)
    for part in (*parts, place / "index.html"):
        text = part.read_text(encoding="utf-8")
        (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
        margins = style.partition("@page{")[2]
        assert 'counter(page) " / " counter(pages)' in margins
        right = re.search(r'@top-right{content:"([A-Za-z0-9\\]*)"', margins)
        assert right
        assert re.sub(r"\\([0-9a-f]{6})", lambda sign: chr(int(sign[1], 16)), right[1]) == f"Case: {case}"
        assert "display:none}</style>" not in text
        assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in text


def test_a_filter_is_in_words_beside_its_values(archive: Archive, tmp_path: Path) -> None:
    stamp = archive.server.start_ms
    chosen = ("--from", str(stamp), "--to", str(stamp + 60_000), "--conversation", "iris|xingchen", "--type", "txt")
    place = tmp_path / "out"
    exported(archive, "html", place, *chosen, "--zone", "Asia/Shanghai")
    manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["filter"]["from_ms"], manifest["filter"]["to_ms"]) == (stamp, stamp + 60_000)
    words = manifest["filter_in_words"]
    assert words[0] == "conversation: iris|xingchen"
    assert re.fullmatch(r"from 2\d{3}-\S+ \S+ \+08:00 \(2\d{3}-\S+ \S+ UTC\) on", words[1])
    assert re.fullmatch(r"before 2\d{3}-.* \+08:00 \(2.* UTC\)", words[2])
    assert words[3] == "with a body of type: txt"
    text = (place / "index.html").read_text(encoding="utf-8")
    assert all(sentence in text for sentence in words)
    assert str(stamp) not in text
    assert archive("export", "--format", "csv", "--output", str(tmp_path / "utc"), *chosen) == 0
    utc = json.loads((tmp_path / "utc/manifest.json").read_text(encoding="utf-8"))["filter_in_words"]
    assert re.fullmatch(r"from \S+ \S+ UTC on", utc[1])


@pytest.mark.parametrize("ms", [-(2**63), -1, 0, 2**53, 2**63 - 1])
def test_an_instant_outside_all_calendars_is_its_number(ms: int) -> None:
    words = Wording().at(ms)
    assert words == f"{ms} ms" or words.endswith(" UTC")
