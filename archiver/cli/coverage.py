"""`coverage`: windows and holes, and the acceptance of a loss."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from archiver import coverage, host, review
from archiver.cli import console, context, options
from archiver.cli.options import INSTANT
from archiver.coverage import WindowReport
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE
from archiver.model import Window
from archiver.store.read.status import Hole


def hole_in_words(hole: Hole) -> str:
    text = f"{console.instant(hole.window.lo_ms)} to {console.instant(hole.window.hi_ms)} {hole.state}"
    if hole.accepted_by:
        text += f" by {hole.accepted_by} on {console.instant(hole.accepted_ms)}"
    return text + (f" ({hole.reason})" if hole.reason else "")


def ranges_in_words(ranges: Iterable[Window]) -> str:
    return "; ".join(f"{console.instant(lo_ms)} to {console.instant(hi_ms)}" for lo_ms, hi_ms in ranges)


@click.group("coverage", invoke_without_command=True)
@options.FORMAT
@click.pass_context
def coverage_command(ctx: click.Context, form: str) -> int | None:
    """List all windows and holes. Exits with 3 if there is an unaccepted hole.

    \b
    Example:
      archiver coverage
      archiver coverage accept --from 2026-11-01T00:00:00Z \\
          --to 2026-11-01T01:00:00Z --reason "provider outage, ticket 42"
    """
    if ctx.invoked_subcommand is not None:
        return None
    with context.readable(ctx) as (_, store):
        reports = coverage.report(store)
    if form == "json":
        click.echo(json.dumps({"version": 1, "apps": [report.to_json() for report in reports]}))
    else:
        for report in reports:
            _print_coverage(report)
    return EXIT_INCOMPLETE if coverage.has_hole(reports) else EXIT_DONE


def _print_coverage(report: WindowReport) -> None:
    rows = [
        (
            stretch.pass_no if stretch.cause != "audit" else f"audit {stretch.pass_no}",
            console.instant(stretch.window.lo_ms),
            console.instant(stretch.window.hi_ms),
            stretch.state + (f" ({stretch.reason})" if stretch.reason else ""),
            f"{stretch.windows:,}",
            f"{stretch.received:,}",
        )
        for stretch in report.stretches
    ]
    title = f"{report.app} ({report.source})"
    console.table(title, ("pass", "from (UTC)", "to (UTC)", "state", "windows", "received"), rows)
    console.out().print("holes: " + ("; ".join(map(hole_in_words, report.holes)) or "none"))
    for sentence in coverage.weaknesses(report):
        console.out().print(sentence)


@coverage_command.command()
@click.option("--from", "from_ms", type=INSTANT, required=True)
@click.option("--to", "to_ms", type=INSTANT, required=True)
@click.option("--reason", required=True, help="Why the loss is accepted; recorded for the auditor.")
@click.option("--app", "name", metavar="NAME", help="Only this app.")
@click.pass_context
def accept(ctx: click.Context, from_ms: int, to_ms: int, reason: str, name: str | None) -> int:
    """Accept the losses within a range. The watermark moves on; the hole remains listed.

    \b
    Example:
      archiver coverage accept --from 2026-11-01T00:00:00Z \\
          --to 2026-11-01T01:00:00Z --reason "provider outage, ticket 42"
    """
    with context.archive(ctx, offline=True, writes=True) as (_, store):
        count = review.accept(store, options.stretch(from_ms, to_ms), reason, host.account(), app=name)
    click.echo(f"{count} window{'' if count == 1 else 's'} accepted")
    return EXIT_DONE
