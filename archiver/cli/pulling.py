"""`pull`, `run`, `backfill`, `audit`: the commands that read from the provider."""

from __future__ import annotations

import os
from contextlib import ExitStack
from threading import Event

import click

from archiver import connect, status
from archiver.cli import common
from archiver.cli.common import INSTANT
from archiver.config import App, Settings
from archiver.errors import EXIT_DONE, ArchiverError, DatabaseRefused, DatabaseUnavailable, UsageError
from archiver.pull import commands
from archiver.pull.run import PullOptions
from archiver.store.engine import Store

_APP = click.option("--app", "name", metavar="NAME", help='Only this app, as "org#app" or "app".')


@click.command()
@_APP
@click.option("--retry-stuck", is_flag=True, help="Also retry stuck windows.")
@click.pass_context
def pull(ctx: click.Context, name: str | None, *, retry_stuck: bool) -> int:
    """Archive everything that is due, once: the command for cron.

    \b
    Exit codes: 0 all due windows are closed; 75 try again later; 3 the archive
    has a hole that nobody has accepted; 4 credentials refused; 2 configuration,
    or a database that needs fixing.

    \b
    Example:
      */5 * * * *  archiver --config /etc/archiver/config.toml pull
    """
    with ExitStack() as open_things:
        settings = common.settings(ctx)
        try:
            store = open_things.enter_context(connect.opened(settings))
        except ArchiverError as error:
            tell_unopened(settings, error)
            raise
        stop = open_things.enter_context(common.stop_on_signals())
        try:
            status.tell_moved_starts(store, status.configured(connect.chosen(settings, name)))
            options = PullOptions(command="pull", retry_stuck=retry_stuck)
            code = pull_watched(settings, store, name, options, stop, plain=common.plain(ctx))
        except (DatabaseRefused, DatabaseUnavailable) as error:
            tell_unopened(settings, error)
            raise
        if settings.alerts and not stop.is_set():
            from archiver.service import monitor

            monitor.tell_after_pull(settings, store)
        return code


def tell_unopened(settings: Settings, error: ArchiverError) -> None:
    """Tell [alerts] of a database that cannot be worked with: it cannot remember for us that somebody has to."""
    if settings.alerts:
        from archiver.service import monitor

        monitor.tell_unopened(settings, error)


def pull_watched(
    settings: Settings, store: Store, name: str | None, options: PullOptions, stop: Event, *, plain: bool = True
) -> int:
    """Pull with a progress bar for each app, one below the other; `plain`: with lines of text off a terminal."""
    from archiver.cli.show import Bar

    with ExitStack() as bars:

        def watcher(app: App) -> Bar:
            bars.close()
            return bars.enter_context(Bar(_title(app), plain=plain))

        return commands.pull_each(settings, store, name, options, stop=stop, watcher=watcher)


def _title(app: App) -> str:
    return app.name if app.source == "cursor" else f"{app.name} {app.source}"


@click.command()
@click.pass_context
def run(ctx: click.Context) -> int:
    """Archive on a schedule until SIGTERM or SIGINT: the command for a service.

    SIGHUP reloads the configuration. With [metrics] it serves /metrics, /healthz
    and /readyz; under systemd it reports readiness and status.

    \b
    Example:
      archiver --log-format json run
    """
    from archiver.service.daemon import Daemon
    from archiver.service.systemd import Notifier

    with common.stop_on_signals() as stop, common.hangups() as hangup:
        settings = common.settings(ctx)
        common.begin_log(ctx, 0)
        try:
            with connect.opened(settings, at_head=False) as store:
                daemon = Daemon(
                    store,
                    stop,
                    hangup=hangup,
                    reload=lambda: common.read_settings(ctx),
                    notifier=Notifier.of(os.environ),
                )
                return daemon.run(settings)
        except UsageError as error:
            tell_unopened(settings, error)
            raise


@click.command()
@click.option("--from", "from_ms", type=INSTANT, required=True, help="How far back, inclusive.")
@click.option("--to", "to_ms", type=INSTANT, help="Up to where; default: the beginning of the archive.")
@_APP
@click.option("--workers", type=click.IntRange(1, 64), help="Number of windows walked at the same time.")
@click.pass_context
def backfill(ctx: click.Context, from_ms: int, to_ms: int | None, name: str | None, workers: int | None) -> int:
    """Extend the archive to earlier times. An interrupted backfill continues where it stopped.

    \b
    Example:
      archiver backfill --from 2026-01-01T00:00:00+08:00
    """
    options = PullOptions(command="backfill", live=False, backfill=True, workers=workers)
    with common.archive(ctx) as (settings, store), common.stop_on_signals() as stop:
        if not commands.plan_backfill(settings, store, name, from_ms, to_ms):
            click.echo("the archive reaches back that far already")
        return pull_watched(settings, store, name, options, stop, plain=common.plain(ctx))


@click.command()
@click.option("--from", "from_ms", type=INSTANT, required=True)
@click.option("--to", "to_ms", type=INSTANT, required=True)
@_APP
@click.pass_context
def audit(ctx: click.Context, from_ms: int, to_ms: int, name: str | None) -> int:
    """Walk a closed range again. Missing messages are stored and reported, with exit code 3.

    \b
    Example:
      archiver audit --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z
    """
    with common.archive(ctx) as (settings, store), common.stop_on_signals() as stop:
        code = commands.audit_each(settings, store, name, common.stretch(from_ms, to_ms), stop=stop)
    if code == EXIT_DONE:
        click.echo("nothing was missing")
    return code
