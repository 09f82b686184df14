"""`participants`: users who sent something."""

from __future__ import annotations

import click

from archiver import directory
from archiver.cli import context, listing, options
from archiver.cli.view import View
from archiver.errors import EXIT_DONE


@click.command()
@click.option("--like", metavar="TEXT", help="Only ids that contain this text, in any case.")
@options.APP
@options.LIMIT
@options.FORMAT
@options.VIEW
@click.pass_context
def participants(ctx: click.Context, *, like: str | None, app: str | None, limit: int, form: str, view: View) -> int:
    """List users who sent something, the latest first.

    \b
    Example:
      archiver participants --like xing
    """
    with context.readable(ctx) as (_, store):
        rows = directory.participants(store, app=app, like=like, most=limit)
    listing.print_rows(rows, form, view)
    return EXIT_DONE
