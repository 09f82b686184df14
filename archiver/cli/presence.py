"""`presence`: whether users are online."""

from __future__ import annotations

import click

from archiver import logs
from archiver.cli import context, options
from archiver.errors import EXIT_DONE


@click.command()
@click.argument("users", metavar="USER...", nargs=-1, required=True)
@options.ONE_APP
@click.pass_context
def presence(ctx: click.Context, users: tuple[str, ...], app: str | None) -> int:
    """Query whether users are online. Prints a line per user: "USER online" or "USER offline".

    \b
    Example:
      archiver presence zhangsan lisi
    """
    from archiver.http import haste

    with context.session(ctx, app) as session, haste():  # somebody waits for the answer
        for user, state in session.connection.fetch_presence(users):
            click.echo(f"{logs.visible(user)} {state}")
    return EXIT_DONE
