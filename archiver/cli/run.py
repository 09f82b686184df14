"""`run`: the daemon."""

from __future__ import annotations

import os

import click

from archiver.cli import context, pull
from archiver.errors import UsageError


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

    with context.stop_on_signals() as stop, context.hangups() as hangup:
        settings = context.settings(ctx)
        context.begin_log(ctx, 0)
        try:
            with context.opened(settings, at_head=False) as store:
                daemon = Daemon(
                    store,
                    stop,
                    hangup=hangup,
                    reload=lambda: context.read_settings(ctx),
                    notifier=Notifier.of(os.environ),
                )
                return daemon.run(settings)
        except UsageError as error:
            pull.tell_unopened(settings, error)
            raise
