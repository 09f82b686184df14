"""`conversation`: a transcript."""

from __future__ import annotations

import sys
from datetime import date

import click

from archiver import conversation as transcripts
from archiver import logs
from archiver.cli import context, options
from archiver.cli.context import Case
from archiver.cli.options import INSTANT
from archiver.cli.statement import tell_gaps
from archiver.cli.transcript import ConversationLines
from archiver.statement import StatementWording
from archiver.store.read.filters import Filter, asked_for
from archiver.view import View


@click.command()
@click.argument("names", metavar="A B | GROUP", nargs=-1, required=True)
@click.option("--app", metavar="NAME", help='Only this app, as "org#app" or "app".')
@click.option("--from", "from_ms", metavar="TIME", type=INSTANT, help="Stamped at this time or later.")
@click.option("--to", "to_ms", metavar="TIME", type=INSTANT, help="Stamped before this time.")
@options.MONTH
@options.CASE
@options.VIEW
@click.pass_context
def conversation(
    ctx: click.Context,
    names: tuple[str, ...],
    app: str | None,
    from_ms: int | None,
    to_ms: int | None,
    month: tuple[date, date] | None,
    case: Case,
    view: View,
) -> int:
    """Print the conversation of two users, or of a group or room.

    Late and changed messages are marked, files have their digest, and control characters are shown as escapes. Lines
    that begin with | continue the text above them. Exits with 3 if the range is not wholly archived.

    \b
    Example:
      archiver conversation iris xingchen --zone Asia/Shanghai
      archiver conversation 88201534001153 --from 2026-11-01T00:00:00Z
    """
    if len(names) > 2:
        raise click.UsageError("two users, or one group")
    from_ms, to_ms = options.in_month(month, view.calendar.zone, from_ms, to_ms)
    lo_ms, hi_ms = transcripts.ALL_TIME
    window = options.stretch(lo_ms if from_ms is None else from_ms, hi_ms if to_ms is None else to_ms)
    with context.lookable(ctx, case) as (_, store, looks):
        code = tell_gaps(store, (from_ms, to_ms), app, StatementWording(view.language, view.calendar))
        thread = transcripts.find(store, "|".join(names), app)
        asked = asked_for(Filter(thread.app, conversation=thread.conversation, from_ms=from_ms, to_ms=to_ms))
        title = view.language.say(
            "{conversation} in {app}, times in {zone}",
            conversation=thread.conversation,
            app=thread.app,
            zone=view.calendar.name,
        )
        with looks.stream("conversation", asked, [(thread.app, thread.conversation)]) as streamed:
            click.echo(logs.visible(title))
            transcript = ConversationLines(view)
            for page in transcripts.read(store, thread, window):
                streamed.shown += len(page)
                sys.stdout.write("".join(f"{line}\n" for archived in page for line in transcript.lines(archived)))
                sys.stdout.flush()
    return code
