"""`status`: how the archive stands, from the database alone."""

from __future__ import annotations

import json
from typing import Any

import click

from archiver import coverage, status
from archiver.cli import console, context
from archiver.cli.coverage import hole_in_words, ranges_in_words
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE
from archiver.evidence.report import Report
from archiver.evidence.report import report as evidence_report
from archiver.logs import visible
from archiver.status import SourceReport


@click.command("status")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "prometheus"]), default="table", show_default=True
)
@click.option("--check", is_flag=True, help="One line for a monitor: exits with 4 refused, 3 hole, 75 overdue, else 0.")
@click.pass_context
def status_command(ctx: click.Context, form: str, *, check: bool) -> int:
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
        evidence = evidence_report(store, settings.evidence)
    judged = status.verdict(reports, overdue_ms=settings.schedule.overdue_ms)
    if check:
        click.echo(visible(f"{judged.word}: {judged.why}"))
        return judged.exit_code
    if form == "prometheus":
        from archiver.service import metrics

        schedule = settings.schedule
        click.echo(
            metrics.render(
                reports, disk, every_ms=schedule.every_ms, overdue_ms=schedule.overdue_ms, evidence=evidence
            ),
            nl=False,
        )
    elif form == "json":
        content = status.to_json(reports) | {"evidence": None if evidence is None else evidence.to_json()}
        click.echo(json.dumps(content))
    else:
        click.secho(visible(f"{judged.word}: {judged.why}"), fg="green" if judged.word == "OK" else "red", bold=True)
        for entry in reports:
            print_status(entry)
        if evidence is not None:
            print_evidence(evidence)
    return EXIT_INCOMPLETE if coverage.has_hole(reports) else EXIT_DONE


_PROBLEMS = (("start", "start_problem"), ("server's clock", "clock_problem"), ("hours", "zone_problem"))


def print_status(entry: SourceReport) -> None:
    """One source, as a table of facts and the claim in words."""
    run = entry.last_run
    windows = ", ".join(f"{count} {state}" for state, count in entry.windows.items() if count) or "none yet"
    rows = [
        ("complete", f"{console.instant(entry.complete_from_ms)} to {console.instant(entry.complete_until_ms)} UTC"),
        ("audited", f"{console.instant(entry.origin_ms)} to {console.instant(entry.audited_until_ms)} UTC"),
        ("lag / overdue", f"{_length(entry.lag_seconds)} / {_length(entry.overdue_seconds)}"),
        ("newest message", f"{_length(entry.freshness_seconds)} ago" if entry.freshness_seconds else "-"),
        ("time to loss", _length(entry.time_to_loss_seconds)),
        ("messages / bodies", f"{entry.messages:,} / {entry.bodies:,}"),
        ("quarantined", f"{entry.quarantined:,}"),
        ("revisions", f"{entry.revisions:,}"),
        ("late arrivals", _late(entry)),
        ("attachments", _attachments(entry)),
        *([("not fetched", _foreign(entry))] if entry.foreign_expiring else []),
        ("server's order", "trusted" if entry.order_trusted else "NOT TRUSTED"),
        *[(name, problem) for name, key in _PROBLEMS if (problem := getattr(entry, key))],
        ("windows", windows),
        ("holes", "; ".join(map(hole_in_words, entry.holes)) or "none"),
        *[(name, ranges_in_words(ranges)) for name in ("unproven", "unaudited") if (ranges := getattr(entry, name))],
        ("last run", _run(run) if run else "never"),
    ]
    title = f"{entry.app} ({entry.source}{'' if entry.configured else ', not configured'})"
    console.table(title, ("", ""), rows)
    console.out().print(coverage.in_words(entry), style="italic")


def print_evidence(evidence: Report) -> None:
    """The ledger, as a table of facts."""
    signed = "never" if evidence.signed_ms is None else f"at {console.instant(evidence.signed_ms)} UTC"
    scrub = "never"
    if evidence.scrub_ended_ms is not None:
        scrub = f"at {console.instant(evidence.scrub_ended_ms)} UTC, {evidence.differences:,} differences"
    anchors = [
        (one.sink, "nothing yet" if one.size is None else f"{one.size:,} entries, {_length(one.age_seconds)} ago")
        for one in evidence.anchors
    ]
    rows = [
        ("entries", f"{evidence.size:,}, signed {signed}"),
        ("waiting", _length(evidence.queue_age_seconds) if evidence.queue_age_seconds else "nothing"),
        ("fingerprint", evidence.fingerprint),
        *(anchors or [("anchors", "none configured")]),
        ("verified", scrub),
        *((problem.name, problem.text) for problem in evidence.problems),
    ]
    console.table(f"evidence: {evidence.origin}", ("", ""), rows)


def _run(run: dict[str, Any]) -> str:
    return f"{run['outcome']} at {run['ended_at']}" + (f": {run['reason']}" if run["reason"] else "")


def _length(seconds: float | None) -> str:
    return console.length(None if seconds is None else seconds * 1000)


def _late(entry: SourceReport) -> str:
    worst_ms = entry.worst_lateness_ms
    return f"{entry.late_arrivals:,}" + (f", the worst {console.length(worst_ms)}" if worst_ms is not None else "")


def _attachments(entry: SourceReport) -> str:
    counts = ", ".join(f"{count:,} {state}" for state, count in entry.attachments.items() if count) or "none"
    left_s = entry.attachments_time_to_loss_seconds
    return counts if left_s is None else f"{counts}; first to expire in {_length(left_s)}"


def _foreign(entry: SourceReport) -> str:
    named = ", ".join(f"{visible(reason)} ({count:,})" for reason, count in entry.foreign_reasons.items())
    more = entry.foreign_hosts - len(entry.foreign_reasons)
    hosts = f"{named} and {more:,} more hosts" if more > 0 else named
    return f"{entry.foreign_expiring:,} foreign files expire within two days, or have: {hosts}"
