"""`archiver statement`, and the first line of search and conversation, on archives of both databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database

OCTOBER = ("--from", "2026-10-01", "--to", "2026-11-01", "--zone", "Asia/Shanghai")


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Archive:
    """A pulled archive whose first hour is lost, and accepted."""
    pulled = make_archive(database, messages=40)
    assert pulled("pull") == 0
    return pulled


def accept_a_loss(archive: Archive) -> tuple[int, int]:
    """The first closed window is lost by a stroke of fate, and somebody accepts that."""
    window_id, lo_ms, hi_ms = archive.database.rows(
        "SELECT id, lo_ms, hi_ms FROM windows WHERE pass = 1 AND state = 'closed' ORDER BY lo_ms LIMIT 1"
    )[0]
    archive.database.run(f"UPDATE windows SET state = 'expired', reason = 'gone' WHERE id = {window_id}")
    reason = "provider outage, ticket 42"
    assert archive("coverage", "accept", "--from", str(lo_ms), "--to", str(hi_ms), "--reason", reason) == 0
    return lo_ms, hi_ms


def statement(archive: Archive, *arguments: str) -> dict[str, Any]:
    code = archive("statement", "--format", "json", *arguments)
    answer: dict[str, Any] = json.loads(archive.output)
    assert code == (0 if answer["verdict"] == "complete" else 3)
    return answer


def test_a_range_is_answered_for_in_figures(archive: Archive) -> None:
    whole = statement(archive)
    (source,) = whole["apps"]
    assert (whole["version"], whole["verdict"], source["holes"], source["outside"]) == (1, "complete", [], [])
    assert source["covered"] == [{"lo_ms": source["complete_from_ms"], "hi_ms": source["complete_until_ms"]}]
    october = statement(archive, *OCTOBER)
    assert (october["verdict"], october["from"]) == ("not", "2026-09-30T16:00:00.000Z")
    lo_ms, hi_ms = accept_a_loss(archive)
    lost = statement(archive, "--from", str(lo_ms))
    assert lost["verdict"] == "partly"
    (hole,) = lost["apps"][0]["holes"]
    assert (hole["lo_ms"], hole["hi_ms"], hole["state"]) == (lo_ms, hi_ms, "accepted")
    assert hole["accepted_by"]
    assert hole["accepted_at"].endswith("Z")
    assert statement(archive, "--from", str(hi_ms))["verdict"] == "complete"
    assert statement(archive, "--app", archive.server.app, "--from", str(hi_ms))["verdict"] == "complete"
    assert archive("statement", "--app", "nobody") == 2


def test_holes_say_who_accepted_them_and_when_wherever_they_are_listed(archive: Archive) -> None:
    accept_a_loss(archive)
    for command in (("status",), ("coverage",)):
        assert archive(*command, "--format", "json") == 0
        (hole,) = json.loads(archive.output)["apps"][0]["holes"]
        assert hole["accepted_by"]
        assert hole["accepted_at"]
        assert archive(*command) == 0
        assert f"accepted by {hole['accepted_by']}" in " ".join(archive.output.split())


def test_people_are_answered_in_their_language_and_zone(archive: Archive) -> None:
    assert archive("statement", *OCTOBER) == 3
    assert archive.output.startswith("NOT ARCHIVED: 2026-10-01 00:00:00 +08:00 to 2026-11-01 00:00:00 +08:00;")
    assert archive("statement", "--month", "2026-10", "--zone", "+08:00", "--language", "zh") == 3
    assert archive.output.startswith("未归档\uff1a2026-10-01 00:00:00 +08:00 至 2026-11-01 00:00:00 +08:00")
    archive.config.write_text(archive.config.read_text() + '\n[display]\nzone = "Asia/Shanghai"\nlanguage = "zh"\n')
    assert archive("statement", "--month", "2026-10") == 3
    assert archive.output.startswith("未归档\uff1a2026-10-01 00:00:00 +08:00")
    assert archive("statement", "--from", "2026-10", "--to", "2026-10-15 12:30", "--format", "html") == 3
    assert "<title>归档情况说明: 2026-10-01 00:00:00 +08:00 至 2026-10-15 12:30:00 +08:00</title>" in archive.output
    assert "<script" not in archive.output


def test_a_search_says_first_what_of_its_range_is_not_archived(archive: Archive) -> None:
    start = archive.server.start_ms
    assert archive("search", "a", "--from", str(start)) == 0
    assert "ARCHIVED" not in archive.output
    assert archive("search", "a") == 0
    assert archive("search", "a", *OCTOBER) == 3
    assert archive.output.startswith("NOT ARCHIVED: ")
    assert "the archive begins at" in archive.output
    assert archive("search", "a", "--from", str(start - DAY), "--format", "jsonl") == 3
    assert "ARCHIVED" not in archive.output
    assert archive.errors.startswith("PARTLY ARCHIVED: ")


def test_a_conversation_says_first_what_of_its_range_is_not_archived(archive: Archive) -> None:
    conversation = archive.database.value("SELECT conversation FROM messages WHERE conversation LIKE '%|%' LIMIT 1")
    assert archive("conversation", conversation, "--month", "2026-10") == 3
    assert archive.output.startswith("NOT ARCHIVED: 2026-10-01 00:00:00 UTC to 2026-11-01 00:00:00 UTC;")
    assert archive("conversation", conversation) == 0
    assert archive("conversation", conversation, "--from", str(archive.server.start_ms)) == 0


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("--zone", "Beijing"), "did you mean Asia/Shanghai?"),
        (("--zone", "+8"), "write +08:00"),
        (("--zone", "Nowhere/At_All"), "Asia/Shanghai"),
        (("--month", "2026-13"), "write it as 2026-10"),
        (("--month", "2026-10", "--from", "2026-10-02"), "give one or the other"),
        (("--from", "2026-10-02", "--to", "2026-10-01"), "must lie before"),
        (("--from", "1790000000"), "looks like seconds"),
        (("--from", "yesterday"), "is not a time"),
    ],
)
def test_a_range_that_is_none_is_refused_with_the_remedy(
    database: Database,
    make_archive: MakeArchive,
    arguments: tuple[str, ...],
    remedy: str,
) -> None:
    archive = make_archive(database, messages=0)
    assert archive("statement", *arguments) == 2
    assert remedy in " ".join(archive.errors.split())


def test_an_export_says_what_of_its_range_is_not_archived(archive: Archive, tmp_path: Path) -> None:
    accept_a_loss(archive)
    out = iter(str(tmp_path / f"out{number}") for number in range(9))

    def manifest(*arguments: str, form: str = "jsonl") -> tuple[int, dict[str, Any], str]:
        place = next(out)
        code = archive("export", "--format", form, "--output", place, *arguments)
        page = Path(place, "index.html")
        shown = page.read_text(encoding="utf-8") if page.exists() else ""
        return code, json.loads(Path(place, "manifest.json").read_text(encoding="utf-8")), shown

    code, whole, _ = manifest()
    assert (code, whole["gaps"]) == (0, []), "no range was asked for"
    (hole,) = whole["holes"]
    assert (hole["state"], hole["app"]) == ("accepted", whole["claims"][0]["app"])
    assert hole["accepted_by"]
    code, october, _ = manifest(*OCTOBER)
    assert (code, october["covered"], october["asked"]["from"]) == (3, "not", "2026-09-30T16:00:00.000Z")
    assert "NOT ARCHIVED: 2026-09-30 16:00:00 UTC to " in archive.errors, "JSON Lines are in UTC"
    assert [hole["state"] for hole in october["holes"]] == ["before_beginning"]
    code, part, page = manifest("--from", str(archive.server.start_ms), "--language", "zh", form="html")
    assert (code, part["covered"]) == (3, "partly")
    assert archive.output.startswith("部分归档")
    assert part["gaps"][0] in page
    assert f"{hole['accepted_by']} 于" in page
