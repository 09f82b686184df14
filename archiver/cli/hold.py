"""`hold`: what must not be deleted, whatever the terms say."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import tzinfo
from functools import wraps
from pathlib import Path
from typing import Any

import click

from archiver import host
from archiver.cli import console, context, decision, options
from archiver.errors import EXIT_DONE
from archiver.lifecycle import holds
from archiver.lifecycle.holds import Hold, Placed
from archiver.store.holds import HoldCriteria, HoldEvent
from archiver.store.read.filters import Filter
from archiver.store.schema import iso
from archiver.view import View

_ID = click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))


@click.group("hold")
def hold_command() -> None:
    """Place, list, widen and release legal holds: what they cover is not deleted.

    \b
    Example:
      archiver hold add "claim of J." --participant xingchen --case K7 \\
          --reason "letter of 2026-11-02"
    """


def _criteria(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what a hold covers; it gets them as `covered`."""

    @wraps(command)
    def with_criteria(
        *arguments: Any,
        criteria: Filter,
        participant: str | None,
        ids: Path | None,
        unreadable: bool,
        zone: tzinfo,  # noqa: ARG001 - by which the times were read
        **given: Any,
    ) -> Any:
        listed = None if ids is None else decision.listed(ids, "--list")
        return command(*arguments, covered=HoldCriteria(criteria, participant, unreadable, listed), **given)

    for option in (
        click.option("--unreadable", is_flag=True, help="Also messages whose sender could not be read."),
        click.option("--list", "ids", metavar="FILE", type=click.Path(path_type=Path), help="Only these message ids."),
        click.option("--participant", metavar="USER", help="Only what this user wrote, received or took part in."),
    ):
        with_criteria = option(with_criteria)
    return options.ZONE(options.envelope_filter(with_criteria))


@hold_command.command("add")
@click.argument("name")
@_criteria
@click.option("--case", "case_id", metavar="ID", required=True, help="Case id.")
@click.option("--reason", metavar="TEXT", required=True, help="Why this must stay.")
@click.pass_context
def add_hold(ctx: click.Context, name: str, case_id: str, reason: str, *, covered: HoldCriteria) -> int:
    """Place a hold. It is in force when this returns, also for messages that come later.

    \b
    Example:
      archiver hold add "claim of J." --participant xingchen --from 2026-06-01 \\
          --case K7 --reason "letter of 2026-11-02"
    """
    with context.archive(ctx, offline=True) as (_, store):
        placed = holds.add(store, name, covered, case_id=case_id, reason=reason, who=host.account())
    say = options.default_view(ctx).language.say
    click.echo(say("hold {number} is in force", number=placed.hold_id))
    if not covered.names_anything():
        click.echo(say("it covers every message"))
    _warn(ctx, covered, placed)
    return EXIT_DONE


@hold_command.command("widen")
@_ID
@_criteria
@click.option("--case", "case_id", metavar="ID", help="Case id. Default: that of the hold.")
@click.option("--reason", metavar="TEXT", required=True, help="Why more must stay.")
@click.pass_context
def widen_hold(ctx: click.Context, number: int, case_id: str | None, reason: str, *, covered: HoldCriteria) -> int:
    """Have a hold cover more, at once: what it covered, and what fits these options.

    \b
    Example:
      archiver hold widen 3 --conversation group-17 --reason "named by J."
    """
    with context.archive(ctx, offline=True) as (_, store):
        placed = holds.widen(store, number, covered, case_id=case_id, reason=reason, who=host.account())
    click.echo(options.default_view(ctx).language.say("hold {number} is in force", number=number))
    _warn(ctx, covered, placed)
    return EXIT_DONE


def _warn(ctx: click.Context, covered: HoldCriteria, placed: Placed) -> None:
    say = options.default_view(ctx).language.say
    if covered.participant is not None:
        click.echo(say("note: who only read in a group is not found; hold such groups by --conversation"), err=True)
    if placed.unarchived:
        text = say("note: {count} messages of the list are not in the archive", count=f"{placed.unarchived:,}")
        click.echo(text, err=True)


@hold_command.command("release")
@_ID
@click.option("--reason", metavar="TEXT", required=True, help="Why this need not stay any longer.")
@click.pass_context
def release_hold(ctx: click.Context, number: int, reason: str) -> int:
    """Ask for the release of a hold. Another person approves it, and it ends 30 days later.

    \b
    Example:
      archiver hold release 3 --reason "settled on 2026-11-20"
    """
    with context.deciding(ctx) as (_, store):
        made = holds.ask_release(store, number, reason, decision.asker())
    decision.say_made(options.default_view(ctx).language, made)
    return EXIT_DONE


@hold_command.command("list")
@options.FORMAT
@options.VIEW
@click.pass_context
def list_holds(ctx: click.Context, *, form: str, view: View) -> int:
    """List holds with their state and what they cover, the latest first; `hold show` counts the messages.

    \b
    Example:
      archiver hold list --format json
    """
    with context.readable(ctx) as (_, store):
        listed = holds.everything(store)
    say = view.language.say
    if form == "json":
        click.echo(json.dumps([_fields(hold) for hold in listed], ensure_ascii=False))
    elif listed:
        columns = (say("id"), say("name"), say("case"), say("state"), view.at(say("ends")), say("covers"))
        rows = [
            (hold.id, hold.name, hold.case_id, _state(hold, view), view.instant(hold.ends_ms), _shortly(hold, view))
            for hold in listed
        ]
        console.table("", columns, rows)
    else:
        click.echo(say("there is no hold"))
    return EXIT_DONE


@hold_command.command("show")
@_ID
@options.FORMAT
@options.VIEW
@click.pass_context
def show_hold(ctx: click.Context, number: int, *, form: str, view: View) -> int:
    """Show a hold: its state, how many messages it covers, and what was done to it.

    \b
    Example:
      archiver hold show 3
    """
    with context.readable(ctx) as (_, store):
        hold = holds.find(store, number)
        counts = holds.count(store, hold)
    if form == "json":
        click.echo(json.dumps(_fields(hold) | counts._asdict(), ensure_ascii=False))
        return EXIT_DONE
    say = view.language.say
    rows = [(say("name"), hold.name), (say("case"), hold.case_id), (say("state"), _state(hold, view))]
    rows += [] if hold.ends_ms is None else [(view.at(say("ends")), view.instant(hold.ends_ms))]
    rows += [(say("messages"), f"{counts.messages:,}"), (say("conversations"), f"{counts.conversations:,}")]
    rows += [(say("listed"), f"{counts.items:,}")] if counts.items else []
    for event in hold.events:
        rows.append((_event(event, view), f"{view.instant(event.at)} {event.who}: {event.reason}"))
        rows += [("", f"{name} {value}") for name, value in _covered(event).items()]
    console.table("", ("", ""), rows)
    return EXIT_DONE


def _shortly(hold: Hold, view: View) -> str:
    """What the rows of a hold cover, in one line."""
    rows = [_covered(event) for event in hold.events if event.event != "released"]
    texts = (", ".join(f"{name} {value}" for name, value in row.items()) for row in rows)
    return "; ".join(text or view.language.say("everything") for text in texts)


def _state(hold: Hold, view: View) -> str:
    say = view.language.say
    return {
        holds.IN_FORCE: say("in force"),
        holds.ENDING: say("in force, release approved"),
        holds.RELEASED: say("released"),
    }[hold.state]


def _event(event: HoldEvent, view: View) -> str:
    say = view.language.say
    return {"placed": say("placed"), "widened": say("widened"), "released": say("release approved")}[event.event]


def _covered(event: HoldEvent) -> dict[str, Any]:
    """The criteria of one row that are no NULL, by the names of the options."""
    given = {name: getattr(event, name) for name in ("app", "sender", "recipient", "conversation", "participant")}
    limits = {"from": event.from_ms, "to": event.to_ms}
    given |= {name: None if ms is None else iso(ms) for name, ms in limits.items()}
    given |= {"unreadable": event.unreadable or None, "list": event.is_list or None}
    return {name: value for name, value in given.items() if value is not None}


def _fields(hold: Hold) -> dict[str, Any]:
    events = [
        {
            "event": event.event,
            "at": iso(event.at),
            "who": event.who,
            "case": event.case_id,
            "reason": event.reason,
            "covers": _covered(event),
        }
        for event in hold.events
    ]
    ends = None if hold.ends_ms is None else iso(hold.ends_ms)
    fields = {"id": hold.id, "name": hold.name, "case": hold.case_id, "state": hold.state, "ends": ends}
    return fields | {"events": events}
