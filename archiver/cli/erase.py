"""`erase`: what must go although nothing has expired, as two persons decide."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from threading import Event

import click

from archiver import connect, erasures_file, host
from archiver.cli import console, context, options
from archiver.cli.context import Case
from archiver.cli.decision import asker, demand_deletion, listed, say_made
from archiver.cli.transcript import ConversationLines
from archiver.config import Settings
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_LATER, ConfigurationError, UsageError
from archiver.lifecycle import certificate, erasing, erasure_run, reapplying
from archiver.lifecycle.erasing import ErasureAsked, ErasureWish
from archiver.store import installation, wiping
from archiver.store.engine import Store
from archiver.store.read.filters import Filter
from archiver.view import View

_REQUEST = click.argument("number", metavar="REQUEST", type=click.IntRange(1, 2**63 - 1))
_MOST_SHOWN = 100
_READERS_WITHIN_S = 300.0


@click.group("erase")
def erase_command() -> None:
    """Ask for the erasure of messages, carry it out, certify it.

    \b
    Example:
      archiver erase request --sender xingchen --case E3 \\
          --reason "letter of 2026-11-02"
    """


@erase_command.command("request")
@options.message_filter
@click.option("--ids", "ids", metavar="FILE", type=click.Path(path_type=Path), help="These message ids of one --app.")
@click.option("--include", "include", metavar="FILE", type=click.Path(path_type=Path),
              help="Message ids among those that quote the messages: they go as well.")  # fmt: skip
@click.option("--case", "case_id", metavar="ID", required=True, help="Case id.")
@click.option("--reason", metavar="TEXT", required=True, help="Why this must go.")
@options.VIEW
@click.pass_context
def request_erasure(
    ctx: click.Context,
    ids: Path | None,
    include: Path | None,
    case_id: str,
    reason: str,
    *,
    criteria: Filter,
    view: View,
) -> int:
    """Ask for the erasure of messages. Nothing is erased by this: another person approves it.

    Lists the ids of messages that quote them, of the same app: forwarded or quoted texts, edits under another id, and
    ids in ext. Give those that are to go as well by --include, one a line, in a new request.

    \b
    Example:
      archiver erase request --app acme#shop --ids list.txt --case E3 \\
          --reason "letter of 2026-11-02"
    """
    wish = ErasureWish(
        criteria,
        None if ids is None else listed(ids, "--ids"),
        () if include is None else listed(include, "--include"),
        *(case_id, reason),
    )
    with context.deciding(ctx) as (settings, store):
        demand_deletion(settings)
        asked = erasing.ask(store, wish, asker())
    _tell(asked, view)
    return EXIT_DONE


def _tell(asked: ErasureAsked, view: View) -> None:
    say = view.language.say
    rows = [(say("messages"), f"{asked.messages:,}"), (say("included, as they quote them"), f"{asked.included:,}")]
    rows += [(say("not in the archive"), f"{asked.unarchived:,}")] if asked.unarchived else []
    quarantined = say("not visible to this login") if asked.quarantined is None else f"{asked.quarantined:,}"
    rows += [(say("records in quarantine that name them"), quarantined)]
    rows += [(say("exports that had them"), f"{len(asked.exports):,}")]
    rows += [(say("others that quote them"), f"{len(asked.left):,}")]
    console.table("", ("", ""), rows)
    whys = {"text": say("the text"), "id": say("the id")}
    if shown := asked.left[:_MOST_SHOWN]:
        console.table("", (say("message"), say("has")), [(one.msg_id, whys[one.why]) for one in shown])
        number = f"{len(asked.left):,}"
        click.echo(say("{count} messages quote these and stay; to erase some: --include FILE, and ask again",
                       count=number))  # fmt: skip
    say_made(view.language, asked.request)


@erase_command.command("show")
@_REQUEST
@options.CASE
@options.VIEW
@click.pass_context
def show_erasure(ctx: click.Context, number: int, *, case: Case, view: View) -> int:
    """Print the messages of a request that are there, also those that are sealed. This is a look.

    \b
    Example:
      archiver erase show 7
    """
    with context.lookable(ctx, case) as (_, store, looks):
        asked = erasing.find(store, number)
        state = erasing.count(store, number)
        say = view.language.say
        click.echo(say("{named} messages, {erased} erased, {sealed} sealed", **{
            name: f"{value:,}" for name, value in state._asdict().items()
        }))  # fmt: skip
        seen = [(app, None) for app in asked.body["apps"]]
        with looks.stream("sealed", {"request": number}, seen) as streamed:
            lines = ConversationLines(view)
            for _, page in erasing.shown(store, number):
                streamed.shown += len(page)
                sys.stdout.write("".join(f"{line}\n" for one in page for line in lines.lines(one)))
                sys.stdout.flush()
    return EXIT_DONE


@erase_command.command("run")
@_REQUEST
@click.pass_context
def run_erasure(ctx: click.Context, number: int) -> int:
    """Erase what an approved request names. After a stop, the same command goes on.

    What a hold keeps, or a term that is running, is sealed: nothing shows it any more. Then this exits with 3, and the
    same command erases it when it may go. With evidence it ends when the erasure is anchored, and waits up to 5 minutes
    for that; 75: erased, and not anchored yet.

    \b
    Example:
      archiver erase run 7
    """
    with context.archive(ctx, offline=True, writes=True) as (settings, store), context.stop_on_signals() as stop:
        demand_deletion(settings)
        done = erasure_run.run(store, number, host.account(), _file(settings), stop=stop)
        anchored = _noted(settings, number) & _anchored(store, settings, stop)
    say = options.default_view(ctx).language.say
    click.echo(say("{count} messages and {records} records in quarantine are erased",
                   count=f"{done.messages:,}", records=f"{done.records:,}"))  # fmt: skip
    if not done.is_whole:
        click.echo(say("{count} messages and {records} records have to stay, and are sealed; run this again later",
                       count=f"{done.sealed:,}", records=f"{done.sealed_records:,}"))  # fmt: skip
        return EXIT_INCOMPLETE
    if not anchored:
        click.echo(say("the erasure is not anchored yet: archiver evidence seal"), err=True)
        return EXIT_LATER
    return EXIT_DONE


def _file(settings: Settings) -> Path:
    if settings.erasures_file is None:
        problem = "[lifecycle] erasures_file is missing; neither STATE_DIRECTORY nor HOME says where state belongs"
        raise ConfigurationError(problem)
    return settings.erasures_file


def _noted(settings: Settings, number: int) -> bool:
    """Whether the sinks that can be read again have the lines on this erasure: a restore may take the file along."""
    if settings.evidence is None:
        return True
    from archiver.evidence import sinks

    mine = [line for line in erasures_file.read(_file(settings)) if line.request == number]
    return sinks.note_erasures(settings, erasures_file.encoded(mine))


def _anchored(store: Store, settings: Settings, stop: Event) -> bool:
    if settings.evidence is None:
        return True
    from archiver.evidence import sinks

    return erasure_run.is_anchored(sinks.publisher(store, settings), stop)


@erase_command.command("wipe")
@click.pass_context
def wipe_files(ctx: click.Context) -> int:
    """Take the bytes of what was deleted out of the database's files, in a maintenance window.

    SQLite: merges the search index, rewrites the file and empties the log, with disk for a second copy. PostgreSQL:
    rewrites the tables, as their owner; nobody can read a table meanwhile. 75: somebody still reads an older state.

    \b
    Example:
      archiver erase wipe
    """
    with context.archive(ctx, offline=True) as (_, store), context.stop_on_signals() as stop:
        wiping.wipe(store, stop.wait, _READERS_WITHIN_S)
        with store.write() as tx:
            installation.wiped(tx)
    click.echo(options.default_view(ctx).language.say("the files hold nothing of what was deleted"))
    return EXIT_DONE


@erase_command.command("certificate")
@_REQUEST
@click.option("--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="A new file, in JSON.")
@click.pass_context
def certify(ctx: click.Context, number: int, output: Path) -> int:
    """Write what was erased by whose decision, what stays and why, and who has copies. Exits with 3 while some of it
    has to stay and is sealed.

    \b
    Example:
      archiver erase certificate 7 --output erasure-7.json
    """
    with context.readable(ctx) as (_, store):
        made = certificate.make(store, number)
    text = json.dumps(made, ensure_ascii=False, indent=2) + "\n"
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, host.file_mode())
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}", hint="another --output") from None
    say = options.default_view(ctx).language.say
    count = f"{made['messages']['erased']:,}"
    click.echo(say("{count} messages are erased; {bytes}", count=count, bytes=made["bytes"]))
    return EXIT_DONE if made["complete"] else EXIT_INCOMPLETE


@erase_command.command("reapply")
@click.pass_context
def reapply_erasures(ctx: click.Context) -> int:
    """After a restore, erase again what the restored database brought back, by the file of erasures.

    Until then every program pulls, and shows, indexes and exports nothing. What an approved request of then still names
    is erased at once; else this makes a request, which another person approves, and is run again.

    \b
    Example:
      archiver erase reapply
    """
    with context.archive(ctx, offline=True, writes=True) as (settings, store), context.stop_on_signals() as stop:
        more: Iterable[str] = ()
        if settings.evidence is not None:
            from archiver.evidence import sinks

            more = sinks.noted_erasures(settings)
        connect.demand_place(store, settings)
        done = reapplying.reapply(store, asker(), _file(settings), more=more, stop=stop)
    say = options.default_view(ctx).language.say
    click.echo(say("{count} messages and {records} records in quarantine are erased",
                   count=f"{done.messages:,}", records=f"{done.records:,}"))  # fmt: skip
    return EXIT_DONE
