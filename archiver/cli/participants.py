"""`participants`: users who sent something."""

from __future__ import annotations

from datetime import tzinfo

import click

from archiver import directory
from archiver.cli import console, context, options
from archiver.errors import EXIT_DONE
from archiver.zones import Calendar


@click.command()
@click.option("--like", metavar="TEXT", help="Only ids that contain this text, in any case.")
@options.APP
@options.LIMIT
@options.FORMAT
@options.ZONE
@click.pass_context
def participants(ctx: click.Context, *, like: str | None, app: str | None, limit: int, form: str, zone: tzinfo) -> int:
    """List users who sent something, the latest first.

    \b
    Example:
      archiver participants --like xing
    """
    with context.readable(ctx) as (_, store):
        rows = directory.participants(store, app=app, like=like, most=limit)
    console.print_rows(rows, form, Calendar(zone))
    return EXIT_DONE
