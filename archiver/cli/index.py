"""`index`: the search index, brought up to date."""

from __future__ import annotations

import click

from archiver import search as searching
from archiver.cli import context
from archiver.errors import EXIT_DONE


@click.command()
@click.pass_context
def index(ctx: click.Context) -> int:
    """Update the search index, after a pull by cron. The service does so by itself.

    \b
    Example:
      archiver pull && archiver index
    """
    with context.archive(ctx, offline=True) as (_, store), context.stop_on_signals() as stop:
        added = searching.index(store, stop.is_set)
    click.echo(f"{added:,} texts added")
    return EXIT_DONE
