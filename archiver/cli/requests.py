"""`requests`: what somebody asked for, and what others say to it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from archiver.cli import console, context, options
from archiver.cli.decision import asker
from archiver.errors import EXIT_DONE, UsageError
from archiver.lifecycle import adopting, decisions
from archiver.logs import visible
from archiver.store.decisions import Asked
from archiver.store.drafts import RequestDraft
from archiver.store.schema import iso
from archiver.view import View


class RequestName(NamedTuple):
    """A request by its number, or a draft."""

    number: int
    is_draft: bool = False


class RequestType(click.ParamType[RequestName]):
    """The number of a request, or draft-3."""

    name = "request"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> RequestName:
        if isinstance(value, RequestName):
            return value
        digits = str(value).removeprefix("draft-")
        if not re.fullmatch("[0-9]{1,19}", digits, re.ASCII) or not 1 <= int(digits) < 2**63:
            self.fail(f"{value!r} is no request: 7, or draft-3", param, ctx)
        return RequestName(int(digits), str(value).startswith("draft-"))


_ID = click.argument("which", metavar="ID", type=RequestType())


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
    """List requests that wait for somebody, the latest first; behind drafts, which the review page adopts.

    \b
    Example:
      archiver requests list --all --format json
    """
    with context.readable(ctx) as (_, store):
        drafts, asked = adopting.everything(store), decisions.inbox(store, everything=everything)
    say = view.language.say
    if form == "json":
        fields = [*map(_draft_fields, drafts), *map(_fields, asked)]
        click.echo(json.dumps(fields, ensure_ascii=False))
    elif drafts or asked:
        columns = (say("id"), say("kind"), say("asked by"), view.at(say("asked")), say("state"))
        rows = [(one.name, one.kind, one.who, view.instant(one.at_ms), say("draft")) for one in drafts]
        rows += [(str(one.id), one.kind, one.who, view.instant(one.at_ms), view.decision(one.state)) for one in asked]
        console.table("", columns, rows)
    else:
        click.echo(say("no request waits"))
    return EXIT_DONE


@requests_command.command("show")
@_ID
@options.VIEW
@click.pass_context
def show_request(ctx: click.Context, which: RequestName, *, view: View) -> int:
    """Show what a request is about, and what was said to it; or a draft, as draft-3.

    \b
    Example:
      archiver requests show 7
    """
    with context.readable(ctx) as (_, store):
        if which.is_draft:
            _print_draft(adopting.find(store, which.number), view)
            return EXIT_DONE
        asked = decisions.find(store, which.number)
    say = view.language.say
    rows = [(say("kind"), asked.kind), (say("asked by"), asked.who), (view.at(say("asked")), view.instant(asked.at_ms))]
    rows += _facts(asked.body)
    rows += [(view.decision(one.decision), f"{one.who}, {view.instant(one.at_ms)}") for one in asked.decided]
    rows.append(("sha256", asked.body_sha256))
    console.table("", ("", ""), rows)
    return EXIT_DONE


def _print_draft(draft: RequestDraft, view: View) -> None:
    say = view.language.say
    rows = [
        (say("kind"), draft.kind),
        (say("drafted by"), draft.who),
        (view.at(say("drafted")), view.instant(draft.at_ms)),
    ]
    console.table("", ("", ""), [*rows, *_facts(draft.would or {})])
    click.echo(say("this is a draft: on the review page somebody adopts it, and another person approves"))


def _facts(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, json.dumps(value, ensure_ascii=False)) for name, value in body.items()]


@requests_command.command("approve")
@_ID
@click.pass_context
def approve_request(ctx: click.Context, which: RequestName) -> int:
    """Approve exactly what somebody else asks for. It has to be begun within 7 days.

    The release of a hold and a shorter term are carried out by the approval itself.

    \b
    Example:
      archiver requests show 7 && archiver requests approve 7
    """
    number = _demand_number(which)
    with context.deciding(ctx) as (_, store):
        asked = decisions.approve(store, number, asker())
    say = options.default_view(ctx).language.say
    if asked.kind in decisions.CARRIED_OUT:
        click.echo(say("request {number} is approved and carried out", number=number))
    else:
        click.echo(say("request {number} is approved; the same command with --request carries it out", number=number))
    return EXIT_DONE


@requests_command.command("refuse")
@_ID
@click.pass_context
def refuse_request(ctx: click.Context, which: RequestName) -> int:
    """Refuse a request, or take an approval back before it is begun.

    \b
    Example:
      archiver requests refuse 7
    """
    return _end(ctx, which, own=False)


@requests_command.command("withdraw")
@_ID
@click.pass_context
def withdraw_request(ctx: click.Context, which: RequestName) -> int:
    """Withdraw a request of your own.

    \b
    Example:
      archiver requests withdraw 7
    """
    return _end(ctx, which, own=True)


def _demand_number(which: RequestName) -> int:
    if which.is_draft:
        hint = "sign in on the review page (archiver review), and decide there"
        raise UsageError("drafts are adopted, or dropped, on the review page alone", hint=hint)
    return which.number


def _end(ctx: click.Context, which: RequestName, *, own: bool) -> int:
    number = _demand_number(which)
    with context.deciding(ctx) as (_, store):
        asked = decisions.refuse(store, number, asker(), own=own)
    view = options.default_view(ctx)
    click.echo(view.language.say("request {number}: {state}", number=number, state=view.decision(asked.state)))
    return EXIT_DONE


def _draft_fields(draft: RequestDraft) -> dict[str, Any]:
    fields = {"id": draft.name, "kind": draft.kind, "state": "draft", "who": visible(draft.who)}
    return {**fields, "at": iso(draft.at_ms), "body": draft.would, "decided": []}


def _fields(asked: Asked) -> dict[str, Any]:
    decided = [{"decision": one.decision, "who": one.who, "at": iso(one.at_ms)} for one in asked.decided]
    fields = {"id": asked.id, "kind": asked.kind, "state": asked.state, "who": visible(asked.who)}
    return {**fields, "at": iso(asked.at_ms), "body": asked.body, "decided": decided}
