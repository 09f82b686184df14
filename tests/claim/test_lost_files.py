"""A file that is lost takes with it what the hours beside it may have filed there."""

from __future__ import annotations

import pytest

from archiver.model import HOUR_MS, MINUTE_MS, Window
from tests.claim.archive import T0, Archive, Make, filed
from tests.proof.hours import Filed, HourNature

LOST = T0 + 6 * HOUR_MS
KEPT = 12 * HOUR_MS


def hourly(nature: HourNature, hours: int) -> list[Filed]:
    """One in the middle of each hour."""
    return [filed(nature, number, T0 + number * HOUR_MS + 30 * MINUTE_MS) for number in range(hours)]


def make(make_hours: Make, nature: HourNature, extra: list[Filed], *, hours: int = 40, **settings: object) -> Archive:
    records = hourly(nature, hours) + extra
    archive: Archive = make_hours(records, now_ms=T0 + 10 * HOUR_MS + 5 * MINUTE_MS, nature=nature, **settings)
    archive.pull()
    return archive


def is_in_a_hole(archive: Archive, ms: int) -> bool:
    holes = [(lo_ms, hi_ms) for lo_ms, hi_ms, _ in archive.holes()]
    assert holes == [(lo_ms, hi_ms) for lo_ms, hi_ms, _ in archive.holes_in_sql()]
    return any(lo_ms <= ms < hi_ms for lo_ms, hi_ms in holes)


def spoilt(how: str) -> HourNature:
    return HourNature(retention_ms=KEPT, spoilt={LOST: how}, beyond="404" if how == "damaged" else "400")


@pytest.mark.parametrize("how", ["damaged", pytest.param("lost", marks=pytest.mark.full)])
def test_the_tail_of_the_hour_before_is_lost_with_its_file(make_hours: Make, how: str) -> None:
    """The last tenth of a second of hour 5 was filed in hour 6, whose file is lost."""
    nature = spoilt(how)
    archive = make(make_hours, nature, [filed(nature, 100, LOST - 100, filed_ms=LOST + 50)])
    assert archive.pull_until(T0 + 21 * HOUR_MS, 3 * HOUR_MS) == 3
    assert archive.until_ms <= LOST - HOUR_MS, "hour 5 does not close over a tail that nobody has seen"
    assert is_in_a_hole(archive, LOST - 100)
    assert archive.accept(Window(LOST, LOST + HOUR_MS)) >= 1, "the hour whose file is lost, and with it what lies there"
    assert archive.pull().exit_code == 0
    assert archive.until_ms > T0 + 16 * HOUR_MS
    assert {state for *_, state in archive.holes()} == {"accepted"}
    assert is_in_a_hole(archive, LOST - 100), "what is accepted stays listed"


@pytest.mark.full
@pytest.mark.parametrize("how", ["damaged", "lost"])
def test_the_first_moments_of_the_hour_after_are_lost_with_its_file(make_hours: Make, how: str) -> None:
    """Another node's clock was a second behind, and filed the beginning of hour 7 in hour 6."""
    nature = spoilt(how)
    after_ms = LOST + HOUR_MS
    archive = make(make_hours, nature, [filed(nature, 100, after_ms + 200, filed_ms=after_ms - 300)])
    assert archive.pull_until(T0 + 21 * HOUR_MS, 3 * HOUR_MS) == 3
    archive.accept_all()
    assert archive.pull().exit_code == 0
    assert archive.until_ms > T0 + 16 * HOUR_MS
    assert is_in_a_hole(archive, after_ms + 200)
    assert not is_in_a_hole(archive, after_ms + 10_000), "no more than that"


def test_what_is_filed_hours_late_is_read_before_its_hour_closes(make_hours: Make) -> None:
    """Two hours and a half on its way, in a file that could be had long before `settle` was over."""
    nature = HourNature()
    slow = filed(nature, 100, T0 + HOUR_MS + 30 * MINUTE_MS, filed_ms=T0 + 4 * HOUR_MS + MINUTE_MS)
    records = [*hourly(nature, 40), slow]
    archive = make_hours(records, now_ms=T0 + 9 * HOUR_MS + 5 * MINUTE_MS, nature=nature, settle_ms=6 * HOUR_MS)
    for _ in range(4):
        archive.pull()
        passed = archive.until_ms > slow.stamp_ms
        assert not passed or "m100" in archive.stored()
        archive.clock.now_ms += HOUR_MS
    assert archive.until_ms > slow.stamp_ms
    assert archive.status()["late_arrivals"] == 0


@pytest.mark.full
def test_an_hour_whose_late_file_is_lost_says_so_in_words(make_hours: Make) -> None:
    """What was filed in an hour that is lost, hours after its stamp, is nowhere: the statement names that weakness."""
    nature = spoilt("damaged")
    archive = make(make_hours, nature, [])
    archive.pull_until(T0 + 21 * HOUR_MS, 3 * HOUR_MS)
    assert "A file holds what arrived in its hour; what is filed later than that is found by audits." in archive.words()


@pytest.mark.full
def test_an_outage_cuts_the_hour_before_it_and_no_more(make_hours: Make) -> None:
    """Files of the outage are gone: its first hole begins before the first of them, the hours that are kept close."""
    nature = HourNature(retention_ms=KEPT)
    tails = [
        filed(nature, 100 + hour, T0 + hour * HOUR_MS - 100, filed_ms=T0 + hour * HOUR_MS + 50) for hour in range(40)
    ]
    heads = [
        filed(nature, 200 + hour, T0 + hour * HOUR_MS + 90, filed_ms=T0 + hour * HOUR_MS - 90) for hour in range(40)
    ]
    archive = make(make_hours, nature, tails + heads)
    assert archive.pull_each(HOUR_MS, 2) == [0, 0]
    archive.clock.now_ms = T0 + 32 * HOUR_MS
    assert archive.pull().exit_code == 3
    whole = archive.accept_all()
    assert archive.pull().exit_code == 0
    lost = archive.truth(T0, archive.until_ms) - archive.stored()
    assert lost
    assert lost <= archive.truth(whole.lo_ms, whole.hi_ms)
    assert archive.unlisted() == []
    assert archive.until_ms >= T0 + 28 * HOUR_MS
    assert whole.hi_ms <= T0 + 21 * HOUR_MS + 10_000
