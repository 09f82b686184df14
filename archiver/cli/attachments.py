"""`attachments`, `attachments verify`: fetch what messages point to; read what is stored again."""

from __future__ import annotations

import click

from archiver import logs
from archiver.cli import context
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Try at most N files.")
@click.option("--retry-failed", is_flag=True, help="Also retry failed and refused files at once.")
@click.pass_context
def attachments(ctx: click.Context, limit: int | None, *, retry_failed: bool) -> int | None:
    """Download attachments, those closest to expiry first.

    Exits with 0 once nothing is pending or failed, else with 75.

    \b
    Example:
      archiver attachments --retry-failed
      archiver attachments verify --sample 1000
    """
    if ctx.invoked_subcommand is not None:
        return None
    from archiver.attachments import commands

    with context.archive(ctx, writes=True) as (settings, store), context.stop_on_signals() as stop:
        blobs = commands.open_blobs(settings)
        return commands.fetch_each(settings, store, blobs, stop=stop, limit=limit, retry=retry_failed)


@attachments.command()
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Only N contents, chosen at random.")
@click.pass_context
def verify(ctx: click.Context, sample: int | None) -> int:
    """Read the stored contents and compare them with their rows. Exits with 3 on a difference.

    \b
    Example:
      archiver attachments verify
    """
    from archiver.attachments import commands
    from archiver.attachments import fetch as fetched

    read = wrong = 0
    with context.archive(ctx, offline=True) as (settings, store), context.stop_on_signals() as stop:
        blobs = commands.open_blobs(settings)
        for difference in fetched.verify(store, blobs, sample=sample, stop=stop):
            read += 1
            if difference is not None:
                wrong += 1
                click.echo(f"{difference.sha256} {difference.problem}")
                for app, msg_id, position, kind in difference.messages:
                    click.echo(f"  {kind} of {logs.visible(msg_id)}, body {position}, app {app}")
    click.echo(f"{read} contents read, {wrong} differ")
    return EXIT_INCOMPLETE if wrong else EXIT_DONE
