"""Coverage as a calendar: a sign for every day, the worst of its hours, readable without colour."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from flask import Response
from werkzeug.exceptions import NotFound

from archiver import coverage
from archiver.coverage import Coverage
from archiver.model import HOUR_MS, Window
from archiver.page.calendar_signs import NAMES, WORST, legend
from archiver.page.context import page, render, see, view
from archiver.page.wording import statements
from archiver.statement import of_source
from archiver.store.engine import Tx
from archiver.store.read import calendar as windows
from archiver.store.read import directory, status
from archiver.store.read.status import SourceStatus
from archiver.zones import Calendar

MOST_WINDOWS = 500
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


class Cell(NamedTuple):
    """A day or an hour: its sign, and that of which days."""

    label: str
    sign: str
    kind: str
    link: str | None = None


class PaintedRange(NamedTuple):
    """A range of time with one sign."""

    window: Window
    sign: str


def choose() -> Response:
    """All sources; where there is one, its calendar."""
    with page().store.read() as tx:
        sources, now_ms = directory.all_sources(tx), tx.now_ms()
    year = int(view().calendar.clock(now_ms)[:4])
    if len(sources) == 1:
        return see("year", app_name=sources[0].app, source=sources[0].source, year=year)
    return render("coverage.html", sources=sources, year=year)


def show_year(app_name: str, source: str, year: int) -> Response:
    """A year, a row a month."""
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise NotFound
    calendar = page().calendar
    first, after = calendar.begins(date(year, 1, 1)), calendar.begins(date(year + 1, 1, 1))
    with page().store.read() as tx:
        known = _source(tx, app_name, source)
        claim = Coverage(**coverage.claim(tx, known))
        stretches = paint(tx, known, claim, Window(first, after))
        now_ms = tx.now_ms()
    months = [_month(calendar, stretches, year, month) for month in range(1, 13)]
    return render(
        "year.html",
        app_name=app_name,
        source=source,
        year=year,
        months=months,
        legend=legend(),
        gaps=_gaps(claim, Window(first, min(after, max(now_ms, first + 1)))),
        counts={sign: sum(cell.sign == sign for row in months for cell in row) for sign in WORST},
    )


def show_day(app_name: str, source: str, day: str) -> Response:
    """A day by its hours, and the windows behind them."""
    try:
        chosen = date.fromisoformat(day)
        if not _FIRST_YEAR <= chosen.year <= _LAST_YEAR:
            raise NotFound
    except ValueError:
        raise NotFound from None
    calendar = page().calendar
    window = Window(calendar.begins(chosen), calendar.begins(chosen + timedelta(days=1)))
    with page().store.read() as tx:
        known = _source(tx, app_name, source)
        claim = Coverage(**coverage.claim(tx, known))
        stretches = paint(tx, known, claim, window)
        behind = windows.windows_in(tx, known.key, window, MOST_WINDOWS + 1)
    return render(
        "day.html",
        app_name=app_name,
        source=source,
        chosen=chosen,
        before=chosen - timedelta(days=1),
        after=chosen + timedelta(days=1),
        hours=_hours(stretches, window),
        windows=behind[:MOST_WINDOWS],
        is_cut=len(behind) > MOST_WINDOWS,
        gaps=_gaps(claim, window),
        legend=legend(),
        state=view().state,
    )


def _source(tx: Tx, app_name: str, source: str) -> SourceStatus:
    known = [one for one in status.read(tx) if (one.app, one.key.source) == (app_name, source)]
    if not known:
        raise NotFound
    return known[0]


def _gaps(claim: Coverage, window: Window) -> list[str]:
    """What of the range is not archived, in words: with who accepted it, when and why."""
    wording, source = statements(), of_source(claim, *window)
    return [f"{wording.range(hole.window)}: {text}" for hole, text in wording.drawn(source)]


def paint(tx: Tx, source: SourceStatus, claim: Coverage, window: Window) -> list[PaintedRange]:
    """A range in stretches of one sign, in order: the claim first, and over it what is worse or better known."""
    painted = [PaintedRange(window, "~")]
    ahead = Window(max(window.lo_ms, claim.complete_until_ms), window.hi_ms)
    if ahead.lo_ms < ahead.hi_ms:
        painted = _over(painted, windows.closed(tx, source.key, ahead), "+")
    painted = _over(painted, [Window(claim.complete_from_ms, claim.complete_until_ms)], "+")
    painted = _over(painted, [Window(claim.complete_from_ms, claim.audited_until_ms)], "++")
    painted = _over(painted, claim.unaudited, "+")
    painted = _over(painted, windows.presumed_empty(tx, source.key, window), "o")
    painted = _over(painted, claim.unproven, "!")
    lost = [(hole.window, "a" if hole.state == "accepted" else "!") for hole in claim.holes]
    for hole, sign in lost:
        painted = _over(painted, [hole], sign)
    if claim.expired_before_ms is not None:
        painted = _over(painted, [Window(-(2**63), claim.expired_before_ms)], "x")
    return _over(painted, [Window(-(2**63), min(claim.complete_from_ms, claim.origin_ms))], "·")


def _over(painted: Sequence[PaintedRange], ranges: Iterable[Window], sign: str) -> list[PaintedRange]:
    """The same with some ranges in another sign; ranges are in order and do not overlap."""
    result: list[PaintedRange] = []
    left = [one for one in ranges if one.lo_ms < one.hi_ms]
    for (lo_ms, hi_ms), old in painted:
        at_ms = lo_ms
        while left and left[0].hi_ms <= at_ms:
            left.pop(0)
        for one in left:
            if one.lo_ms >= hi_ms:
                break
            if one.lo_ms > at_ms:
                result.append(PaintedRange(Window(at_ms, one.lo_ms), old))
            begins_ms, at_ms = max(at_ms, one.lo_ms), min(hi_ms, one.hi_ms)
            result.append(PaintedRange(Window(begins_ms, at_ms), sign))
        if at_ms < hi_ms:
            result.append(PaintedRange(Window(at_ms, hi_ms), old))
    return result


def worst_in(stretches: Iterable[PaintedRange], window: Window) -> str:
    """The worst sign of a range."""
    touching = (one for one in stretches if one.window.lo_ms < window.hi_ms and one.window.hi_ms > window.lo_ms)
    return min((one.sign for one in touching), key=WORST.index, default="~")


def _month(calendar: Calendar, stretches: Sequence[PaintedRange], year: int, month: int) -> list[Cell]:
    cells = []
    for number in range(1, monthrange(year, month)[1] + 1):
        day = date(year, month, number)
        sign = worst_in(stretches, Window(calendar.begins(day), calendar.begins(day + timedelta(days=1))))
        cells.append(Cell(str(number), sign, NAMES[sign], day.isoformat()))
    return cells


def _hours(stretches: Sequence[PaintedRange], window: Window) -> list[Cell]:
    cells = []
    for lo_ms in range(window.lo_ms, window.hi_ms, HOUR_MS):
        sign = worst_in(stretches, Window(lo_ms, min(window.hi_ms, lo_ms + HOUR_MS)))
        cells.append(Cell(view().calendar.clock(lo_ms)[11:16], sign, NAMES[sign]))
    return cells
