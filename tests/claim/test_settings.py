"""Settings that change between two pulls: what was read under the old ones closes only where it satisfies the new."""

from __future__ import annotations

import pytest

from archiver.model import HOUR_MS, MINUTE_MS
from tests.claim.archive import T0, Archive, Make, filed, message
from tests.proof.hours import HourNature

NATURE = HourNature()


def make(make_hours: Make, *, grown_ms: int, at_ms: int) -> Archive:
    """Twenty hours, and one message in the last hour that was due at the first pull, whose file has it later."""
    records = [filed(NATURE, number, T0 + number * HOUR_MS + 20 * MINUTE_MS) for number in range(20)]
    records.append(filed(NATURE, 100, at_ms, grown_ms=grown_ms))
    return make_hours(records, now_ms=T0 + 9 * HOUR_MS + 5 * MINUTE_MS, nature=NATURE, settle_ms=3 * HOUR_MS)


def test_an_hour_that_waits_for_its_neighbour_is_read_again_at_a_longer_settle(make_hours: Make) -> None:
    """Hour 5 was read at three hours; its file grew at four, and five is what the claim says then."""
    archive = make(make_hours, at_ms=T0 + 5 * HOUR_MS + 40 * MINUTE_MS, grown_ms=T0 + 10 * HOUR_MS)
    archive.pull()
    assert archive.until_ms == T0 + 5 * HOUR_MS
    archive.configure(settle_ms=5 * HOUR_MS)
    archive.pull_each(HOUR_MS, 5)
    assert archive.until_ms > T0 + 6 * HOUR_MS
    assert "m100" in archive.stored()
    walked = archive.database.rows(
        "SELECT walk0_ms - hi_ms FROM windows WHERE \"pass\" = 1 AND state = 'closed' AND lo_ms >= ?", T0 + 5 * HOUR_MS
    )
    assert walked
    assert min(walked)[0] >= 5 * HOUR_MS


@pytest.mark.full
def test_hours_closed_under_a_shorter_settle_stay_closed(make_hours: Make) -> None:
    """The audits speak for them; the watermark never falls for a setting."""
    archive = make(make_hours, at_ms=T0 + 2 * HOUR_MS + 40 * MINUTE_MS, grown_ms=T0 + 9 * HOUR_MS + 10 * MINUTE_MS)
    archive.pull()
    before_ms = archive.until_ms
    archive.configure(settle_ms=8 * HOUR_MS, audits_ms=(10 * HOUR_MS,))
    assert archive.pull_each(HOUR_MS, 6)[-1] == 0
    assert archive.until_ms >= before_ms
    assert archive.status()["late_arrivals"] == 1, "the audit found what had grown, and says that it was late"


@pytest.mark.full
def test_an_hour_that_waits_closes_at_once_under_a_shorter_settle(make_hours: Make) -> None:
    archive = make(make_hours, at_ms=T0 + 30 * MINUTE_MS, grown_ms=T0 + HOUR_MS)
    archive.pull()
    archive.configure(settle_ms=HOUR_MS)
    assert archive.pull().exit_code == 0
    assert archive.until_ms == T0 + 7 * HOUR_MS


@pytest.mark.parametrize("walked", [0, 1], ids=["planned", "begun"])
def test_a_window_of_pages_planned_under_a_shorter_settle(make_pages: Make, walked: int) -> None:
    """It was planned, or its walk had begun, when `settle` was lengthened: it closes by what its claim said."""
    records = [message(number, T0 + number * MINUTE_MS) for number in range(100)]
    late_ms = T0 + 95 * MINUTE_MS + 1
    records.append(message(200, late_ms, late_ms + 8 * MINUTE_MS))
    archive = make_pages(records, now_ms=T0 + 99 * MINUTE_MS, page_size=10, settle_ms=2 * MINUTE_MS)
    asked = 0

    def broken() -> None:
        nonlocal asked
        asked += 1
        archive.provider.trouble.rates["error"] = float(asked > 1 + walked)

    archive.provider.meanwhile = broken
    assert archive.pull().exit_code == 75
    archive.provider.meanwhile = lambda: None
    archive.provider.calm = True
    archive.configure(settle_ms=10 * MINUTE_MS)
    archive.clock.now_ms += MINUTE_MS
    archive.pull()
    assert archive.until_ms < late_ms, "it may still be shown, for all that the claim says now"
    archive.clock.now_ms += 15 * MINUTE_MS
    assert archive.pull().exit_code == 0
    assert archive.until_ms > late_ms
    assert "m200" in archive.stored()
