"""`start` counts at the first pull; who moves it back later hears that nothing comes of it, and what does it."""

from __future__ import annotations

import json

import pytest

from archiver.store.schema import iso
from tests.fixtures.archive import DAY, Archive, MakeArchive


def told(archive: Archive) -> dict[str, str]:
    """What each of the commands says of the start, if anything."""
    found = {}
    assert archive("doctor") == 0
    found["doctor"] = "".join(line for line in archive.output.splitlines() if "start = " in line)
    found["status"] = archive.status()["start_problem"] or ""
    assert archive("status") == 0
    assert ("counts at the first pull" in " ".join(archive.output.split())) == bool(found["status"])
    assert archive("pull") == 0
    found["pull"] = "".join(line for line in archive.errors.splitlines() if "start = " in line)
    return found


@pytest.mark.full
def test_a_start_that_is_moved_back_is_said_to_move_nothing(archive: Archive) -> None:
    first_ms = archive.server.start_ms
    assert archive.status()["start_problem"] is None
    assert archive("pull") == 0
    assert not any(told(archive).values())
    archive.write_config(start=iso(first_ms + DAY))  # what is archived stays: no cause for a word
    assert not any(told(archive).values())
    back = (iso(first_ms - DAY) or "").replace(".000Z", "Z")
    archive.write_config(start=back)
    for command, line in told(archive).items():
        assert f"the archive begins at {iso(first_ms)}, and start = " in line, command
        assert f"archiver backfill --from {iso(first_ms - DAY)}" in line, command
    assert archive("backfill", "--from", back) == 0
    assert archive.status()["complete_from_ms"] == first_ms - DAY
    assert not any(told(archive).values())


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_files_reach_back_no_further_and_the_remedy_is_another(make_archive: MakeArchive, archive: Archive) -> None:
    hourly = {"source": "hourly", "audits": None, "start": iso(archive.server.start_ms // 3_600_000 * 3_600_000)}
    archive("pull", **hourly)
    assert archive.status()["start_problem"] is None, "what was lost before the first contact was asked for then"
    origin_ms = archive.status()["origin_ms"]
    archive.write_config(**{**hourly, "start": iso(archive.server.start_ms - 400 * DAY)})
    archive("doctor", "--format", "json")
    (found,) = [each for each in json.loads(archive.output)["findings"] if each["what"].endswith(": start")]
    assert found["state"] == "warning"
    assert "backfill" not in found["remedy"]
    assert found["remedy"].startswith("start = ")
    assert origin_ms


def test_a_source_that_never_had_a_token_leaves_no_rows_and_fixes_no_origin(archive: Archive) -> None:
    early = iso(archive.server.start_ms - DAY)
    assert archive("pull", client_id="YXA6wrong") == 4
    assert "check client_id and client_secret" in archive.errors
    assert archive("pull", app="sandbocks") == 4
    assert archive("backfill", "--from", str(archive.server.start_ms - DAY), client_id="YXA6wrong") == 4
    assert [archive.count(table) for table in ("apps", "sources", "runs", "watermarks")] == [0, 0, 0, 0]
    assert archive("pull", start=early) == 0
    assert archive.status()["origin_ms"] == archive.server.start_ms - DAY, "the start that counts is the one of now"
    assert archive.count("sources") == 1


def test_a_start_in_the_future_is_refused(archive: Archive) -> None:
    for command in ("check-config", "pull", "doctor"):
        assert archive(command, start="2036-11-01T00:00:00Z") == 2
        assert "apps[0].start: lies in the future" in archive.errors
