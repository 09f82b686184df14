"""`quarantine`: records that could not be parsed."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from archiver import review
from archiver.cli import console, context, options
from archiver.cli.context import Case
from archiver.errors import EXIT_DONE
from archiver.store.quarantine import QuarantineEntry
from archiver.view import View


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
@options.FORMAT
@options.VIEW
@click.pass_context
def list_entries(ctx: click.Context, *, everything: bool, form: str, view: View) -> int:
    """List records that could not be parsed.

    \b
    Example:
      archiver quarantine list --format json
    """
    with context.readable(ctx) as (_, store):
        entries = review.quarantined(store, unresolved=not everything)
    if form == "json":
        click.echo(json.dumps([_entry(entry) for entry in entries]))
    elif entries:
        say = view.language.say
        first_seen = view.at(say("first seen"))
        columns = (say("id"), say("app"), say("reason"), say("bytes"), say("seen"), first_seen)
        rows = [(e.id, e.app, e.reason, e.size, e.seen, view.instant(e.seen_at_ms)) for e in entries]
        console.table("", columns, rows)
    else:
        click.echo(view.language.say("no record is in quarantine"))
    return EXIT_DONE


def _entry(entry: QuarantineEntry) -> dict[str, Any]:
    return {name: value for name, value in entry._asdict().items() if name != "raw"}


@quarantine.command("show")
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@click.option("--raw", is_flag=True, help="Print only the bytes, exactly as received.")
@options.CASE
@click.pass_context
def show_entry(ctx: click.Context, number: int, *, raw: bool, case: Case) -> int:
    """Show one record with its bytes.

    \b
    Example:
      archiver quarantine show 7 --raw > record.json
    """
    with context.lookable(ctx, case) as (_, store, looks):
        (entry,) = review.quarantined(store, [number], unresolved=False)
        looks.show("quarantine", {"id": number}, count=1)
    if raw:
        sys.stdout.buffer.write(entry.raw)
    else:
        fields = {**_entry(entry), "raw": entry.raw.decode(errors="backslashreplace")}
        console.table("", ("", ""), fields.items())
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

    with context.archive(ctx, offline=True, writes=True) as (_, store):
        done = review.requeue(store, decode, numbers, salvage=salvage)
    click.echo(f"{done.resolved} of {done.looked_at} records can be read now")
    return EXIT_DONE
