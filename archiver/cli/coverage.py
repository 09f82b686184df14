"""`coverage`: windows and holes, and the acceptance of a loss."""

from __future__ import annotations

import json

import click

from archiver import coverage, host, review
from archiver.cli import console, context, options
from archiver.cli.decision import DECISION, Decision, allowed
from archiver.cli.options import INSTANT
from archiver.coverage import WindowReport
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE
from archiver.view import View


@click.group("coverage", invoke_without_command=True)
@options.FORMAT
@options.VIEW
@click.pass_context
def coverage_command(ctx: click.Context, form: str, view: View) -> int | None:
    """List all windows and holes. Exits with 3 if there is an unaccepted hole.

    \b
    Example:
      archiver coverage
      archiver coverage accept --from 2026-11-01T00:00:00Z \\
          --to 2026-11-01T01:00:00Z --reason "ticket 42"
    """
    if ctx.invoked_subcommand is not None:
        return None
    with context.readable(ctx) as (_, store):
        reports = coverage.report(store)
    if form == "json":
        click.echo(json.dumps({"version": 1, "apps": [report.to_json() for report in reports]}))
    elif reports:
        for report in reports:
            _print_coverage(report, view)
    else:
        click.echo(view.language.say("nothing was pulled yet: there is no window"))
    return EXIT_INCOMPLETE if coverage.has_hole(reports) else EXIT_DONE


def _print_coverage(report: WindowReport, view: View) -> None:
    say = view.language.say
    rows = [
        (
            stretch.pass_no if stretch.cause != "audit" else say("audit {number}", number=stretch.pass_no),
            view.instant(stretch.window.lo_ms),
            view.instant(stretch.window.hi_ms),
            view.state(stretch.state) + (f" ({stretch.reason})" if stretch.reason else ""),
            f"{stretch.windows:,}",
            f"{stretch.received:,}",
        )
        for stretch in report.stretches
    ]
    zone = say("times in {zone}", zone=view.calendar.name)
    columns = (say("pass"), say("from"), say("to"), say("state"), say("windows"), say("received"))
    console.table(f"{report.app} ({report.source}), {zone}", columns, rows)
    holes = "; ".join(map(view.hole, report.holes)) or say("none")
    console.out().print(say("holes: {holes}", holes=holes))
    for sentence in coverage.weaknesses(report, view.language, view.calendar):
        console.out().print(sentence)


@coverage_command.command()
@click.option("--from", "from_ms", type=INSTANT, required=True)
@click.option("--to", "to_ms", type=INSTANT, required=True)
@click.option("--reason", required=True, help="Why the loss is accepted; recorded for the auditor.")
@click.option("--app", "name", metavar="NAME", help="Only this app.")
@DECISION
@click.pass_context
def accept(ctx: click.Context, from_ms: int, to_ms: int, reason: str, name: str | None, *, decision: Decision) -> int:
    """Accept the losses within a range. The watermark moves on; the hole remains listed.

    \b
    Example:
      archiver coverage accept --from 2026-11-01T00:00:00Z \\
          --to 2026-11-01T01:00:00Z --reason "ticket 42"
    """
    window = options.stretch(from_ms, to_ms)
    body = {"from_ms": from_ms, "to_ms": to_ms, "reason": reason, "app": name}
    with context.archive(ctx, offline=True, writes=True) as (settings, store):
        begin = allowed(store, settings, decision, "accept", body)
        if begin is None:
            return EXIT_DONE
        count = review.accept(store, window, reason, host.account(), app=name, begin=begin)
    click.echo(f"{count} window{'' if count == 1 else 's'} accepted")
    return EXIT_DONE
