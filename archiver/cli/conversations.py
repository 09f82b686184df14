"""`conversations`: which there are, by user and time."""

from __future__ import annotations

from datetime import date

import click

from archiver import directory
from archiver.cli import context, listing, options
from archiver.cli.context import Case
from archiver.cli.options import INSTANT
from archiver.errors import EXIT_DONE
from archiver.store.read.filters import Filter, asked_for
from archiver.view import View


@click.command()
@click.option("--of", "user", metavar="USER", help="Only those in which this user took part.")
@options.APP
@click.option("--from", "from_ms", metavar="TIME", type=INSTANT, help="With a message stamped at this time or later.")
@click.option("--to", "to_ms", metavar="TIME", type=INSTANT, help="With a message stamped before this time.")
@options.MONTH
@options.LIMIT
@options.FORMAT
@options.CASE
@options.VIEW
@click.pass_context
def conversations(
    ctx: click.Context,
    *,
    user: str | None,
    app: str | None,
    from_ms: int | None,
    to_ms: int | None,
    month: tuple[date, date] | None,
    limit: int,
    form: str,
    case: Case,
    view: View,
) -> int:
    """List conversations, the latest first, with their ids. `archiver conversation` prints one.

    \b
    Example:
      archiver conversations --of xingchen --month 2026-11
    """
    limits = options.in_month(month, view.calendar.zone, from_ms, to_ms)
    asked = asked_for(Filter(app, from_ms=limits[0], to_ms=limits[1]), of=user)
    with context.lookable(ctx, case) as (_, store, looks):
        rows = directory.conversations(store, app=app, user=user, limits=limits, most=limit)
        looks.show("list", asked | {"list": "conversations"}, count=len(rows))
    listing.print_rows(rows, form, view)
    return EXIT_DONE
