"""Home: is the archive complete, what is missing, what is sealed, and what waits for this person."""

from __future__ import annotations

from typing import NamedTuple

from flask import Response

from archiver import coverage, statement, status
from archiver.evidence.report import Report
from archiver.evidence.report import report as evidence_report
from archiver.lifecycle import adopting, decisions
from archiver.page.context import decides, page, render, view, visitor
from archiver.page.wording import statements
from archiver.status import SourceReport
from archiver.store.decisions import Asked


class SourceCard(NamedTuple):
    """One source of one app: its verdict, the claim in words, and what to look at."""

    report: SourceReport
    verdict: str
    words: str
    gaps: tuple[str, ...]


def show() -> Response:
    """The home page."""
    store, settings = page().store, page().settings
    reports = status.report(store, status.configured(settings.apps), every_ms=settings.schedule.every_ms)
    overdue_ms = settings.schedule.overdue_ms
    judged = status.verdict(reports, overdue_ms=overdue_ms, language=view().language, calendar=view().calendar)
    made = statement.read(store, None, None)
    return render(
        "home.html",
        judged=judged,
        first_line=statements().first_line(made),
        verdict=made.verdict,
        cards=[_card(one) for one in reports],
        overdue_ms=overdue_ms,
        evidence=_evidence(),
        waiting=_waiting(),
        drafts=adopting.everything(page().store) if visitor().may("decide") else [],
    )


def _card(report: SourceReport) -> SourceCard:
    """As `archiver statement` says it."""
    wording, source = statements(), statement.of_source(report, None, None)
    drawn = tuple(f"{wording.range(hole.window)}: {text}" for hole, text in wording.drawn(source))
    return SourceCard(report, source.verdict, coverage.in_words(report, view().language, view().calendar), drawn)


def _evidence() -> Report | None:
    return evidence_report(page().store, page().settings.evidence)


def _waiting() -> list[Asked]:
    """Requests that this person may decide on."""
    if not visitor().may("decide") or not decides():
        return []
    mine = visitor().row.who.lower()
    asked = decisions.inbox(page().store)
    return [one for one in asked if one.state == "waiting" and one.who.lower() != mine]
