"""What is said of a range: covered, lost, doubtful, before the beginning, not yet; and of several sources together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archiver.coverage import Coverage
from archiver.language import language
from archiver.model import Window
from archiver.statement import Statement, StatementWording
from archiver.statement.answer import of_source
from archiver.store.read.status import Hole
from archiver.zones import Calendar

BEGINS, ENDS = 1_000_000, 2_000_000
HOLE = Hole(Window(1_400_000, 1_500_000), "accepted", "outage", "root", 1_900_000)


def coverage(source: str = "cursor", begins: int = BEGINS, ends: int = ENDS, **more: object) -> Coverage:
    marks = {"origin_ms": begins, "complete_from_ms": begins, "complete_until_ms": ends, "audited_until_ms": begins}
    return Coverage(app="o#a", source=source, **{**marks, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "verdict", "covered", "outside"),
    [
        (None, None, "complete", [(BEGINS, ENDS)], []),
        (BEGINS, ENDS, "complete", [(BEGINS, ENDS)], []),
        (1_200_000, None, "complete", [(1_200_000, ENDS)], []),
        (None, 1_200_000, "complete", [(BEGINS, 1_200_000)], []),
        (0, 500_000, "not", [], ["before_beginning"]),
        (0, BEGINS, "not", [], ["before_beginning"]),
        (0, BEGINS + 1, "partly", [(BEGINS, BEGINS + 1)], ["before_beginning"]),
        (ENDS, ENDS + 1, "not", [], ["not_yet"]),
        (ENDS, None, "not", [], []),
        (ENDS + 5, None, "not", [], []),
        (ENDS - 1, ENDS + 1, "partly", [(ENDS - 1, ENDS)], ["not_yet"]),
        (0, 3_000_000, "partly", [(BEGINS, ENDS)], ["before_beginning", "not_yet"]),
    ],
)
def test_a_range_against_the_claim(
    from_ms: int | None, to_ms: int | None, verdict: str, covered: list[tuple[int, int]], outside: list[str]
) -> None:
    answer = of_source(coverage(), from_ms, to_ms)
    assert (answer.verdict, [tuple(window) for window in answer.covered]) == (verdict, covered)
    assert [hole.state for hole in answer.outside] == outside


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "verdict"),
    [
        (1_300_000, 1_400_000, "complete"),
        (1_300_000, 1_400_001, "partly"),
        (1_420_000, 1_480_000, "not"),
        (1_499_999, 1_600_000, "partly"),
        (1_500_000, 1_600_000, "complete"),
    ],
)
@pytest.mark.parametrize("state", ["accepted", "expired", "stuck", "uncovered"])
def test_a_hole_counts_where_it_lies_whoever_accepted_it(from_ms: int, to_ms: int, verdict: str, state: str) -> None:
    answer = of_source(coverage(holes=(HOLE._replace(state=state),)), from_ms, to_ms)
    assert answer.verdict == verdict
    assert [hole.window for hole in answer.holes] == ([] if verdict == "complete" else [HOLE.window])


def test_what_rests_on_a_false_order_is_not_called_complete() -> None:
    answer = of_source(coverage(unproven=(Window(1_100_000, 1_200_000),)), BEGINS, ENDS)
    assert answer.verdict == "partly"
    assert [tuple(window) for window in answer.covered] == [(BEGINS, 1_100_000), (1_200_000, ENDS)]


def test_what_either_source_of_an_app_has_is_archived() -> None:
    lacking, filling = coverage(holes=(HOLE,)), coverage("hourly", 1_300_000, 1_600_000)
    together = Statement(BEGINS, ENDS, (of_source(lacking, BEGINS, ENDS), of_source(filling, BEGINS, ENDS)))
    assert [source.verdict for source in together.sources] == ["partly", "partly"]
    assert together.verdict == "complete"
    short = of_source(coverage("hourly", 1_450_000, 1_600_000), BEGINS, ENDS)
    assert Statement(BEGINS, ENDS, (of_source(lacking, BEGINS, ENDS), short)).verdict == "partly"


def test_one_app_does_not_stand_for_another() -> None:
    whole, late = of_source(coverage(), BEGINS, ENDS), of_source(coverage(begins=ENDS, ends=ENDS), BEGINS, ENDS)
    other = replace(late, coverage=replace(late.coverage, app="o#b"))
    assert Statement(BEGINS, ENDS, (whole, other)).verdict == "partly"
    assert Statement(BEGINS, ENDS, (other,)).verdict == "not"
    assert Statement(BEGINS, ENDS, ()).verdict == "not"


def test_who_accepted_a_loss_and_why_is_said_in_either_language() -> None:
    answer = Statement(BEGINS, ENDS, (of_source(coverage(holes=(HOLE,)), BEGINS, ENDS),))
    english, chinese = (StatementWording(language(name), Calendar()).gaps(answer) for name in ("en", "zh"))
    when, why = "1970-01-01 00:23:20 UTC to 1970-01-01 00:25:00 UTC", "1970-01-01 00:31:40 UTC: outage"
    assert english == [f"o#a (cursor): {when}: lost; accepted by root on {why}"]
    assert "root 于 1970-01-01 00:31:40 UTC 接受" in chinese[0]


def test_a_reason_steers_no_terminal() -> None:
    hole = HOLE._replace(reason="a\x1b[2Jb\nline", accepted_by="\x1b]0;x")
    answer = Statement(BEGINS, ENDS, (of_source(coverage(holes=(hole,)), BEGINS, ENDS),))
    (line,) = StatementWording(language("en"), Calendar()).gaps(answer)
    assert line.isprintable()
