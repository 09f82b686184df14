"""`callbacks status`: what callbacks report, and how they compare with the record."""

from __future__ import annotations

import json
from typing import Any

import click

from archiver.callbacks.report import CallbackReport, report
from archiver.cli import console, context, options
from archiver.cli.options import INSTANT
from archiver.errors import EXIT_DONE, ConfigurationError
from archiver.store.read import callbacks as figures
from archiver.store.read.callbacks import ComparedHour
from archiver.store.schema import iso
from archiver.view import View

_MOST_HOURS = 24


@click.group("callbacks")
def callbacks_command() -> None:
    """Show what callbacks report: a report beside the coverage claim, never part of it.

    \b
    Example:
      archiver callbacks status
    """


@callbacks_command.command("status")
@click.option("--from", "from_ms", metavar="TIME", type=INSTANT, help="Only events and hours of this time or later.")
@click.option("--to", "to_ms", metavar="TIME", type=INSTANT, help="Only events and hours before this time.")
@options.FORMAT
@options.VIEW
@click.pass_context
def callbacks_status(ctx: click.Context, from_ms: int | None, to_ms: int | None, form: str, *, view: View) -> int:
    """Show events by kind and signature, the spool, and the hourly comparison with the record.

    Without --from, the comparison shows the latest 24 hours. What is missing is
    never an exit code: 0, 2 configuration, 75 try again later.

    \b
    Example:
      archiver callbacks status --from 2026-11-01T00:00:00Z --format json
    """
    with context.readable(ctx) as (settings, store):
        known = report(store, settings)
        if known is None:
            raise ConfigurationError("no callbacks are configured", hint="[callbacks] in the configuration")
        with store.read() as tx:
            totals = figures.totals(tx, from_ms=from_ms, to_ms=to_ms)
            hours = figures.hours(tx, from_ms=from_ms, to_ms=to_ms)
    if from_ms is None:
        hours = hours[:_MOST_HOURS]
    if form == "json":
        click.echo(json.dumps(_content(known, totals, hours)))
    else:
        _print(known, totals, hours, view)
    return EXIT_DONE


_Totals = list[tuple[str, str, str, int]]


def _content(known: CallbackReport, totals: _Totals, hours: list[ComparedHour]) -> dict[str, Any]:
    names = ("app", "kind", "signed", "count")
    return {
        "version": 1,
        "apps": {app: known.to_json(app) for app in known.apps},
        "events": [dict(zip(names, row, strict=True)) for row in totals],
        "hours": [{"hour": iso(hour.hour_ms), **hour._asdict()} for hour in hours],
        "problems": [problem._asdict() for problem in known.problems],
    }


def _print(known: CallbackReport, totals: _Totals, hours: list[ComparedHour], view: View) -> None:
    say = view.language.say
    if totals:
        columns = (say("app"), say("kind"), say("signature"), say("events"))
        console.table("", columns, [(*row[:3], f"{row[3]:,}") for row in totals])
    else:
        click.echo(say("no events"))
    if known.spool_bytes is not None:
        click.echo(say("{count} bytes wait in the spool", count=f"{known.spool_bytes:,}"))
    _print_hours(hours, view)
    if missing := sum(hour.only_callback for hour in hours):
        text = say("{count} messages were announced by callback and are not in the record", count=f"{missing:,}")
        click.echo(text)
    for problem in known.problems:
        click.echo(f"{problem.name} {problem.app}: {problem.text}")


def _print_hours(hours: list[ComparedHour], view: View) -> None:
    say = view.language.say
    columns = (say("hour"), say("both"), say("only in record"), say("only by callback"), say("counted apart"))
    rows = [
        (
            view.instant(hour.hour_ms)[:16],
            f"{hour.both:,}" if hour.outcome == "compared" else say("not compared"),
            f"{hour.only_file:,}",
            f"{hour.only_callback:,}",
            say(
                "{recalled} recalled, {rooms} of rooms, {cmd} cmd",
                recalled=f"{hour.recalled:,}",
                rooms=f"{hour.chatroom:,}",
                cmd=f"{hour.cmd:,}",
            ),
        )
        for hour in hours
    ]
    if rows:
        zone = say("times in {zone}", zone=view.calendar.name)
        console.table(say("compared with the record, {zone}", zone=zone), columns, rows)
