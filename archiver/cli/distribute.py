"""`distribute`: a new archive over a Citus cluster."""

from __future__ import annotations

import click

from archiver.cli import context


@click.command()
@click.option(
    "--shards", type=click.IntRange(1, 1024), default=32, show_default=True, help="Number of shards per table."
)
@click.pass_context
def distribute(ctx: click.Context, shards: int) -> None:
    """Distribute a new archive over a Citus cluster, by message id. Run it once, after migrate.

    \b
    Example:
      archiver migrate && archiver distribute --shards 64
    """
    from archiver.store.admin import distribution

    with context.archive(ctx, offline=True) as (_, store):
        names = distribution.distribute(store, shards)
    click.echo(f"distributed by {distribution.COLUMN} over {shards} shards: {', '.join(names)}")
