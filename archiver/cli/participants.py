"""`participants`: users who sent something."""

from __future__ import annotations

import click

from archiver import directory
from archiver.cli import context, listing, options
from archiver.cli.context import Case
from archiver.errors import EXIT_DONE
from archiver.store.read.filters import Filter, asked_for
from archiver.view import View


@click.command()
@click.option("--like", metavar="TEXT", help="Only ids that contain this text, in any case.")
@options.APP
@options.LIMIT
@options.FORMAT
@options.CASE
@options.VIEW
@click.pass_context
def participants(
    ctx: click.Context, *, like: str | None, app: str | None, limit: int, form: str, case: Case, view: View
) -> int:
    """List users who sent something, the latest first.

    \b
    Example:
      archiver participants --like xing
    """
    asked = asked_for(Filter(app), like=like)
    with context.lookable(ctx, case) as (_, store, looks):
        rows = directory.participants(store, app=app, like=like, most=limit)
        looks.show("list", asked | {"list": "participants"}, count=len(rows))
    listing.print_rows(rows, form, view)
    return EXIT_DONE
