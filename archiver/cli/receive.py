"""`receive`: accepts the provider's callbacks."""

from __future__ import annotations

import os
import time

import click

from archiver.cli import context
from archiver.errors import EXIT_DONE, ConfigurationError


@click.command()
@click.pass_context
def receive(ctx: click.Context) -> int:
    """Accept callbacks until SIGTERM or SIGINT, and spool them for `run` and `pull`.

    Needs neither the database nor the credentials of the apps. Listens behind a
    proxy that speaks TLS: docs/callbacks.md.

    Exit codes: 0 stopped; 1 the port is taken; 2 configuration.

    \b
    Example:
      archiver --log-format json receive
    """
    from archiver.callbacks import receiver, secrets
    from archiver.callbacks.spooling import SpoolWriter
    from archiver.service.systemd import Notifier

    settings = context.settings(ctx, offline=True)
    context.begin_log(ctx, 0)
    section = settings.callbacks
    if section is None:
        raise ConfigurationError("no callbacks are configured", hint="[callbacks] in the configuration")
    tokens = {app.alias: secrets.token(app) for app in section.apps}
    with context.stop_on_signals() as stop, receiver.listen(section.host, section.port) as bound:
        writer = SpoolWriter(section.spool, lambda: time.time_ns() // 1_000_000)
        try:
            application = receiver.Receiver(tokens, writer, receiver.free_part(section.spool))
            receiver.announce(bound, writer)
            Notifier.of(os.environ).ready()
            receiver.serve(bound, application, writer, stop)
        finally:
            writer.close()
    return EXIT_DONE
