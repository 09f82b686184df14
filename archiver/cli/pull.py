"""`pull`: everything that is due, once."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Event

import click

from archiver import connect, status
from archiver.cli import context, options
from archiver.config import App, Settings
from archiver.errors import ArchiverError, DatabaseRefused, DatabaseUnavailable
from archiver.pull import commands
from archiver.pull.run import PullOptions
from archiver.store.engine import Store
from archiver.view import PLAIN, View


@click.command()
@options.APP
@click.option("--retry-stuck", is_flag=True, help="Also retry stuck windows.")
@click.pass_context
def pull(ctx: click.Context, app: str | None, *, retry_stuck: bool) -> int:
    """Archive everything that is due, once: the command for cron.

    Exit codes: 0 all due windows are closed; 75 try again later; 3 the archive
    has a hole that nobody has accepted; 4 credentials refused; 2 configuration,
    or a database that needs fixing.

    \b
    Example:
      */5 * * * *  archiver --config /etc/archiver/config.toml pull
    """
    with ExitStack() as open_things:
        settings = context.settings(ctx)
        try:
            store = open_things.enter_context(context.opened(settings, writes=True))
        except ArchiverError as error:
            tell_unopened(settings, error)
            raise
        stop = open_things.enter_context(context.stop_on_signals())
        try:
            status.tell_moved_starts(store, status.configured(connect.chosen(settings, app)))
            pulled, view = PullOptions(command="pull", retry_stuck=retry_stuck), options.default_view(ctx)
            code = pull_watched(settings, store, app, pulled, stop, plain=context.plain(ctx), view=view)
        except (DatabaseRefused, DatabaseUnavailable) as error:
            tell_unopened(settings, error)
            raise
        _read_callbacks(settings, store, stop)
        _empty_hashes(settings, store, stop)
        context.publish(settings, store)
        if settings.alerts and not stop.is_set():
            from archiver.service import monitor

            monitor.tell_after_pull(settings, store)
        return code


def _read_callbacks(settings: Settings, store: Store, stop: Event) -> None:
    """What callbacks report never changes the outcome of a pull."""
    if settings.callbacks is not None and not stop.is_set():
        from archiver.callbacks.job import CallbackJob

        CallbackJob(settings, store, stop)()


def _empty_hashes(settings: Settings, store: Store, stop: Event) -> None:
    """Where no daemon runs, pulls do its hourly work, a part at a time."""
    if settings.lifecycle is not None and not stop.is_set():
        from archiver.lifecycle import unsalted

        unsalted.HashJob(settings, store, stop, most=unsalted.BATCHES)()


def tell_unopened(settings: Settings, error: ArchiverError) -> None:
    """Tell [alerts] of a database that cannot be worked with: it cannot remember for us that somebody has to."""
    if settings.alerts:
        from archiver.service import outlet

        outlet.tell_unopened(settings, error)


def pull_watched(
    settings: Settings,
    store: Store,
    app: str | None,
    pulled: PullOptions,
    stop: Event,
    *,
    plain: bool = True,
    view: View = PLAIN,
) -> int:
    """Pull with a progress bar for each app, one below the other; `plain`: with lines of text off a terminal."""
    from archiver.cli.progress import PullBar

    with ExitStack() as bars:

        def watcher(app: App) -> PullBar:
            bars.close()
            return bars.enter_context(PullBar(_title(app), plain=plain, view=view))

        return commands.pull_each(settings, store, app, pulled, stop=stop, watcher=watcher)


def _title(app: App) -> str:
    return app.name if app.source == "cursor" else f"{app.name} {app.source}"
