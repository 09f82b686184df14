"""The verdict on all sources: what is worst counts, and what is not configured does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archiver.model import Window
from archiver.status import SourceReport, verdict
from archiver.store.read.status import Hole
from archiver.zones import Calendar, parse_zone

WELL = SourceReport(
    app="o#a",
    source="cursor",
    configured=True,
    origin_ms=0,
    complete_from_ms=0,
    complete_until_ms=1_000,
    audited_until_ms=0,
    lag_seconds=1,
    overdue_seconds=0,
)
REFUSED = replace(WELL, last_run={"outcome": "refused", "reason": "no", "ended_at": ""}, overdue_seconds=9_999)
LOST = replace(WELL, holes=(Hole(Window(1, 2), "expired", None),))
ACCEPTED = replace(WELL, holes=(Hole(Window(1, 2), "accepted", None, "root", 3),))
LATE = replace(WELL, overdue_seconds=601, last_run={"outcome": "unfinished", "reason": "it timed out", "ended_at": ""})


@pytest.mark.parametrize(
    ("reports", "code", "word"),
    [
        ([WELL], 0, "OK"),
        ([WELL, ACCEPTED], 0, "OK"),
        ([replace(WELL, overdue_seconds=600)], 0, "OK"),
        ([WELL, LATE], 75, "OVERDUE"),
        ([LATE, LOST], 3, "HOLE"),
        ([LATE, LOST, REFUSED], 4, "REFUSED"),
        ([replace(REFUSED, configured=False), WELL], 0, "OK"),
        ([], 0, "NOTHING CONFIGURED"),
    ],
)
def test_the_worst_of_what_is_configured_counts(reports: list[SourceReport], code: int, word: str) -> None:
    assert verdict(reports, overdue_ms=600_000)[:2] == (code, word)


def test_who_is_late_is_named_with_the_last_reason() -> None:
    assert verdict([WELL, LATE], overdue_ms=1).why == "o#a (cursor), by 10.0 min: it timed out"
    never = verdict([replace(LATE, last_run=None, overdue_seconds=174_600)], overdue_ms=1)
    assert never.why == "o#a (cursor), by 2.0 d: nothing was pulled yet"


def test_people_read_up_to_when_all_is_archived_in_their_zone() -> None:
    later = replace(WELL, source="hourly", complete_until_ms=3_600_000)
    beijing = Calendar(parse_zone("Asia/Shanghai"))
    assert verdict([WELL, later], overdue_ms=600_000, calendar=beijing).why.endswith("up to 1970-01-01 08:00:01 +08:00")
