"""`conversations`, `participants`, `apps`: what people ask for before they know an id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, tzinfo
from typing import Any

import click

from archiver import directory
from archiver.cli import common, show
from archiver.cli.common import INSTANT
from archiver.errors import EXIT_DONE, EXIT_FAILED
from archiver.zones import Calendar

_FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
_APP = click.option("--app", metavar="NAME", help='Only this app, as "org#app" or "app".')
_LIMIT = click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many, latest first.")


@click.command()
@click.option("--of", "user", metavar="USER", help="Only those in which this user took part.")
@_APP
@click.option("--from", "from_ms", metavar="TIME", type=INSTANT, help="With a message stamped at this time or later.")
@click.option("--to", "to_ms", metavar="TIME", type=INSTANT, help="With a message stamped before this time.")
@common.MONTH
@_LIMIT
@_FORMAT
@common.ZONE
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
    limits = common.in_month(month, zone, from_ms, to_ms)
    with common.archive(ctx, offline=True) as (_, store):
        rows = directory.conversations(store, app=app, user=user, limits=limits, most=limit)
    _print(rows, form, Calendar(zone))
    return EXIT_DONE


@click.command()
@click.option("--like", metavar="TEXT", help="Only ids that contain this text, in any case.")
@_APP
@_LIMIT
@_FORMAT
@common.ZONE
@click.pass_context
def participants(ctx: click.Context, *, like: str | None, app: str | None, limit: int, form: str, zone: tzinfo) -> int:
    """List users who sent something, the latest first.

    \b
    Example:
      archiver participants --like xing
    """
    with common.archive(ctx, offline=True) as (_, store):
        rows = directory.participants(store, app=app, like=like, most=limit)
    _print(rows, form, Calendar(zone))
    return EXIT_DONE


def _print(rows: Sequence[dict[str, Any]], form: str, calendar: Calendar) -> None:
    if form == "json":
        click.echo(json.dumps(rows, ensure_ascii=False))
    elif rows:
        _table(rows, calendar)
    else:
        click.echo("nothing is archived that fits")


def _table(rows: Sequence[dict[str, Any]], calendar: Calendar) -> None:
    """For 80 columns, at which a conversation's id must be readable: the last time alone, and one app as the title."""
    names = {row["app"] for row in rows}
    left_out = {"first_sent_at", *(["app"] if len(names) == 1 else [])}
    shown = [name for name in rows[0] if name not in left_out]
    title = f"{'' if len(names) > 1 else names.pop() + ', '}times in {calendar.name}"
    labels = [name.removesuffix("_sent_at").replace("_", " ") for name in shown]
    show.table(title, labels, ([_cell(name, row[name], calendar) for name in shown] for row in rows))


def _cell(name: str, value: Any, calendar: Calendar) -> Any:
    if not name.endswith(("_at", "_from", "_until")):
        return value
    return (calendar.written(value) or "")[:16].replace("T", " ")


@click.group()
def apps() -> None:
    """List the archived apps; forget a source that never stored anything.

    \b
    Example:
      archiver apps list
      archiver apps forget "easemob-demo#sandbocks"
    """


@apps.command("list")
@_FORMAT
@click.pass_context
def list_apps(ctx: click.Context, *, form: str) -> int:
    """List the apps and sources that the database knows, and whether they are configured.

    \b
    Example:
      archiver apps list
    """
    with common.archive(ctx, offline=True) as (settings, store):
        rows = directory.sources(store, {(app.name, app.source) for app in settings.apps})
    _print(rows, form, Calendar())
    return EXIT_DONE


@apps.command()
@click.argument("name", metavar="NAME")
@click.pass_context
def forget(ctx: click.Context, name: str) -> int:
    """Forget an app without messages, such as one whose name was mistyped. Exits with 1 where it has some.

    \b
    Example:
      archiver apps forget "easemob-demo#sandbocks"
    """
    with common.archive(ctx, offline=True) as (settings, store):
        configured = [app.source for app in settings.apps if app.name == name]
        if configured:
            click.echo(f"{name} is configured ({', '.join(configured)}): take it out first", err=True)
            return EXIT_FAILED
        kept = directory.forget(store, name)
    if kept is not None:
        click.echo(f"{name} is kept: {kept}", err=True)
        return EXIT_FAILED
    click.echo(f"{name} is forgotten")
    return EXIT_DONE
