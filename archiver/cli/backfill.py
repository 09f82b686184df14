"""`backfill`: earlier times."""

from __future__ import annotations

import click

from archiver.cli import context, options, pull
from archiver.cli.options import INSTANT
from archiver.pull import commands
from archiver.pull.run import PullOptions


@click.command()
@click.option("--from", "from_ms", type=INSTANT, required=True, help="How far back, inclusive.")
@click.option("--to", "to_ms", type=INSTANT, help="Up to where; default: the beginning of the archive.")
@options.APP
@click.option("--workers", type=click.IntRange(1, 64), help="Number of windows walked at the same time.")
@click.pass_context
def backfill(ctx: click.Context, from_ms: int, to_ms: int | None, app: str | None, workers: int | None) -> int:
    """Extend the archive to earlier times. An interrupted backfill continues where it stopped.

    \b
    Example:
      archiver backfill --from 2026-01-01T00:00:00+08:00
    """
    pulled = PullOptions(command="backfill", live=False, backfill=True, workers=workers)
    with context.archive(ctx, writes=True) as (settings, store), context.stop_on_signals() as stop:
        if not commands.plan_backfill(settings, store, app, from_ms, to_ms, stop=stop):
            click.echo("the archive reaches back that far already")
        plain, view = context.plain(ctx), options.default_view(ctx)
        return pull.pull_watched(settings, store, app, pulled, stop, plain=plain, view=view)
