"""`conversations`: which there are, by user and time."""

from __future__ import annotations

from datetime import date

import click

from archiver import directory
from archiver.cli import context, listing, options
from archiver.cli.options import INSTANT
from archiver.cli.view import View
from archiver.errors import EXIT_DONE


@click.command()
@click.option("--of", "user", metavar="USER", help="Only those in which this user took part.")
@options.APP
@click.option("--from", "from_ms", metavar="TIME", type=INSTANT, help="With a message stamped at this time or later.")
@click.option("--to", "to_ms", metavar="TIME", type=INSTANT, help="With a message stamped before this time.")
@options.MONTH
@options.LIMIT
@options.FORMAT
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
    view: View,
) -> int:
    """List conversations, the latest first, with their ids. `archiver conversation` prints one.

    \b
    Example:
      archiver conversations --of xingchen --month 2026-11
    """
    limits = options.in_month(month, view.calendar.zone, from_ms, to_ms)
    with context.readable(ctx) as (_, store):
        rows = directory.conversations(store, app=app, user=user, limits=limits, most=limit)
    listing.print_rows(rows, form, view)
    return EXIT_DONE
