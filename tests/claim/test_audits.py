"""Audits: what counts as looked at twice was looked at by that audit, or is listed as what nobody could look at."""

from __future__ import annotations

import pytest

from archiver.model import HOUR_MS, MINUTE_MS, Window
from tests.claim.archive import T0, Archive, Make, filed, message
from tests.proof.hours import Filed, HourNature
from tests.proof.provider import Nature

SHORT, LONG = 6 * HOUR_MS, 14 * HOUR_MS
KEPT = 20 * HOUR_MS


def hourly(nature: HourNature, hours: int) -> list[Filed]:
    return [filed(nature, number, T0 + number * HOUR_MS + 20 * MINUTE_MS) for number in range(hours)]


def hours_at(make_hours: Make, now_ms: int, *extra: Filed, **ways: object) -> Archive:
    nature = HourNature(retention_ms=KEPT)
    return make_hours([*hourly(nature, 60), *extra], now_ms=now_ms, nature=nature, **ways)


def grown(stamp_ms: int, at_ms: int) -> Filed:
    """A message `m100` that its file has so late that only an audit can find it."""
    return filed(HourNature(retention_ms=KEPT), 100, stamp_ms, grown_ms=at_ms)


def looked_at_sooner(archive: Archive, lag_ms: int) -> int:
    """How many closed audit windows below the audited mark were walked sooner than at this lag."""
    query = "SELECT number FROM passes WHERE lag_ms = ?"
    (row,) = archive.database.rows(query, lag_ms)
    early = (
        "SELECT count(*) FROM windows WHERE \"pass\" = ? AND state = 'closed' AND hi_ms <= ? AND walk0_ms - hi_ms < ?"
    )
    return int(archive.database.value(early, row[0], archive.audited_ms, lag_ms))


@pytest.mark.full
def test_dropping_the_shorter_audit_lends_its_looks_to_no_other(make_hours: Make) -> None:
    late = grown(T0 + 2 * HOUR_MS + 30 * MINUTE_MS, T0 + 14 * HOUR_MS)
    archive = hours_at(make_hours, T0 + 12 * HOUR_MS, late, audits_ms=(SHORT, LONG))
    assert archive.pull().exit_code == 0
    archive.configure(audits_ms=(LONG,))
    assert archive.pull_each(2 * HOUR_MS, 6)[-1] == 0
    assert archive.audited_ms > T0 + 5 * HOUR_MS
    assert looked_at_sooner(archive, LONG) == 0
    assert "m100" in archive.stored(), "shown twelve hours after its stamp: the longest audit is there for that"
    assert archive.status()["audit_lag_seconds"] == LONG / 1000


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((LONG,), (SHORT, LONG), marks=pytest.mark.full),
        pytest.param((SHORT,), (SHORT, LONG), marks=pytest.mark.full),
        pytest.param((SHORT, LONG), (SHORT,), marks=pytest.mark.full),
        pytest.param((SHORT, LONG), (8 * HOUR_MS,), marks=pytest.mark.full),
        pytest.param((LONG,), (9 * HOUR_MS, LONG), marks=pytest.mark.full),
    ],
)
def test_another_list_of_audits_counts_by_its_own_looks(
    make_hours: Make, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    archive = hours_at(make_hours, T0 + 12 * HOUR_MS, audits_ms=before)
    assert archive.pull_each(2 * HOUR_MS, 3)[-1] == 0
    archive.configure(audits_ms=after)
    assert archive.pull_each(2 * HOUR_MS, 8)[-1] == 0
    assert archive.audited_ms >= archive.clock.now_ms - max(after) - 2 * HOUR_MS, "it goes on"
    assert looked_at_sooner(archive, max(after)) == 0
    assert archive.status()["audit_lag_seconds"] == max(after) / 1000


@pytest.mark.full
@pytest.mark.parametrize("after", [(12 * HOUR_MS,), (30 * HOUR_MS,)], ids=["shorter", "longer"])
def test_the_longest_audit_of_pages_may_change(make_pages: Make, after: tuple[int, ...]) -> None:
    """Its windows' borders need not meet where another audit had come to."""
    records = [message(number, T0 + number * 20 * MINUTE_MS) for number in range(300)]
    archive = make_pages(records, now_ms=T0 + 30 * HOUR_MS, audits_ms=(HOUR_MS, 24 * HOUR_MS))
    assert archive.pull_each(37 * MINUTE_MS, 8)[-1] == 0
    archive.configure(audits_ms=after)
    assert archive.pull_until(T0 + 66 * HOUR_MS, 101 * MINUTE_MS) == 0
    assert archive.audited_ms >= archive.clock.now_ms - 1.1 * after[0] - 2 * HOUR_MS


@pytest.mark.full
def test_an_audit_added_to_an_archive_older_than_the_retention_names_what_it_missed(make_hours: Make) -> None:
    archive = hours_at(make_hours, T0 + 12 * HOUR_MS)
    assert archive.pull_until(T0 + 44 * HOUR_MS, 8 * HOUR_MS) == 0
    archive.configure(audits_ms=(LONG,))
    assert archive.pull_each(2 * HOUR_MS, 2) == [0, 0]
    entry = archive.status()
    assert archive.audited_ms > T0 + 28 * HOUR_MS
    (missed,) = entry["unaudited"]
    assert missed["lo_ms"] == T0
    assert T0 + 24 * HOUR_MS <= missed["hi_ms"] <= T0 + 29 * HOUR_MS
    assert archive.coverage()["unaudited"] == entry["unaudited"]
    assert "except 1 ranges that nobody could look at any more (unaudited)" in archive.words()


@pytest.mark.full
@pytest.mark.parametrize("spoils", ["damaged", "never"])
def test_an_audit_goes_on_behind_an_hour_that_nobody_can_read(make_hours: Make, spoils: str) -> None:
    """An accepted loss, and an hour that is presumed empty."""
    bad_ms = T0 + 4 * HOUR_MS
    nature = HourNature(retention_ms=KEPT, spoilt={bad_ms: spoils})
    archive = make_hours(hourly(nature, 80), now_ms=T0 + 12 * HOUR_MS, nature=nature, audits_ms=(LONG,))
    archive.pull_until(T0 + 34 * HOUR_MS, 2 * HOUR_MS)
    if archive.status()["windows"]["presumed_empty"] == 0:
        archive.accept_all()
    assert archive.pull_until(T0 + 50 * HOUR_MS, 2 * HOUR_MS) == 0
    assert archive.audited_ms >= archive.clock.now_ms - LONG - 3 * HOUR_MS
    unaudited = archive.status()["unaudited"]
    assert any(each["lo_ms"] <= bad_ms < each["hi_ms"] for each in unaudited), "and says what it could not look at"


@pytest.mark.full
def test_an_audit_goes_on_behind_an_outage_that_was_accepted(make_hours: Make) -> None:
    archive = hours_at(make_hours, T0 + 12 * HOUR_MS, audits_ms=(LONG,))
    archive.pull()
    archive.clock.now_ms = T0 + 44 * HOUR_MS
    assert archive.pull().exit_code == 3
    archive.accept_all()
    assert archive.pull_until(T0 + 54 * HOUR_MS, 2 * HOUR_MS) == 0
    assert archive.audited_ms >= T0 + 37 * HOUR_MS
    assert archive.status()["unaudited"]


@pytest.mark.full
def test_an_audit_goes_on_behind_a_millisecond_that_cannot_be_walked(make_pages: Make) -> None:
    records = [message(number, T0 + number * MINUTE_MS) for number in range(240)]
    archive = make_pages(records, now_ms=T0 + 2 * HOUR_MS, audits_ms=(HOUR_MS,))
    bad_ms = T0 + HOUR_MS + 7
    archive.provider.bad_ms = bad_ms  # type: ignore[union-attr]
    archive.pull_each(MINUTE_MS, 40)
    assert [hole for hole in archive.holes() if hole[2] == "stuck"] == [(bad_ms, bad_ms + 1, "stuck")]
    assert archive.accept(Window(bad_ms, bad_ms + 1)) == 1
    archive.pull_each(20 * MINUTE_MS, 12)
    assert archive.until_ms > T0 + 6 * HOUR_MS
    assert archive.audited_ms > T0 + 4 * HOUR_MS
    assert any(each["lo_ms"] <= bad_ms < each["hi_ms"] for each in archive.status()["unaudited"])
    assert archive.states(2)["stuck"] == 0, "nobody could accept it there"


# Audits that somebody asks for


@pytest.mark.full
def test_an_audit_that_could_not_look_says_so(make_hours: Make) -> None:
    """The provider keeps those hours no longer."""
    archive = hours_at(make_hours, T0 + 12 * HOUR_MS)
    assert archive.pull_until(T0 + 44 * HOUR_MS, 8 * HOUR_MS) == 0
    outcome = archive.audit(T0, T0 + 5 * HOUR_MS)
    assert outcome.exit_code == 3
    assert "could not be looked at" in str(outcome.reason)
    assert archive.audit(T0 + 34 * HOUR_MS, T0 + 37 * HOUR_MS).exit_code == 0, "what is kept can be looked at"


@pytest.mark.parametrize("part", ["gone", "half", "kept"])
def test_an_audit_of_pages_looks_at_all_or_says_what_it_could_not(make_pages: Make, part: str) -> None:
    nature = Nature(eager_end=True, retention_ms=KEPT)
    records = [message(number, T0 + number * 20 * MINUTE_MS) for number in range(120)]
    archive = make_pages(records, now_ms=T0 + HOUR_MS, nature=nature, retention_ms=KEPT)
    assert archive.pull_until(T0 + 36 * HOUR_MS, 7 * HOUR_MS) == 0
    lo_h, hi_h, code = {"gone": (1, 9, 3), "half": (10, 22, 3), "kept": (20, 30, 0)}[part]
    assert archive.audit(T0 + lo_h * HOUR_MS, T0 + hi_h * HOUR_MS).exit_code == code


def test_an_audit_looks_at_what_was_closed_under_a_shorter_settle(make_pages: Make) -> None:
    """Whatever lag is in force by now: it is closed, so it can be looked at."""
    records = [message(number, T0 + number * MINUTE_MS) for number in range(170)]
    late_ms = T0 + 150 * MINUTE_MS + 1
    records.append(message(900, late_ms, T0 + 3 * HOUR_MS + MINUTE_MS))
    archive = make_pages(records, now_ms=T0 + 3 * HOUR_MS)
    assert archive.pull().exit_code == 0
    archive.clock.now_ms += 2 * MINUTE_MS
    archive.configure(settle_ms=HOUR_MS)
    outcome = archive.audit(T0 + 140 * MINUTE_MS, T0 + 170 * MINUTE_MS)
    assert "m900" in archive.stored()
    assert outcome.exit_code == 3
    assert archive.audit(T0 + 140 * MINUTE_MS, T0 + 170 * MINUTE_MS).exit_code == 0, "now nothing is missing"


def test_an_audit_under_a_clock_that_was_set_back_is_not_done_before_it_looked(make_pages: Make) -> None:
    """By that clock nothing of the range is due yet; it was closed before, and is asked for all the same."""
    archive = make_pages([message(number, T0 + number * MINUTE_MS) for number in range(170)], now_ms=T0 + 3 * HOUR_MS)
    assert archive.pull().exit_code == 0
    archive.clock.database_offset_ms = -72 * HOUR_MS
    assert archive.audit(T0 + HOUR_MS, T0 + 2 * HOUR_MS).exit_code == 75
    archive.clock.database_offset_ms = 0
    assert archive.audit(T0 + HOUR_MS, T0 + 2 * HOUR_MS).exit_code == 0


@pytest.mark.full
def test_an_audit_that_finds_what_was_accepted_as_lost_says_so(make_pages: Make) -> None:
    """It counts as no late arrival, and was missing all the same."""
    records = [message(number, T0 + number * MINUTE_MS) for number in range(110)]
    bad_ms = T0 + HOUR_MS + 7
    archive = make_pages([*records, message(900, bad_ms)], now_ms=T0 + 2 * HOUR_MS)
    archive.provider.bad_ms = bad_ms  # type: ignore[union-attr]
    archive.pull_each(MINUTE_MS, 40)
    assert archive.accept(Window(bad_ms, bad_ms + 1)) == 1
    archive.provider.bad_ms = None  # type: ignore[union-attr]
    assert archive.pull_each(HOUR_MS, 1) == [0]
    assert "m900" not in archive.stored()
    outcome = archive.audit(T0, T0 + 110 * MINUTE_MS)
    assert "m900" in archive.stored()
    assert outcome.exit_code == 3
    assert "1 messages were missing" in str(outcome.reason)


def test_audits_speak_from_the_archives_beginning(make_pages: Make) -> None:
    """A backfill reaches further back than the origin, and no audit has looked there."""
    records = [message(number, T0 + number * 10 * MINUTE_MS) for number in range(200)]
    archive = make_pages(records, now_ms=T0 + 12 * HOUR_MS, start_ms=T0 + 6 * HOUR_MS, audits_ms=(HOUR_MS,))
    assert archive.pull().exit_code == 0
    assert archive.backfill(T0).exit_code == 0
    assert archive.pull().exit_code == 0
    assert archive.from_ms == T0
    assert "Complete from 2026-11-01T00:00:00" in archive.words()
    assert "Audited from 2026-11-01T06:00:00.000Z up to" in archive.words()
