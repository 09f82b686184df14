"""What cannot be had is named, can be accepted, and keeps nothing else from being archived; an outage is no loss."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Window
from tests.claim.archive import T0, Archive, Make, filed, message
from tests.proof.hours import HourNature
from tests.proof.provider import Nature

BAD = T0 + 4 * HOUR_MS


def steady(make_pages: Make, minutes: int, **ways: object) -> Archive:
    """Two hours have been archived, and every minute brings a message."""
    records = [message(number, T0 + number * MINUTE_MS) for number in range(minutes)]
    archive: Archive = make_pages(records, now_ms=T0 + 2 * HOUR_MS, **ways)
    assert archive.pull().exit_code == 0
    return archive


def hourly(make_hours: Make, nature: HourNature, hours: int, **ways: object) -> Archive:
    records = [filed(nature, number, T0 + number * HOUR_MS + 20 * MINUTE_MS) for number in range(hours)]
    archive: Archive = make_hours(records, now_ms=T0 + 12 * HOUR_MS, nature=nature, **ways)
    return archive


# Pages


@pytest.mark.full
@pytest.mark.parametrize("minutes", [30, 300])
@pytest.mark.parametrize("patient", [True, False])
def test_an_outage_of_pages_alone_is_no_stuck_range_and_heals_at_once(
    make_pages: Make, minutes: int, patient: bool
) -> None:
    """The question for the time is answered, and nothing else."""
    archive = steady(make_pages, 120 + minutes + 10)
    began_ms = archive.clock.now_ms
    archive.provider.trouble.no_pages = began_ms, began_ms + minutes * MINUTE_MS  # type: ignore[union-attr]
    step_ms = MINUTE_MS if minutes == 30 else 10 * MINUTE_MS
    # Requests take their time: the last pull must begin before the end of the outage.
    codes = archive.pull_each(step_ms, minutes * MINUTE_MS // step_ms * 9 // 10 - 1, patient=patient)
    assert set(codes) <= {75, 0}
    assert codes[-1] == 75
    assert archive.states()["stuck"] == 0
    assert archive.holes() == []
    assert sum(archive.states().values()) < 20, "the plan is not shredded"
    archive.clock.now_ms = began_ms + minutes * MINUTE_MS + 1
    healed = archive.pull_each(MINUTE_MS, 3, patient=patient)
    assert healed[-1] == 0
    assert archive.until_ms > archive.clock.now_ms - 4 * MINUTE_MS


@pytest.mark.full
def test_a_millisecond_that_cannot_be_had_is_named_and_nothing_else(make_pages: Make) -> None:
    archive = steady(make_pages, 400)
    bad_ms = archive.clock.now_ms + 10 * MINUTE_MS + 7
    archive.provider.bad_ms = bad_ms  # type: ignore[union-attr]
    archive.clock.now_ms += HOUR_MS
    codes = archive.pull_each(MINUTE_MS, 60)
    assert codes[-1] == 3
    assert archive.holes() == [(bad_ms, bad_ms + 1, "stuck")]
    assert archive.alarms().get("Stuck") == "critical"
    around = archive.truth(T0, archive.clock.now_ms - 4 * MINUTE_MS)
    assert around <= archive.stored(), "what lies before and behind it is archived"
    assert archive.accept(Window(bad_ms, bad_ms + 1)) == 1
    assert archive.pull_each(MINUTE_MS, 2)[-1] == 0
    assert archive.until_ms > archive.clock.now_ms - 4 * MINUTE_MS
    assert "(1 accepted, 0 hours presumed empty)" in archive.words()


@pytest.mark.full
def test_a_stuck_millisecond_that_can_be_had_again_is_no_hole_any_more(make_pages: Make) -> None:
    archive = steady(make_pages, 400)
    bad_ms = archive.clock.now_ms + 10 * MINUTE_MS
    archive.provider.bad_ms = bad_ms  # type: ignore[union-attr]
    archive.clock.now_ms += HOUR_MS
    assert archive.pull_each(MINUTE_MS, 60)[-1] == 3
    archive.provider.bad_ms = None  # type: ignore[union-attr]
    assert archive.pull_each(20 * MINUTE_MS, 5)[-1] == 0
    assert archive.holes() == []
    assert archive.truth(T0, archive.until_ms) <= archive.stored()


@pytest.mark.parametrize("eager", [True, False], ids=["ends full", "full has a cursor"])
@pytest.mark.parametrize(
    "rows", [200, pytest.param(20, marks=pytest.mark.full), pytest.param(41, marks=pytest.mark.full)]
)
def test_ties_longer_than_pages_come_to_their_end(make_pages: Make, eager: bool, rows: int) -> None:
    """A broadcast: one millisecond with full pages of its own, on either kind of server."""
    records = [message(number, T0 + number * SECOND_MS) for number in range(50)]
    records += [message(1000 + number, T0 + 10 * MINUTE_MS) for number in range(rows)]
    archive = make_pages(records, now_ms=T0 + HOUR_MS, nature=Nature(eager_end=eager), page_size=10)
    assert archive.pull().exit_code == 0
    assert archive.until_ms > T0 + 55 * MINUTE_MS
    assert archive.stored() == archive.truth(T0, archive.until_ms)


# Hours


@pytest.mark.full
@pytest.mark.parametrize("how", ["lost", "damaged"])
@pytest.mark.parametrize("kept", [None, 16 * HOUR_MS], ids=["for ever", "a while"])
def test_an_hour_that_can_never_be_had_is_named_and_can_be_accepted(
    make_hours: Make, how: str, kept: int | None
) -> None:
    nature = HourNature(spoilt={BAD: how}, retention_ms=kept)
    archive = hourly(make_hours, nature, 50)
    code = archive.pull_until(T0 + 26 * HOUR_MS, 3 * HOUR_MS)
    assert code == 3
    holes = archive.holes()
    assert holes[0][0] <= BAD < BAD + HOUR_MS <= holes[-1][1]
    assert {state for *_, state in holes} == {"stuck" if kept is None else "expired"}
    assert archive.alarms().get("Stuck" if kept is None else "Hole") == "critical"
    assert archive.until_ms <= BAD
    assert archive.truth(BAD + HOUR_MS, T0 + 20 * HOUR_MS) <= archive.stored(), "what lies behind it is archived"
    assert archive.accept(Window(BAD, BAD + HOUR_MS)) >= 1
    assert archive.pull_each(HOUR_MS, 2)[-1] == 0
    assert archive.until_ms > T0 + 20 * HOUR_MS
    assert archive.truth(T0, archive.until_ms) - archive.stored() == archive.truth(BAD, BAD + HOUR_MS)


@pytest.mark.full
def test_an_hour_of_which_nothing_is_ever_said_is_presumed_empty_and_counted(make_hours: Make) -> None:
    nature = HourNature(spoilt={BAD: "never"})
    archive = hourly(make_hours, nature, 60)
    assert archive.pull_until(T0 + 48 * HOUR_MS, 4 * HOUR_MS) == 0
    assert archive.status()["windows"]["presumed_empty"] == 1
    assert "(0 accepted, 1 hours presumed empty)" in archive.words()
    assert archive.until_ms > T0 + 40 * HOUR_MS


@pytest.mark.parametrize(
    "how",
    [
        "lost",
        pytest.param("damaged", marks=pytest.mark.full),
        "never",
    ],
)
def test_hours_that_cannot_be_had_keep_no_other_from_being_archived(make_hours: Make, how: str) -> None:
    """One pull brings all the others, wherever the broken ones lie."""
    nature = HourNature(spoilt={T0 + hour * HOUR_MS: how for hour in (0, 2, 3, 5)})
    archive = hourly(make_hours, nature, 20)
    archive.pull()
    whole = {
        record.msg_id for record in archive.provider.records if nature.file_of(record.stamp_ms) not in nature.spoilt
    }
    assert archive.truth(T0, T0 + 9 * HOUR_MS) & whole <= archive.stored()


ALL = ("lost", "damaged", "never", "no links", "an object")
FIRST = range(10)
SCATTERED = (*range(0, 40, 2), *range(1, 40, 5))


@pytest.mark.parametrize("how", [ALL[0], *(pytest.param(how, marks=pytest.mark.full) for how in ALL[1:])])
@pytest.mark.parametrize("broken", [FIRST, pytest.param(SCATTERED, marks=pytest.mark.full)], ids=["first", "scattered"])
def test_of_fifty_hours_one_first_pull_brings_all_that_can_be_had(
    make_hours: Make, how: str, broken: Sequence[int]
) -> None:
    nature = HourNature(spoilt={T0 + hour * HOUR_MS: how for hour in broken})
    records = [filed(nature, number, T0 + number * HOUR_MS + 20 * MINUTE_MS) for number in range(50)]
    archive = make_hours(records, now_ms=T0 + 54 * HOUR_MS, nature=nature)
    assert archive.pull().exit_code == 75
    whole = {record.msg_id for record in records if nature.file_of(record.stamp_ms) not in nature.spoilt}
    assert whole == archive.stored()


@pytest.mark.parametrize("hour", [0, 30, pytest.param(49, marks=pytest.mark.full)])
def test_an_outage_of_all_files_ends_a_pull_after_a_few(make_hours: Make, hour: int) -> None:
    archive = hourly(make_hours, HourNature(), 50)
    archive.clock.now_ms = T0 + 54 * HOUR_MS
    archive.provider.trouble.no_files = archive.clock.now_ms, T0 + 90 * HOUR_MS  # type: ignore[union-attr]
    assert archive.pull().exit_code == 75
    assert archive.provider.asked <= 3 * 6 + 2


@pytest.mark.full
@pytest.mark.parametrize("bad", [(0, 1), (0, 1, 2, 3, 4, 5, 6), pytest.param(range(1, 20, 2), marks=pytest.mark.full)])
def test_days_with_a_message_that_kills_their_pages_keep_no_other_from_being_archived(
    make_pages: Make, bad: Sequence[int]
) -> None:
    """One first pull over three weeks brings all messages but these, and those of their milliseconds."""
    records = [message(number, T0 + number * 6 * HOUR_MS + 17) for number in range(21 * 4)]
    archive = make_pages(records, now_ms=T0 + 21 * DAY_MS, page_size=10)
    dead = [T0 + day * DAY_MS + 6 * HOUR_MS + 17 for day in bad]
    archive.provider.bad = dead  # type: ignore[union-attr]
    archive.pull()
    assert {record.msg_id for record in records if record.stamp_ms not in dead} == archive.stored()


@pytest.mark.full
def test_an_outage_of_files_is_no_stuck_hour_and_heals_at_once(make_hours: Make) -> None:
    """Links are given, and none of their files can be had for half a day."""
    archive = hourly(make_hours, HourNature(), 60)
    assert archive.pull().exit_code == 0
    archive.provider.trouble.no_files = archive.clock.now_ms, T0 + 23 * HOUR_MS  # type: ignore[union-attr]
    codes = archive.pull_each(2 * HOUR_MS, 5)
    assert set(codes) == {75}
    assert archive.holes() == []
    assert archive.pull_each(HOUR_MS, 2)[-1] == 0
    assert archive.until_ms >= archive.clock.now_ms - 6 * HOUR_MS
