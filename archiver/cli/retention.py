"""`retention`: how long the messages of an app must stay, and may."""

from __future__ import annotations

import json
from typing import Any

import click

from archiver import host
from archiver.cli import console, context, options
from archiver.errors import EXIT_DONE
from archiver.lifecycle import retention
from archiver.store.schema import iso
from archiver.view import View


class Term(click.ParamType[str]):
    """A term as its canonical text; `none` stays `none`, as an option that is not given is None."""

    name = "term"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return retention.parse(value) or "none"
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group("retention")
def retention_command() -> None:
    """Show and set how long the messages of an app are kept. Nothing is deleted by this.

    \b
    Example:
      archiver retention set --app acme#shop --at-least 5y --reason "tax law"
    """


@retention_command.command("show")
@options.FORMAT
@options.VIEW
@click.pass_context
def show_terms(ctx: click.Context, *, form: str, view: View) -> int:
    """Show the terms of every app, and who set them.

    \b
    Example:
      archiver retention show
    """
    with context.readable(ctx) as (_, store):
        shown = retention.show(store)
    say = view.language.say
    if form == "json":
        fields = [
            {
                "app": one.app,
                **one.terms._asdict(),
                "reason": one.reason,
                "who": one.who,
                "at": None if one.at_ms is None else iso(one.at_ms),
            }
            for one in shown
        ]
        click.echo(json.dumps(fields, ensure_ascii=False))
    elif shown:
        columns = (say("app"), say("at least"), say("at most"), say("set by"), view.at(say("set")), say("reason"))
        nothing = say("none")
        rows = [
            (
                *(one.app, one.terms.keep_at_least or nothing, one.terms.keep_at_most or nothing),
                *(one.who or "", view.instant(one.at_ms), one.reason or ""),
            )
            for one in shown
        ]
        console.table("", columns, rows)
    else:
        click.echo(say("nothing was pulled yet: there is no app"))
    return EXIT_DONE


@retention_command.command("set")
@click.option("--app", "app", metavar="NAME", required=True, help='Whose messages, as "org#app" or "app".')
@click.option("--at-least", metavar="TERM", type=Term(), help="Not deleted before: 5y, 1826d or none.")
@click.option("--at-most", metavar="TERM", type=Term(), help="Due for deletion after: 5y, 1826d or none.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; recorded for the auditor.")
@click.pass_context
def set_terms(ctx: click.Context, app: str, at_least: str | None, at_most: str | None, reason: str) -> int:
    """Set the terms of an app. Longer ones are in force at once; shorter ones need another person's approval.

    \b
    Example:
      archiver retention set --app acme#shop --at-least 5y --at-most 10y \\
          --reason "tax law; PIPL 19"
    """
    given = {"keep_at_least": at_least, "keep_at_most": at_most}
    wanted = {name: None if term == "none" else term for name, term in given.items() if term is not None}
    if not wanted:
        raise click.UsageError("give --at-least, --at-most or both")
    with context.archive(ctx, offline=True) as (_, store):
        outcome = retention.change(store, app, wanted, reason=reason, who=host.account())
    say = options.default_view(ctx).language.say
    if outcome.request is None:
        nothing = say("none")
        least, most = (term or nothing for term in outcome.terms)
        click.echo(say("in force: at least {least}, at most {most}", least=least, most=most))
    else:
        number = outcome.request
        click.echo(say("something becomes shorter, so two persons decide"))
        click.echo(say("request {number} is made; another person: archiver requests approve {number}", number=number))
    return EXIT_DONE
