"""`status`, `coverage`, `quarantine`: what the archive has, and what it has not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import click

from archiver import coverage, host, review, status
from archiver.cli import common, show
from archiver.cli.common import INSTANT
from archiver.coverage import WindowReport
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE
from archiver.logs import visible
from archiver.model import Window
from archiver.status import SourceReport
from archiver.store.quarantine import Entry
from archiver.store.read.status import Hole

_FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


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
    with common.archive(ctx, offline=True) as (settings, store):
        configured = status.configured(settings.apps)
        reports = status.report(store, configured, every_ms=settings.schedule.every_ms)
        disk = store.disk()
    judged = status.verdict(reports, overdue_ms=settings.schedule.overdue_ms)
    if check:
        click.echo(visible(f"{judged.word}: {judged.why}"))
        return judged.exit_code
    if form == "prometheus":
        from archiver.service import metrics

        schedule = settings.schedule
        exposition = metrics.render(reports, disk, every_ms=schedule.every_ms, overdue_ms=schedule.overdue_ms)
        click.echo(exposition, nl=False)
    elif form == "json":
        click.echo(json.dumps(status.to_json(reports)))
    else:
        click.secho(visible(f"{judged.word}: {judged.why}"), fg="green" if judged.word == "OK" else "red", bold=True)
        for entry in reports:
            print_status(entry)
    return EXIT_INCOMPLETE if coverage.has_hole(reports) else EXIT_DONE


_PROBLEMS = (("start", "start_problem"), ("server's clock", "clock_problem"), ("hours", "zone_problem"))


def print_status(entry: SourceReport) -> None:
    """One source, as a table of facts and the claim in words."""
    run = entry.last_run
    windows = ", ".join(f"{count} {state}" for state, count in entry.windows.items() if count) or "none yet"
    rows = [
        ("complete", f"{show.instant(entry.complete_from_ms)} to {show.instant(entry.complete_until_ms)} UTC"),
        ("audited", f"{show.instant(entry.origin_ms)} to {show.instant(entry.audited_until_ms)} UTC"),
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
        ("holes", "; ".join(map(_hole, entry.holes)) or "none"),
        *[(name, _ranges(ranges)) for name in ("unproven", "unaudited") if (ranges := getattr(entry, name))],
        ("last run", _run(run) if run else "never"),
    ]
    title = f"{entry.app} ({entry.source}{'' if entry.configured else ', not configured'})"
    show.table(title, ("", ""), rows)
    show.console().print(coverage.in_words(entry), style="italic")


def _run(run: dict[str, Any]) -> str:
    return f"{run['outcome']} at {run['ended_at']}" + (f": {run['reason']}" if run["reason"] else "")


def _length(seconds: float | None) -> str:
    return show.length(None if seconds is None else seconds * 1000)


def _late(entry: SourceReport) -> str:
    worst_ms = entry.worst_lateness_ms
    return f"{entry.late_arrivals:,}" + (f", the worst {show.length(worst_ms)}" if worst_ms is not None else "")


def _attachments(entry: SourceReport) -> str:
    counts = ", ".join(f"{count:,} {state}" for state, count in entry.attachments.items() if count) or "none"
    left_s = entry.attachments_time_to_loss_seconds
    return counts if left_s is None else f"{counts}; first to expire in {_length(left_s)}"


def _foreign(entry: SourceReport) -> str:
    named = ", ".join(f"{visible(reason)} ({count:,})" for reason, count in entry.foreign_reasons.items())
    more = entry.foreign_hosts - len(entry.foreign_reasons)
    hosts = f"{named} and {more:,} more hosts" if more > 0 else named
    return f"{entry.foreign_expiring:,} foreign files expire within two days, or have: {hosts}"


def _hole(hole: Hole) -> str:
    text = f"{show.instant(hole.window.lo_ms)} to {show.instant(hole.window.hi_ms)} {hole.state}"
    if hole.accepted_by:
        text += f" by {hole.accepted_by} on {show.instant(hole.accepted_ms)}"
    return text + (f" ({hole.reason})" if hole.reason else "")


def _ranges(ranges: Iterable[Window]) -> str:
    return "; ".join(f"{show.instant(lo_ms)} to {show.instant(hi_ms)}" for lo_ms, hi_ms in ranges)


@click.group("coverage", invoke_without_command=True)
@_FORMAT
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
    with common.archive(ctx, offline=True) as (_, store):
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
            show.instant(stretch.window.lo_ms),
            show.instant(stretch.window.hi_ms),
            stretch.state + (f" ({stretch.reason})" if stretch.reason else ""),
            f"{stretch.windows:,}",
            f"{stretch.received:,}",
        )
        for stretch in report.stretches
    ]
    title = f"{report.app} ({report.source})"
    show.table(title, ("pass", "from (UTC)", "to (UTC)", "state", "windows", "received"), rows)
    show.console().print("holes: " + ("; ".join(map(_hole, report.holes)) or "none"))
    for sentence in coverage.weaknesses(report):
        show.console().print(sentence)


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
    with common.archive(ctx, offline=True) as (_, store):
        count = review.accept(store, common.stretch(from_ms, to_ms), reason, host.account(), app=name)
    click.echo(f"{count} window{'' if count == 1 else 's'} accepted")
    return EXIT_DONE


@click.group()
def quarantine() -> None:
    """List, show and requeue records that could not be parsed.

    \b
    Example:
      archiver quarantine list
      archiver quarantine requeue
    """


@quarantine.command("list")
@click.option("--all", "everything", is_flag=True, help="Include resolved records.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def list_entries(ctx: click.Context, *, everything: bool, form: str) -> int:
    """List records that could not be parsed.

    \b
    Example:
      archiver quarantine list --format json
    """
    with common.archive(ctx, offline=True) as (_, store):
        entries = review.quarantined(store, unresolved=not everything)
    if form == "json":
        click.echo(json.dumps([_entry(entry) for entry in entries]))
    else:
        columns = ("id", "app", "reason", "bytes", "seen", "first seen (UTC)")
        rows = [(e.id, e.app, e.reason, e.size, e.seen, show.instant(e.seen_at_ms)) for e in entries]
        show.table("", columns, rows)
    return EXIT_DONE


def _entry(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in entry._asdict().items() if name != "raw"}


@quarantine.command("show")
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@click.option("--raw", is_flag=True, help="Print only the bytes, exactly as received.")
@click.pass_context
def show_entry(ctx: click.Context, number: int, *, raw: bool) -> int:
    """Show one record with its bytes.

    \b
    Example:
      archiver quarantine show 7 --raw > record.json
    """
    with common.archive(ctx, offline=True) as (_, store):
        (entry,) = review.quarantined(store, [number], unresolved=False)
    if raw:
        sys.stdout.buffer.write(entry.raw)
    else:
        fields = {**_entry(entry), "raw": entry.raw.decode(errors="backslashreplace")}
        show.table("", ("", ""), fields.items())
    return EXIT_DONE


@quarantine.command()
@click.argument("numbers", metavar="[ID]...", type=click.IntRange(1, 2**63 - 1), nargs=-1)
@click.pass_context
def requeue(ctx: click.Context, numbers: tuple[int, ...]) -> int:
    """Parse stored records again, offline. Those that can be parsed now become messages.

    So do the readable records of a damaged hourly file; its hour remains as it is.

    \b
    Example:
      archiver quarantine requeue 7 8
    """
    from archiver.sources import decode, salvage

    with common.archive(ctx, offline=True) as (_, store):
        done = review.requeue(store, decode, numbers, salvage=salvage)
    click.echo(f"{done.resolved} of {done.looked_at} records can be read now")
    return EXIT_DONE
