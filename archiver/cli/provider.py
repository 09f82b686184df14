"""`send`, `presence`, `canary`: the provider's other calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from archiver import connect, logs
from archiver.cli import common
from archiver.connect import AppSession
from archiver.errors import EXIT_DONE, UsageError

_APP = click.option("--app", "name", metavar="NAME", help="Which app, if several are configured.")


@contextmanager
def _session(ctx: click.Context, name: str | None) -> Iterator[AppSession]:
    with common.archive(ctx) as (settings, store), common.stop_on_signals() as stop:
        apps = connect.chosen(settings, name)
        if len({app.name for app in apps}) > 1:
            raise UsageError("several apps are configured", hint=f"--app {apps[0].name}")
        with connect.session(apps[0], settings, store, stop) as session:
            yield session


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
@_APP
@click.pass_context
def send_to_user(ctx: click.Context, user: str, text: str, name: str | None) -> int:
    """Send TEXT to USER.

    \b
    Example:
      archiver send user zhangsan "你好"
    """
    with _session(ctx, name) as session:
        return _sent(session.connection.send_user(user, text))


@send.command("group")
@click.argument("group_id", metavar="ID")
@click.argument("text")
@_APP
@click.pass_context
def send_to_group(ctx: click.Context, group_id: str, text: str, name: str | None) -> int:
    """Send TEXT to the group with this ID.

    \b
    Example:
      archiver send group 184524748161025 "meeting at ten"
    """
    with _session(ctx, name) as session:
        return _sent(session.connection.send_group(group_id, text))


def _sent(msg_id: str | None) -> int:
    click.echo(f"sent{'' if msg_id is None else ' as ' + logs.visible(msg_id)}")
    return EXIT_DONE


@click.command()
@click.argument("users", metavar="USER...", nargs=-1, required=True)
@_APP
@click.pass_context
def presence(ctx: click.Context, users: tuple[str, ...], name: str | None) -> int:
    """Query whether users are online. Prints a line per user: "USER online" or "USER offline".

    \b
    Example:
      archiver presence zhangsan lisi
    """
    with _session(ctx, name) as session:
        for user, state in session.connection.fetch_presence(users):
            click.echo(f"{logs.visible(user)} {state}")
    return EXIT_DONE


@click.command()
@click.pass_context
def canary(ctx: click.Context) -> int:
    """Send a marked message, pull until it is archived, and report how long it took.

    \b
    Exit codes: 0 archived; 75 not archived in time; 4 credentials refused.

    \b
    Example:
      archiver canary
    """
    from archiver.service import canarying

    with common.archive(ctx) as (settings, store), common.stop_on_signals() as stop:
        canary = canarying.send_and_wait(settings, store, stop=stop)
    delay_s = ((canary.archived_ms or canary.sent_ms) - canary.sent_ms) / 1000
    click.echo(f"the canary was archived {delay_s:.1f} s after it was sent")
    return EXIT_DONE
