"""`status`: how the archive stands, from the database alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from archiver import coverage, status
from archiver.cli import console, context, options
from archiver.config import Schedule, Settings
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE
from archiver.language import Language
from archiver.logs import visible
from archiver.status import SourceReport
from archiver.store import installation
from archiver.store.engine import Store
from archiver.view import PLAIN, View

if TYPE_CHECKING:  # what is not configured is not loaded: who asks how it stands asks often
    from archiver.callbacks.report import CallbackReport
    from archiver.evidence.report import Report
    from archiver.lifecycle.contradictions import Contradiction


@click.command("status")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "prometheus"]), default="table", show_default=True
)
@click.option("--check", is_flag=True, help="One line for a monitor: exits with 4 refused, 3 hole, 75 overdue, else 0.")
@options.VIEW
@click.pass_context
def status_command(ctx: click.Context, form: str, *, check: bool, view: View) -> int:
    """Show the state of the archive, from the database alone. Exits with 3 if there is an unaccepted hole.

    \b
    Example:
      archiver status --format json
      archiver status --format prometheus > archiver.prom
      archiver status --check || echo "look at the archive"
    """
    with context.readable(ctx) as (settings, store):
        configured = status.configured(settings.apps)
        reports = status.report(store, configured, every_ms=settings.schedule.every_ms)
        disk = store.disk()
        evidence = _of_evidence(store, settings)
        callbacks = _of_callbacks(store, settings, totals=form == "prometheus")
        restored_ms, terms = _of_lifecycle(store) if form == "prometheus" else (None, ())
    language, calendar = view.language, view.calendar
    judged = status.verdict(reports, overdue_ms=settings.schedule.overdue_ms, language=language, calendar=calendar)
    if check:
        click.echo(visible(f"{judged.word}: {judged.why}"))
        return judged.exit_code
    if form == "prometheus":
        more = {"evidence": evidence, "callbacks": callbacks, "reapply_since_ms": restored_ms, "contradictions": terms}
        _print_metrics(settings.schedule, reports, disk, more)
    elif form == "json":
        content = status.to_json(reports) | {"evidence": None if evidence is None else evidence.to_json()}
        for entry in content["apps"]:
            entry["callbacks"] = None if callbacks is None else callbacks.to_json(entry["app"])
        click.echo(json.dumps(content))
    else:
        verdict = language.say("{word}: {why}", word=_word(language, judged.word), why=judged.why)
        click.secho(visible(verdict), fg="green" if judged.word == "OK" else "red", bold=True)
        for entry in reports:
            print_status(entry, view)
        if evidence is not None:
            print_evidence(evidence, view)
        if callbacks is not None:
            print_callbacks(callbacks, view)
    return EXIT_INCOMPLETE if coverage.has_hole(reports) else EXIT_DONE


def _print_metrics(
    schedule: Schedule, reports: Sequence[SourceReport], disk: Mapping[str, int | None], more: Mapping[str, Any]
) -> None:
    from archiver.service import metrics

    text = metrics.render(reports, disk, every_ms=schedule.every_ms, overdue_ms=schedule.overdue_ms, **more)
    click.echo(text, nl=False)


def _of_evidence(store: Store, settings: Settings) -> Report | None:
    if settings.evidence is None:
        return None
    from archiver.evidence.report import report

    return report(store, settings.evidence)


def _of_callbacks(store: Store, settings: Settings, *, totals: bool) -> CallbackReport | None:
    if settings.callbacks is None:
        return None
    from archiver.callbacks.report import report

    return report(store, settings, totals=totals)


def _of_lifecycle(store: Store) -> tuple[int | None, Sequence[Contradiction]]:
    """Since when erasures wait to be made again, and terms that contradict others, as far as this login sees."""
    from archiver.lifecycle import contradictions

    with store.read() as tx:
        known = installation.read(tx)
    return None if known is None else known.reapply_since_ms, contradictions.find(store)


def _word(language: Language, word: str) -> str:
    say = language.say
    return {
        "OK": say("OK"),
        "OVERDUE": say("OVERDUE"),
        "HOLE": say("HOLE"),
        "REFUSED": say("REFUSED"),
        "NOTHING CONFIGURED": say("NOTHING CONFIGURED"),
    }[word]


def print_status(entry: SourceReport, view: View = PLAIN) -> None:
    """One source, as a table of facts and the claim in words."""
    say = view.language.say
    name = f"{entry.app} ({entry.source})"
    title = name if entry.configured else say("{name}, not configured", name=name)
    zone = say("times in {zone}", zone=view.calendar.name)
    console.table(f"{title}, {zone}", ("", ""), [*_claim(entry, view), *_figures(entry, view), *_doubts(entry, view)])
    console.out().print(coverage.in_words(entry, view.language, view.calendar), style="italic")


def _claim(entry: SourceReport, view: View) -> list[tuple[str, str]]:
    say = view.language.say
    audited = view.range(entry.origin_ms, entry.audited_until_ms)
    newest = view.seconds(entry.freshness_seconds)
    return [
        (say("complete"), view.range(entry.complete_from_ms, entry.complete_until_ms)),
        (say("audited"), audited if entry.audited_until_ms > entry.origin_ms else say("not yet")),
        (say("lag / overdue"), f"{view.seconds(entry.lag_seconds)} / {view.seconds(entry.overdue_seconds)}"),
        (say("newest message"), say("{length} ago", length=newest) if entry.freshness_seconds else "-"),
        (say("time to loss"), view.seconds(entry.time_to_loss_seconds)),
    ]


def print_evidence(evidence: Report, view: View = PLAIN) -> None:
    """The ledger, as a table of facts."""
    say = view.language.say
    at = say("never") if evidence.signed_ms is None else view.instant(evidence.signed_ms)
    scrub = say("never")
    if evidence.scrub_ended_ms is not None:
        ended, count = view.instant(evidence.scrub_ended_ms), f"{evidence.differences:,}"
        scrub = say("at {ended}, {count} differences", ended=ended, count=count)
    anchors = [
        (
            one.sink,
            say("nothing yet")
            if one.size is None
            else say("{count} entries, {length} ago", count=f"{one.size:,}", length=view.seconds(one.age_seconds)),
        )
        for one in evidence.anchors
    ]
    waiting = view.seconds(evidence.queue_age_seconds) if evidence.queue_age_seconds else say("nothing")
    rows = [
        (say("entries"), say("{count}, signed: {at}", count=f"{evidence.size:,}", at=at)),
        (say("waiting"), waiting),
        (say("fingerprint"), evidence.fingerprint),
        *(anchors or [(say("anchors"), say("none configured"))]),
        (say("verified"), scrub),
        *((problem.name, problem.text) for problem in evidence.problems),
    ]
    zone = say("times in {zone}", zone=view.calendar.name)
    console.table(say("evidence: {origin}, {zone}", origin=evidence.origin, zone=zone), ("", ""), rows)


def print_callbacks(callbacks: CallbackReport, view: View = PLAIN) -> None:
    """What callbacks report, as a table of facts."""
    say = view.language.say
    rows = []
    for app, figures in callbacks.apps.items():
        at = say("never") if figures.last_event_ms is None else view.instant(figures.last_event_ms)
        text = say("last: {at}; in 24 hours {unsigned} unsigned, {wrong} with a wrong signature", at=at,
            unsigned=f"{figures.unsigned:,}", wrong=f"{figures.wrong:,}")  # fmt: skip
        rows.append((app, text))
        text = say("{callbacks} announced and not in the record, {file} in the record and not announced",
            callbacks=f"{figures.only_callback:,}", file=f"{figures.only_file:,}")  # fmt: skip
        rows.append(("", text))
    if callbacks.spool_bytes is not None:
        rows.append((say("spool"), say("{count} bytes wait", count=f"{callbacks.spool_bytes:,}")))
    rows += [(problem.name, problem.text) for problem in callbacks.problems]
    zone = say("times in {zone}", zone=view.calendar.name)
    console.table(say("callbacks, {zone}", zone=zone), ("", ""), rows)


def _figures(entry: SourceReport, view: View) -> list[tuple[str, str]]:
    say = view.language.say
    rows = [
        (say("messages / bodies"), say("{counts} (of the app)", counts=f"{entry.messages:,} / {entry.bodies:,}")),
        (say("quarantined"), f"{entry.quarantined:,}"),
        (say("revisions"), f"{entry.revisions:,}"),
        (say("late arrivals"), _late(entry, view)),
        (say("attachments"), _attachments(entry, view)),
    ]
    if entry.sealed or entry.erased or entry.expired:
        counts = f"{entry.sealed:,} / {entry.erased:,} / {entry.expired:,}"
        rows.append((say("sealed / erased / expired"), counts))
    if entry.foreign_expiring:
        rows.append((say("not fetched"), _foreign(entry, view)))
    return rows


def _doubts(entry: SourceReport, view: View) -> list[tuple[str, str]]:
    say, run = view.language.say, entry.last_run
    problems = (
        (say("start"), entry.start_problem),
        (say("server's clock"), entry.clock_problem),
        (say("hours"), entry.zone_problem),
        (say("unproven"), view.ranges(entry.unproven)),
        (say("unaudited"), view.ranges(entry.unaudited)),
    )
    windows = ", ".join(f"{count} {view.state(state)}" for state, count in entry.windows.items() if count)
    return [
        (say("server's order"), say("trusted") if entry.order_trusted else say("NOT TRUSTED")),
        (say("windows"), windows or say("none yet")),
        (say("holes"), "; ".join(map(view.hole, entry.holes)) or say("none")),
        *((name, problem) for name, problem in problems if problem),
        (say("last run"), _run(run, view) if run else say("never")),
    ]


def _run(run: dict[str, Any], view: View) -> str:
    ended = (view.calendar.written(run["ended_at"]) or "")[:19].replace("T", " ")
    text = view.language.say("{outcome} at {ended}", outcome=view.state(run["outcome"]), ended=ended)
    return text + (f": {run['reason']}" if run["reason"] else "")


def _late(entry: SourceReport, view: View) -> str:
    worst_ms = entry.worst_lateness_ms
    worst = "" if worst_ms is None else view.language.say(", the worst {length}", length=view.length(worst_ms))
    return f"{entry.late_arrivals:,}{worst}"


def _attachments(entry: SourceReport, view: View) -> str:
    say = view.language.say
    counted = ", ".join(f"{count:,} {view.state(state)}" for state, count in entry.attachments.items() if count)
    left_s = entry.attachments_time_to_loss_seconds
    expiry = "" if left_s is None else say("; first to expire in {length}", length=view.seconds(left_s))
    return (counted or say("none")) + expiry


def _foreign(entry: SourceReport, view: View) -> str:
    say = view.language.say
    hosts = ", ".join(f"{visible(reason)} ({count:,})" for reason, count in entry.foreign_reasons.items())
    if (more := entry.foreign_hosts - len(entry.foreign_reasons)) > 0:
        hosts = say("{hosts} and {more} more hosts", hosts=hosts, more=f"{more:,}")
    count = f"{entry.foreign_expiring:,}"
    return say("{count} foreign files expire within two days, or have: {hosts}", count=count, hosts=hosts)
