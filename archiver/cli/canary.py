"""`canary`: one marked message through the whole chain."""

from __future__ import annotations

import click

from archiver.cli import context
from archiver.errors import EXIT_DONE


@click.command()
@click.pass_context
def canary(ctx: click.Context) -> int:
    """Send a marked message, pull until it is archived, and report how long it took.

    Exit codes: 0 archived; 75 not archived in time; 4 credentials refused.

    \b
    Example:
      archiver canary
    """
    from archiver.service.canary import send_and_wait

    with context.archive(ctx, writes=True) as (settings, store), context.stop_on_signals() as stop:
        came = send_and_wait(settings, store, stop=stop)
    delay_s = ((came.archived_ms or came.sent_ms) - came.sent_ms) / 1000
    click.echo(f"the canary was archived {delay_s:.1f} s after it was sent")
    return EXIT_DONE
