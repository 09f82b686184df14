"""`review`: the page on which officers read the archive in a browser."""

from __future__ import annotations

import logging
import os
import sys

import click

from archiver import connect, host
from archiver.cli import context, options
from archiver.errors import EXIT_DONE, UsageError

_ROLES = ("reader", "officer", "auditor", "operator")
log = logging.getLogger("archiver.review")


@click.command("review")
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    default="officer",
    show_default=True,
    help="Whom the link signs in. Not with [review] listen, where groups of the proxy give roles.",
)
@click.pass_context
def review_command(ctx: click.Context, role: str) -> int:
    """Serve the review page until SIGTERM or SIGINT: search, conversations, coverage, decisions, looks.

    Without [review] listen it is for one person: it prints a link to the terminal that signs in once, within two
    minutes, and answers on this machine alone. With listen it stands behind a proxy that signs people in:
    docs/review.md. Every look is noted in the archive.

    Exit codes: 0 stopped; 1 the port is taken; 2 configuration, rights, or a missing package.

    \b
    Example:
      archiver review
      archiver review --role auditor
    """
    try:
        from archiver.page import commands
        from archiver.page.signin import Person
    except ImportError as error:
        problem = f"`review` needs the package {error.name}"
        raise UsageError(problem, hint="pip install flask jinja2 waitress") from None
    from archiver.service.systemd import Notifier

    settings = context.settings(ctx, offline=True)
    context.begin_log(ctx, 0)
    section, view = settings.review, options.default_view(ctx)
    is_for_one = section is None or section.listen is None
    if is_for_one and not sys.stdout.isatty():
        raise UsageError(
            "the link of `archiver review` signs in whoever reads it, so it is printed to a terminal alone",
            hint="run it in a terminal; a service needs [review] listen",
        )
    with context.stop_on_signals() as stop, context.opened(settings) as store:
        connect.demand_place(store, settings)
        commands.demand_login(store)
        look = commands.PageView(view.calendar, view.language.name)
        if section is None or section.listen is None:
            person = Person(host.account(), frozenset({role}))
            opened = commands.open_for_one(settings, store, person, look)
            click.echo(view.language.say("Open this link within two minutes; it works once:"))
            click.echo(f"\n  {opened.link}\n")
            click.echo(view.language.say("Ctrl+C ends the page."))
        else:
            opened = commands.open_behind_proxy(settings, store, section, look)
            log.info("the review page answers", extra={"fields": {"listen": section.listen, "url": opened.address}})
        Notifier.of(os.environ).ready()
        opened.serve(stop)
    return EXIT_DONE
