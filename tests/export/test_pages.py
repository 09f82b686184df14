"""HTML for people: how one gets from page to page, what is printed, pictures, languages, and filters in words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from archiver.export.wording import Wording
from tests.export.test_formats import exported
from tests.flow.conftest import Archive


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
