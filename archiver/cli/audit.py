"""`audit`: a closed range once more."""

from __future__ import annotations

import click

from archiver.cli import context, options
from archiver.cli.options import INSTANT
from archiver.errors import EXIT_DONE
from archiver.pull import commands


@click.command()
@click.option("--from", "from_ms", type=INSTANT, required=True)
@click.option("--to", "to_ms", type=INSTANT, required=True)
@options.APP
@click.pass_context
def audit(ctx: click.Context, from_ms: int, to_ms: int, app: str | None) -> int:
    """Walk a closed range again. Missing messages are stored and reported, with exit code 3.

    \b
    Example:
      archiver audit --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z
    """
    with context.archive(ctx, writes=True) as (settings, store), context.stop_on_signals() as stop:
        code = commands.audit_each(settings, store, app, options.stretch(from_ms, to_ms), stop=stop)
    if code == EXIT_DONE:
        click.echo("nothing was missing")
    return code
