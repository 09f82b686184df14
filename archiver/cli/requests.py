"""`requests`: what somebody asked for, and what others say to it."""

from __future__ import annotations

import json
from typing import Any

import click

from archiver import host
from archiver.cli import console, context, options
from archiver.errors import EXIT_DONE
from archiver.lifecycle import decisions
from archiver.logs import visible
from archiver.store.decisions import Asked
from archiver.store.schema import iso
from archiver.view import View

_ID = click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))


@click.group("requests")
def requests_command() -> None:
    """List, show, approve and refuse what needs two persons.

    \b
    Example:
      archiver requests list
      archiver requests approve 7
    """


@requests_command.command("list")
@click.option("--all", "everything", is_flag=True, help="Include those that are over.")
@options.FORMAT
@options.VIEW
@click.pass_context
def list_requests(ctx: click.Context, *, everything: bool, form: str, view: View) -> int:
    """List requests that wait for somebody, the latest first.

    \b
    Example:
      archiver requests list --all --format json
    """
    with context.readable(ctx) as (_, store):
        asked = decisions.inbox(store, everything=everything)
    say = view.language.say
    if form == "json":
        click.echo(json.dumps([_fields(one) for one in asked], ensure_ascii=False))
    elif asked:
        columns = (say("id"), say("kind"), say("asked by"), view.at(say("asked")), say("state"))
        rows = [(one.id, one.kind, one.who, view.instant(one.at_ms), view.decision(one.state)) for one in asked]
        console.table("", columns, rows)
    else:
        click.echo(say("no request waits"))
    return EXIT_DONE


@requests_command.command("show")
@_ID
@options.VIEW
@click.pass_context
def show_request(ctx: click.Context, number: int, *, view: View) -> int:
    """Show what a request is about, and what was said to it.

    \b
    Example:
      archiver requests show 7
    """
    with context.readable(ctx) as (_, store):
        asked = decisions.find(store, number)
    say = view.language.say
    rows = [(say("kind"), asked.kind), (say("asked by"), asked.who), (view.at(say("asked")), view.instant(asked.at_ms))]
    rows += [(name, json.dumps(value, ensure_ascii=False)) for name, value in asked.body.items()]
    rows += [(view.decision(one.decision), f"{one.who}, {view.instant(one.at_ms)}") for one in asked.decided]
    rows.append(("sha256", asked.body_sha256))
    console.table("", ("", ""), rows)
    return EXIT_DONE


@requests_command.command("approve")
@_ID
@click.pass_context
def approve_request(ctx: click.Context, number: int) -> int:
    """Approve exactly what somebody else asks for. It has to be begun within 7 days.

    The release of a hold and a shorter term are carried out by the approval itself.

    \b
    Example:
      archiver requests show 7 && archiver requests approve 7
    """
    with context.archive(ctx, offline=True) as (_, store):
        asked = decisions.approve(store, number, host.account())
    say = options.default_view(ctx).language.say
    if asked.kind in decisions.CARRIED_OUT:
        click.echo(say("request {number} is approved and carried out", number=number))
    else:
        click.echo(say("request {number} is approved; the same command with --request carries it out", number=number))
    return EXIT_DONE


@requests_command.command("refuse")
@_ID
@click.pass_context
def refuse_request(ctx: click.Context, number: int) -> int:
    """Refuse a request, or take an approval back before it is begun.

    \b
    Example:
      archiver requests refuse 7
    """
    return _end(ctx, number, own=False)


@requests_command.command("withdraw")
@_ID
@click.pass_context
def withdraw_request(ctx: click.Context, number: int) -> int:
    """Withdraw a request of your own.

    \b
    Example:
      archiver requests withdraw 7
    """
    return _end(ctx, number, own=True)


def _end(ctx: click.Context, number: int, *, own: bool) -> int:
    with context.archive(ctx, offline=True) as (_, store):
        asked = decisions.refuse(store, number, host.account(), own=own)
    view = options.default_view(ctx)
    click.echo(view.language.say("request {number}: {state}", number=number, state=view.decision(asked.state)))
    return EXIT_DONE


def _fields(asked: Asked) -> dict[str, Any]:
    decided = [{"decision": one.decision, "who": one.who, "at": iso(one.at_ms)} for one in asked.decided]
    fields = {"id": asked.id, "kind": asked.kind, "state": asked.state, "who": visible(asked.who)}
    return {**fields, "at": iso(asked.at_ms), "body": asked.body, "decided": decided}
