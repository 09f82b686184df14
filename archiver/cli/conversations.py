"""`conversations`: which there are, by user and time."""

from __future__ import annotations

from datetime import date, tzinfo

import click

from archiver import directory
from archiver.cli import console, context, options
from archiver.cli.options import INSTANT
from archiver.errors import EXIT_DONE
from archiver.zones import Calendar


@click.command()
@click.option("--of", "user", metavar="USER", help="Only those in which this user took part.")
@options.APP
@click.option("--from", "from_ms", metavar="TIME", type=INSTANT, help="With a message stamped at this time or later.")
@click.option("--to", "to_ms", metavar="TIME", type=INSTANT, help="With a message stamped before this time.")
@options.MONTH
@options.LIMIT
@options.FORMAT
@options.ZONE
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
    zone: tzinfo,
) -> int:
    """List conversations, the latest first, with their ids. `archiver conversation` prints one.

    \b
    Example:
      archiver conversations --of xingchen --month 2026-11
    """
    limits = options.in_month(month, zone, from_ms, to_ms)
    with context.readable(ctx) as (_, store):
        rows = directory.conversations(store, app=app, user=user, limits=limits, most=limit)
    console.print_rows(rows, form, Calendar(zone))
    return EXIT_DONE
