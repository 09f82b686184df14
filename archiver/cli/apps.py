"""`apps`: what the database knows, and the removal of a mistyped name."""

from __future__ import annotations

import click

from archiver import directory
from archiver.cli import context, listing, options
from archiver.errors import EXIT_DONE, EXIT_FAILED
from archiver.view import View


@click.group()
def apps() -> None:
    """List the archived apps; forget a source that never stored anything.

    \b
    Example:
      archiver apps list
      archiver apps forget "easemob-demo#sandbocks"
    """


@apps.command("list")
@options.FORMAT
@options.VIEW
@click.pass_context
def list_apps(ctx: click.Context, *, form: str, view: View) -> int:
    """List the apps and sources that the database knows, and whether they are configured.

    \b
    Example:
      archiver apps list
    """
    with context.readable(ctx) as (settings, store):
        rows = directory.sources(store, {(app.name, app.source) for app in settings.apps})
    listing.print_rows(rows, form, view)
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
    with context.archive(ctx, offline=True) as (settings, store):
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
