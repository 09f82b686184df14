"""`statement`: whether a range of time is archived, for people and programs."""

from __future__ import annotations

import json
from datetime import date, datetime, tzinfo

import click

from archiver import __version__, host, logs, statement
from archiver.cli import context, options
from archiver.cli.options import INSTANT, Limits
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE
from archiver.language import Language
from archiver.store.engine import Store
from archiver.zones import Calendar


def tell_gaps(
    store: Store, limits: Limits, app: str | None, wording: statement.StatementWording, *, machine: bool = False
) -> int:
    """Say first, and before anything is printed, what of an asked range is not archived; gives the exit code for it.

    Nothing is said of a range that is covered, nor where no limit was given. `machine`: on standard error.
    """
    if limits == (None, None):
        return EXIT_DONE
    answer = statement.read(store, *limits, app)
    if answer.verdict == "complete":
        return EXIT_DONE
    for line in (wording.first_line(answer), *wording.gaps(answer)):
        click.echo(logs.visible(line), err=machine)
    return EXIT_INCOMPLETE


@click.command("statement")
@click.option("--from", "from_ms", metavar="TIME", type=INSTANT, help="Beginning; default: the archive's.")
@click.option("--to", "to_ms", metavar="TIME", type=INSTANT, help="End, exclusive; default: what is archived so far.")
@options.MONTH
@click.option("--app", metavar="NAME", help='Only this app, as "org#app" or "app".')
@click.option("--format", "form", type=click.Choice(["text", "json", "html"]), default="text", show_default=True)
@options.ZONE
@options.LANGUAGE
@click.pass_context
def statement_command(
    ctx: click.Context,
    *,
    from_ms: int | None,
    to_ms: int | None,
    month: tuple[date, date] | None,
    app: str | None,
    form: str,
    zone: tzinfo,
    language: Language,
) -> int:
    """State whether a range of time is archived, and what in it is not.

    Exits with 0 if the range is covered as a whole, else with 3. Dates without a zone are read in --zone.

    \b
    Example:
      archiver statement --month 2026-10 --zone Asia/Shanghai
      archiver statement --from 2026-10-01 --to 2026-11-01 --format html \\
          --language zh > statement.html
    """
    limits = options.in_month(month, zone, from_ms, to_ms)
    with context.readable(ctx) as (_, store):
        answer = statement.read(store, *limits, app)
    wording = statement.StatementWording(language, Calendar(zone))
    if form == "json":
        click.echo(json.dumps(answer.to_json(), ensure_ascii=False))
    elif form == "html":
        when = datetime.now(zone).isoformat(sep=" ", timespec="seconds")
        by = language.say(
            "Written {when} on {host} by archiver {version}.", when=when, host=host.name(), version=__version__
        )
        click.echo(statement.page(answer, wording, language, by), nl=False)
    else:
        for line in statement.text(answer, wording):
            click.echo(logs.visible(line))
    return EXIT_DONE if answer.verdict == "complete" else EXIT_INCOMPLETE
