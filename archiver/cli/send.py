"""`send`: a text to a user or a group."""

from __future__ import annotations

import click

from archiver import logs
from archiver.cli import context, options
from archiver.errors import EXIT_DONE


@click.group()
def send() -> None:
    """Send a text message; an unknown outcome is reported, never retried.

    \b
    Example:
      archiver send user zhangsan "你好"
      archiver send group 184524748161025 "meeting at ten"
    """


@send.command("user")
@click.argument("user")
@click.argument("text")
@options.ONE_APP
@click.pass_context
def send_to_user(ctx: click.Context, user: str, text: str, app: str | None) -> int:
    """Send TEXT to USER.

    \b
    Example:
      archiver send user zhangsan "你好"
    """
    with context.session(ctx, app) as session:
        return _sent(session.connection.send_user(user, text))


@send.command("group")
@click.argument("group_id", metavar="ID")
@click.argument("text")
@options.ONE_APP
@click.pass_context
def send_to_group(ctx: click.Context, group_id: str, text: str, app: str | None) -> int:
    """Send TEXT to the group with this ID.

    \b
    Example:
      archiver send group 184524748161025 "meeting at ten"
    """
    with context.session(ctx, app) as session:
        return _sent(session.connection.send_group(group_id, text))


def _sent(msg_id: str | None) -> int:
    click.echo(f"sent{'' if msg_id is None else ' as ' + logs.visible(msg_id)}")
    return EXIT_DONE
