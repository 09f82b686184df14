"""`retention`: how long the messages of an app must stay, and may."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal, InvalidOperation
from threading import Event
from typing import Any

import click

from archiver import host, http
from archiver.cli import console, context, options
from archiver.cli.decision import asker, say_made
from archiver.config import Settings
from archiver.errors import EXIT_DONE, ArchiverError, DatabaseRefused, UsageError
from archiver.lifecycle import expiry, retention
from archiver.lifecycle.expiry import RunWish
from archiver.sessions import open_session
from archiver.store.engine import Store
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
    """Show and set how long the messages of an app are kept, and delete what is over.

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
    with context.deciding(ctx) as (_, store):
        outcome = retention.change(store, app, wanted, reason=reason, asker=asker())
    say = options.default_view(ctx).language.say
    if outcome.request is None:
        nothing = say("none")
        least, most = (term or nothing for term in outcome.terms)
        click.echo(say("in force: at least {least}, at most {most}", least=least, most=most))
    else:
        click.echo(say("something becomes shorter, so two persons decide"))
        say_made(options.default_view(ctx).language, outcome.request)
    return EXIT_DONE


class Share(click.ParamType[Decimal]):
    """A part of the archive, from 0 to 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            share = Decimal(str(value))
        except InvalidOperation:
            share = Decimal(0)
        if not 0 < share <= 1:
            self.fail(f"{value!r} is no share: more than 0, at most 1", param, ctx)
        return share


class DayType(click.ParamType[date]):
    """A date."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date: 2027-01-04", param, ctx)


@retention_command.command("plan")
@click.option("--app", "app", metavar="NAME", required=True, help='Whose messages, as "org#app" or "app".')
@click.option("--max-share", metavar="SHARE", type=Share(), help="Allow a larger share than [lifecycle] max_share.")
@click.option(
    "--today", metavar="DATE", type=DayType(), help="Today, where no server can be asked; the approver confirms."
)
@click.pass_context
def plan_run(ctx: click.Context, app: str, max_share: Decimal | None, today: date | None) -> int:
    """Count what is over by the terms of an app, and ask for its deletion. Nothing is deleted by this.

    \b
    Example:
      archiver retention plan --app acme#shop
    """
    with context.deciding(ctx) as (settings, store):
        _demand_deletion(settings)
        planned = expiry.plan(store, RunWish(app, max_share, today), asker())
    view, would = options.default_view(ctx), planned.would
    say = view.language.say
    rows = [
        (say("messages"), f"{would.messages:,}"),
        (say("bytes"), f"{would.bytes:,}"),
        (say("files"), f"{would.files:,} ({would.file_bytes:,})"),
        (say("records in quarantine"), f"{planned.records:,}"),
        (view.at(say("first")), view.instant(would.first_ms)),
        (view.at(say("last")), view.instant(would.last_ms)),
        (say("stamped before 2000"), f"{would.before_2000:,}"),
        (view.at(say("everything before")), view.instant(planned.floor_ms)),
        *((month, f"{count:,} ({size:,})") for month, (count, size) in would.by_month.items()),
        *((say("kept by hold {name}", name=f"{one.hold} {one.name}"), f"{one.messages:,}") for one in would.held),
    ]
    console.table("", ("", ""), rows)
    say_made(view.language, planned.request)
    if not planned.request.is_draft:
        click.echo(say("then: archiver retention apply {number}", number=planned.request.number))
    return EXIT_DONE


@retention_command.command("apply")
@click.argument("number", metavar="REQUEST", type=click.IntRange(1, 2**63 - 1))
@click.pass_context
def apply_run(ctx: click.Context, number: int) -> int:
    """Delete what an approved plan asks for. After a stop, the same command goes on.

    \b
    Example:
      archiver retention apply 12
    """
    with context.archive(ctx, writes=True) as (settings, store), context.stop_on_signals() as stop:
        _demand_deletion(settings)
        done = expiry.apply(
            *(store, settings, number, host.account()),
            server_ms=lambda: _server_ms(settings, store, stop),
            stop=stop,
        )
    say = options.default_view(ctx).language.say
    count, in_all = f"{done.messages:,}", f"{done.in_all:,}"
    click.echo(say("{count} messages are deleted, {in_all} by this request in all", count=count, in_all=in_all))
    if done.records:
        click.echo(say("{count} records in quarantine are emptied", count=f"{done.records:,}"))
    return EXIT_DONE


def _demand_deletion(settings: Settings) -> None:
    if settings.lifecycle is not None and not settings.lifecycle.deletion:
        raise UsageError("nothing is deleted here ([lifecycle] deletion = false)")


def _server_ms(settings: Settings, store: Store, stop: Event) -> int | None:
    """The time of the first provider that answers."""
    for app in settings.apps:
        try:
            with open_session(app, settings, store, stop) as session, http.haste():
                session.connection.sign_in()
                return session.source.fetch_now()
        except DatabaseRefused:
            raise
        except ArchiverError:
            continue
    return None
