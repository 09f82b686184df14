"""Wrong clocks: what they make late is not taken for well, nor what they make look young for had."""

from __future__ import annotations

import pytest

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS
from tests.claim.archive import T0, Archive, Make, filed, message
from tests.proof.hours import HourNature
from tests.proof.provider import Nature

KEPT = 24 * HOUR_MS


def pages(make_pages: Make) -> Archive:
    records = [message(number, T0 + number * 10 * MINUTE_MS) for number in range(6 * 48)]
    nature = Nature(eager_end=True, retention_ms=KEPT)
    archive: Archive = make_pages(records, now_ms=T0 + HOUR_MS, nature=nature, retention_ms=KEPT)
    assert archive.pull().exit_code == 0
    return archive


def files(make_hours: Make, beyond: str = "400", kept_ms: int = KEPT) -> Archive:
    nature = HourNature(retention_ms=kept_ms, beyond=beyond)
    records = [filed(nature, number, T0 + number * HOUR_MS + 20 * MINUTE_MS) for number in range(100)]
    archive: Archive = make_hours(records, now_ms=T0 + 12 * HOUR_MS, nature=nature)
    assert archive.pull().exit_code == 0
    return archive


def looks_ill(archive: Archive, hours: float) -> None:
    """Nothing has been archived for so long, whatever the provider's clock says."""
    entry = archive.status()
    assert entry["overdue_seconds"] > (hours - 6) * 3600
    assert entry["time_to_loss_seconds"] < (24 - hours + 1) * 3600
    alarms = archive.alarms()
    assert alarms["Overdue"] == "critical"
    assert alarms["ClockSkew"] == "critical"
    if hours > 12:
        assert alarms["LossNear"] == "critical"


@pytest.mark.full
@pytest.mark.parametrize("says", ["stands still", "in seconds"])
def test_a_providers_clock_that_stands_still_looks_ill(make_pages: Make, says: str) -> None:
    archive = pages(make_pages)
    stood_ms = archive.clock.now_ms
    archive.clock.told_ms = (lambda _: stood_ms) if says == "stands still" else (lambda ms: ms // 1000)
    codes = archive.pull_each(4 * HOUR_MS, 4)
    assert 0 not in codes
    looks_ill(archive, 16)
    assert "What is due is uncertain: the server's clock" in archive.words()
    archive.clock.told_ms = lambda ms: ms
    assert archive.pull_each(MINUTE_MS, 3)[-1] == 0
    assert archive.status()["clock_problem"] is None
    assert archive.status()["overdue_seconds"] == 0


@pytest.mark.full
def test_a_providers_clock_that_runs_at_half_the_pace_looks_ill(make_pages: Make) -> None:
    archive = pages(make_pages)
    began_ms = archive.clock.now_ms
    archive.clock.told_ms = lambda ms: began_ms + (ms - began_ms) // 2
    assert 0 not in archive.pull_each(4 * HOUR_MS, 4)
    assert "runs slower" in archive.status()["clock_problem"]
    assert archive.alarms()["ClockSkew"] == "critical"
    assert archive.status()["overdue_seconds"] > 6 * 3600


def test_hourly_files_under_a_clock_that_stands_still_look_ill(make_hours: Make) -> None:
    archive = files(make_hours)
    stood_ms = archive.clock.now_ms
    archive.clock.told_ms = lambda _: stood_ms
    assert 0 not in archive.pull_each(5 * HOUR_MS, 3)
    looks_ill(archive, 15)


def test_a_provider_that_tells_no_time_at_all_looks_ill(make_pages: Make) -> None:
    archive = pages(make_pages)
    archive.provider.trouble.rates["no_time"] = 1.0
    assert set(archive.pull_each(4 * HOUR_MS, 4)) == {75}
    entry = archive.status()
    assert entry["overdue_seconds"] > 15 * 3600
    assert entry["time_to_loss_seconds"] < 9 * 3600
    assert {"Overdue", "LossNear"} <= archive.alarms().keys()


def test_a_clock_that_is_wrong_at_the_first_contact_is_known_by_the_second(make_pages: Make) -> None:
    records = [message(number, T0 + number * 10 * MINUTE_MS) for number in range(12)]
    archive = make_pages(records, now_ms=T0 + 2 * HOUR_MS)
    archive.clock.told_ms = lambda ms: ms // 1000
    archive.pull()
    assert archive.until_ms == T0
    assert archive.pull_each(MINUTE_MS, 1) == [75]
    assert archive.status()["overdue_seconds"] > 3600
    assert archive.alarms()["ClockSkew"] == "critical"


# The database's clock


@pytest.mark.full
@pytest.mark.parametrize("beyond", ["404", "lost"])
def test_a_database_clock_behind_makes_no_lost_hour_an_empty_one(make_hours: Make, beyond: str) -> None:
    """A restored virtual machine: all goes by its clock, and what expires in a short outage looks young by it."""
    archive = files(make_hours, beyond, kept_ms=36 * HOUR_MS)
    archive.clock.database_offset_ms = -30 * HOUR_MS
    archive.pull_each(5 * HOUR_MS, 6)
    archive.pull_each(HOUR_MS, 4)
    assert archive.truth(T0, T0 + 8 * HOUR_MS) <= archive.stored()
    archive.clock.now_ms += 7 * HOUR_MS
    archive.pull_each(2 * HOUR_MS, 16)
    lost = archive.truth(T0, archive.clock.now_ms - 36 * HOUR_MS) - archive.stored()
    assert lost, "else this shows nothing"
    assert archive.states()["presumed_empty"] == 0
    assert archive.states()["expired"] >= 1
    archive.clock.database_offset_ms = 0
    archive.pull_each(HOUR_MS, 1)
    archive.accept_all()
    assert archive.pull_each(HOUR_MS, 2)[-1] == 0
    assert archive.until_ms > archive.clock.now_ms - 6 * HOUR_MS


def test_time_to_loss_goes_by_the_later_clock(make_hours: Make) -> None:
    archive = files(make_hours)
    archive.clock.database_offset_ms = -16 * HOUR_MS
    archive.pull()
    entry = archive.status()
    true_s = (KEPT - (archive.clock.now_ms - archive.until_ms)) / 1000
    assert entry["time_to_loss_seconds"] <= true_s + 60
    assert archive.alarms()["ClockSkew"] in ("warning", "critical")
    assert abs(entry["clock_skew_ms"] - 16 * HOUR_MS) < MINUTE_MS


def test_a_database_clock_ahead_claims_no_hour_that_is_not_settled(make_pages: Make) -> None:
    archive = pages(make_pages)
    archive.clock.database_offset_ms = 2 * DAY_MS
    archive.pull_each(HOUR_MS, 2)
    assert archive.until_ms < archive.clock.now_ms
    archive.clock.database_offset_ms = 0
    archive.pull_each(HOUR_MS, 2)
    assert archive.truth(T0, archive.until_ms) <= archive.stored()
