"""Hours that were asked for by wrong names: what they lack is asked for again, however the zone comes to be right."""

from __future__ import annotations

import pytest

from archiver.model import HOUR_MS, MINUTE_MS
from tests.claim.archive import T0, Archive, Make, filed
from tests.proof.hours import Filed, HourNature

UTC_NAMES = HourNature(offset_ms=0)
"""A cluster overseas, whose files are named by UTC; +08:00 is what is configured where nobody says anything."""
INDIA_MS = 5 * HOUR_MS + 30 * MINUTE_MS


def spread(nature: HourNature, hours: int, *, an_hour: int = 1) -> list[Filed]:
    """So many messages an hour, evenly over it; a single one some minutes after it began."""
    stamps = [
        T0 + hour * HOUR_MS + (20 + each * 60 // an_hour) % 60 * MINUTE_MS
        for hour in range(hours)
        for each in range(an_hour)
    ]
    return [filed(nature, number, stamp_ms) for number, stamp_ms in enumerate(stamps)]


def all_is_there(archive: Archive, *, at_least_ms: int) -> None:
    assert archive.until_ms >= at_least_ms
    assert archive.holes() == []
    assert archive.truth(T0, archive.until_ms) <= archive.stored()


@pytest.mark.full
@pytest.mark.parametrize("an_hour", [1, 30], ids=["quiet", "busy"])
def test_a_zone_corrected_before_it_was_proved_wrong(make_hours: Make, an_hour: int) -> None:
    """As `doctor` advises, after the first pull."""
    archive = make_hours(spread(UTC_NAMES, 24, an_hour=an_hour), now_ms=T0 + 14 * HOUR_MS, nature=UTC_NAMES)
    assert archive.pull().exit_code in (2, 75), "a doubt at least"
    assert archive.until_ms == T0
    archive.configure(offset_ms=0)
    assert archive.pull_each(HOUR_MS, 4)[-1] == 0
    all_is_there(archive, at_least_ms=T0 + 13 * HOUR_MS)


@pytest.mark.parametrize("late", [1, pytest.param(3, marks=pytest.mark.full)])
def test_late_messages_in_each_file_do_not_make_a_wrong_zone_right(make_hours: Make, late: int) -> None:
    """Stamped ten minutes before the hour in whose file they lie."""
    nature = UTC_NAMES
    records = spread(nature, 24, an_hour=20)
    for hour in range(24 * late):
        lo_ms = T0 + hour // late * HOUR_MS
        records.append(filed(nature, 1000 + hour, lo_ms - 10 * MINUTE_MS, filed_ms=lo_ms + 5 * MINUTE_MS))
    archive = make_hours(records, now_ms=T0 + 14 * HOUR_MS, nature=nature)
    refused = archive.pull()
    assert refused.exit_code == 2
    assert 'hour_utc_offset = "+00:00"' in str(refused.hint)
    assert archive.pull_each(2 * HOUR_MS, 2) == [2, 2]
    assert archive.until_ms == T0, "nothing of these files is claimed"
    assert "Nothing of these files is claimed" in archive.words()
    archive.configure(offset_ms=0)
    assert archive.pull_each(MINUTE_MS, 2)[-1] == 0
    all_is_there(archive, at_least_ms=T0 + 13 * HOUR_MS)
    assert archive.status()["zone_problem"] is None


def test_late_messages_do_not_make_a_right_zone_wrong(make_hours: Make) -> None:
    """A quarter of what each file holds was an hour on its way."""
    nature = HourNature()
    records = spread(nature, 12, an_hour=6)
    for hour in range(2, 12):
        lo_ms = T0 + hour * HOUR_MS
        slow = [
            filed(nature, 1000 + 2 * hour + each, lo_ms - (20 + each) * MINUTE_MS, filed_ms=lo_ms) for each in (0, 1)
        ]
        records += slow
    archive = make_hours(records, now_ms=T0 + 14 * HOUR_MS, nature=nature)
    assert archive.pull().exit_code == 0
    all_is_there(archive, at_least_ms=T0 + 9 * HOUR_MS)


def test_a_few_late_messages_do_not_make_a_right_zone_wrong(make_hours: Make) -> None:
    """An app that writes in the middle of its hours alone, where zones of other quarters fit as well."""
    nature = HourNature()
    stamps = [T0 + hour * HOUR_MS + (20 + each) * MINUTE_MS for hour in range(12) for each in range(20)]
    records = [filed(nature, number, stamp_ms) for number, stamp_ms in enumerate(stamps)]
    for hour in range(12):
        lo_ms = T0 + hour * HOUR_MS
        records.append(filed(nature, 1000 + hour, lo_ms - 10 * MINUTE_MS, filed_ms=lo_ms + 5 * MINUTE_MS))
    archive = make_hours(records, now_ms=T0 + 14 * HOUR_MS, nature=nature)
    assert archive.pull().exit_code == 0
    all_is_there(archive, at_least_ms=T0 + 9 * HOUR_MS)


@pytest.mark.full
def test_a_zone_corrected_by_half_an_hour(make_hours: Make) -> None:
    """Windows planned by full hours of the first zone are no hours of the second; all files they touch are read."""
    nature = HourNature(offset_ms=INDIA_MS)
    archive = make_hours(spread(nature, 20, an_hour=4), now_ms=T0 + 14 * HOUR_MS, nature=nature, offset_ms=5 * HOUR_MS)
    doubted = archive.pull()
    assert doubted.exit_code in (2, 75)
    assert "hour_utc_offset" in str(doubted.reason)
    assert archive.until_ms <= T0 + HOUR_MS, "half of what each file holds speaks against its hour"
    archive.configure(offset_ms=INDIA_MS)
    assert archive.pull_each(HOUR_MS, 3)[-1] == 0
    all_is_there(archive, at_least_ms=T0 + 11 * HOUR_MS)


@pytest.mark.full
def test_a_cluster_that_names_its_files_otherwise_one_day(make_hours: Make) -> None:
    """What was read before under the right name stays; what came after is read again, once the setting follows."""
    renamed_ms = T0 + 15 * HOUR_MS
    nature = HourNature(offset_ms=8 * HOUR_MS, renamed_ms=renamed_ms, later_offset_ms=0)
    archive = make_hours(spread(nature, 40, an_hour=3), now_ms=T0 + 14 * HOUR_MS, nature=nature)
    assert archive.pull().exit_code == 0
    before_ms = archive.until_ms
    assert before_ms >= T0 + 9 * HOUR_MS
    assert archive.pull_until(T0 + 28 * HOUR_MS) in (2, 75)
    archive.configure(offset_ms=0)
    assert archive.pull_each(HOUR_MS, 3)[-1] == 0
    all_is_there(archive, at_least_ms=T0 + 26 * HOUR_MS)


@pytest.mark.full
def test_a_late_message_does_not_outvote_a_file_that_came_before_its_time(make_hours: Make) -> None:
    """The names change; a newest hour holds one message, an hour late, which fits the old name."""
    nature = HourNature(renamed_ms=T0 + 28 * HOUR_MS, later_offset_ms=7 * HOUR_MS)
    records = spread(nature, 10, an_hour=4)
    late_ms = T0 + 26 * HOUR_MS + 50 * MINUTE_MS
    records.append(filed(nature, 1000, late_ms, filed_ms=T0 + 27 * HOUR_MS + MINUTE_MS))
    at_its_end = filed(nature, 1001, T0 + 3 * HOUR_MS - 1, filed_ms=T0 + 3 * HOUR_MS, grown_ms=T0 + 27 * HOUR_MS)
    settings = {"settle_ms": 24 * HOUR_MS, "early_ms": HOUR_MS}
    archive = make_hours([*records, at_its_end], now_ms=T0 + 24 * HOUR_MS + 48 * MINUTE_MS, nature=nature, **settings)
    assert archive.pull_each(HOUR_MS, 3)[-1] == 0
    archive.pull_each(HOUR_MS, 2)
    assert archive.until_ms <= T0 + 3 * HOUR_MS
    archive.configure(offset_ms=7 * HOUR_MS)
    assert archive.pull_each(HOUR_MS, 3)[-1] == 0
    all_is_there(archive, at_least_ms=T0 + 6 * HOUR_MS)


@pytest.mark.full
def test_two_late_messages_before_a_silence_hold_up_no_zone_for_ever(make_hours: Make) -> None:
    """No single zone explains both, so after a day they count as late."""
    nature = HourNature()
    late = [
        filed(nature, number, T0 + number * MINUTE_MS, filed_ms=T0 + (2 * number + 1) * HOUR_MS) for number in (1, 2)
    ]
    archive = make_hours(late, now_ms=T0 + 16 * HOUR_MS, nature=nature)
    assert archive.pull().exit_code == 75, "doubted at first"
    archive.pull_each(5 * HOUR_MS, 6)
    assert archive.pull_each(HOUR_MS, 2)[-1] == 0
    all_is_there(archive, at_least_ms=T0 + 40 * HOUR_MS)


@pytest.mark.full
@pytest.mark.parametrize("hours", [1, pytest.param(6, marks=pytest.mark.full)])
def test_an_operator_who_sets_a_right_zone_wrong_for_a_while(make_hours: Make, hours: int) -> None:
    nature = HourNature()
    archive = make_hours(spread(nature, 40, an_hour=3), now_ms=T0 + 10 * HOUR_MS, nature=nature)
    assert archive.pull().exit_code == 0
    before_ms = archive.until_ms
    archive.configure(offset_ms=0)
    archive.pull_each(HOUR_MS, hours)
    archive.configure(offset_ms=8 * HOUR_MS)
    assert archive.pull_each(HOUR_MS, 3)[-1] == 0
    all_is_there(archive, at_least_ms=before_ms + hours * HOUR_MS)


@pytest.mark.full
def test_a_quiet_app_under_a_wrong_zone_is_doubted_and_then_refused(make_hours: Make) -> None:
    """Six files are a proof where twenty messages are weeks away."""
    nature = HourNature(offset_ms=8 * HOUR_MS)
    stamps = [T0 + number * 5 * HOUR_MS + 20 * MINUTE_MS for number in range(9)]
    records = [filed(nature, number, stamp_ms) for number, stamp_ms in enumerate(stamps)]
    archive = make_hours(records, now_ms=T0 + 14 * HOUR_MS, nature=nature, offset_ms=0)
    assert 2 in archive.pull_each(10 * HOUR_MS, 4)
    archive.configure(offset_ms=8 * HOUR_MS)
    assert archive.pull_each(HOUR_MS, 3)[-1] == 0
    all_is_there(archive, at_least_ms=T0 + 45 * HOUR_MS)


def test_an_app_without_any_message_says_that_nothing_confirms_its_zone(make_hours: Make) -> None:
    archive = make_hours([], now_ms=T0 + 14 * HOUR_MS, nature=HourNature())
    assert archive.pull().exit_code == 0
    assert archive.until_ms > T0
    assert archive.status()["hours_confirmed_until_ms"] == T0
    assert "That hour_utc_offset is right is confirmed by no message" in archive.words()


def test_one_message_that_files_have_twice_is_no_scattered_history(make_hours: Make) -> None:
    """A file may have a message twice, and so may the next one: that is one voice against the zone, and not four."""
    nature = HourNature(offset_ms=9 * HOUR_MS, doubles=True)
    records = [filed(nature, 1, T0 + 5 * HOUR_MS + 27 * MINUTE_MS)]
    archive = make_hours(records, now_ms=T0 + 8 * HOUR_MS, nature=nature, offset_ms=8 * HOUR_MS)
    archive.pull_each(HOUR_MS, 4)
    received = archive.database.rows("SELECT received FROM windows WHERE received > 0 AND pass = 1")
    assert sum(count for (count,) in received) >= 4, "else this shows nothing"
    assert archive.until_ms <= T0 + 6 * HOUR_MS
