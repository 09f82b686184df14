"""`search`: messages by their text, for people and programs."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from archiver import search as searching
from archiver.cli import console, context, options
from archiver.cli.context import Case
from archiver.cli.statement import tell_gaps
from archiver.errors import UsageError
from archiver.looks import Looks, Streamed
from archiver.rendering import kind, parsed
from archiver.statement import StatementWording
from archiver.store.engine import Store
from archiver.store.read.events import EventHit
from archiver.store.read.filters import Filter, asked_for
from archiver.store.search.index import Lag
from archiver.store.search.query import Hit
from archiver.store.search.text import normal
from archiver.view import View

_AROUND = 24
_H = TypeVar("_H")


@click.command()
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True)
@click.option("--any", "any_of", is_flag=True, help="Find what holds any of several TEXTs, instead of all.")
@options.message_filter
@click.option("--events", is_flag=True, help="Also find texts in events of callbacks; not with --format csv.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="Maximum number of hits; 0: all.")
@click.option("--format", "form", type=click.Choice(["table", "jsonl", "csv"]), default="table", show_default=True)
@click.option("--bom", is_flag=True, help="csv: begin with a byte order mark, so that Excel detects UTF-8.")
@options.CASE
@options.VIEW
@click.pass_context
def search(
    ctx: click.Context,
    /,
    texts: tuple[str, ...],
    criteria: Filter,
    limit: int,
    form: str,
    *,
    any_of: bool,
    events: bool,
    bom: bool,
    case: Case,
    view: View,
) -> int:
    """Search the messages for TEXT, the latest first: words of any length in any script, numbers, emoji.

    Of several TEXTs, all must be in one body of a message; in quotes, several words are one TEXT. Searches texts, file
    names, addresses and custom messages, including revisions. Ignores case, full and half width, and invisible
    characters. Write -- before a TEXT that begins with a dash. Exits with 3 if the range is not wholly archived.

    \b
    Example:
      archiver search 退款 --sender xingchen --from 2026-11-01T00:00:00+08:00
      archiver search 发货 付款
      archiver search "order A-1029" --format csv --bom --limit 0 > found.csv
    """
    if bom and form != "csv":
        raise UsageError("--bom is for --format csv")
    if events and form == "csv":
        raise UsageError("--events is for --format table and jsonl: a file of CSV has one kind of rows")
    written = View(view.language, options.calendar_for(view.calendar.zone, form, machines=("jsonl",)))
    limits, wording = (criteria.from_ms, criteria.to_ms), StatementWording(view.language, view.calendar)
    asked = asked_for(criteria, texts=texts, any=any_of or None)
    with context.lookable(ctx, case) as (_, store, looks):
        code = tell_gaps(store, limits, criteria.app, wording, machine=form != "table")
        _tell_lag(searching.lag(store), view)
        hits = searching.find(store, texts, criteria, limit + 1 if limit else None, any_of=any_of)
        with _noted(store, looks, asked, hits, criteria.app, limit) as shown:
            if bom or form == "jsonl":
                _write_utf8()
            if bom:
                click.echo("\ufeff", nl=False)
            _PRINTERS[form](_up_to(limit, shown, view), texts, written)
        if events:
            found = searching.find_events(store, texts, criteria, limit + 1 if limit else None, any_of=any_of)
            some = found[:limit] if limit else found
            looks.show("events", asked, count=len(some), conversations=[(hit.app, hit.conversation) for hit in some])
            _print_events(_up_to(limit, found, view), texts, written, form)
    return code


@contextmanager
def _noted(
    store: Store, looks: Looks, asked: dict[str, Any], hits: Iterator[Hit], app: str | None, limit: int
) -> Iterator[Iterable[Hit]]:
    """The hits, after their look was noted; without a limit they are shown as they are read."""
    if limit:
        known = list(hits)
        some = known[:limit]
        looks.show("search", asked, count=len(some), conversations=[(hit.app, hit.conversation) for hit in some])
        yield known
        return
    with looks.stream("search", asked, [(name, None) for name in searching.apps(store, app)]) as streamed:
        yield _counted(hits, streamed)


def _counted(hits: Iterable[Hit], streamed: Streamed) -> Iterator[Hit]:
    for hit in hits:
        streamed.shown += 1
        yield hit


def _tell_lag(lag: Lag, view: View) -> None:
    if lag.pages:
        text = view.language.say(
            "the index lacks {messages} messages in {pages} pages, the oldest of {since}; they are read as well"
            " (faster after: archiver index)",
            messages=f"{lag.messages:,}",
            pages=f"{lag.pages:,}",
            since="-" if lag.since_ms is None else view.calendar.said(lag.since_ms),
        )
        click.echo(text, err=True)


def _up_to(limit: int, hits: Iterable[_H], view: View) -> Iterator[_H]:
    for number, hit in enumerate(hits, 1):
        if limit and number > limit:
            text = view.language.say(
                "there is more than these {limit}: --limit, or narrow it by --from, --sender, ...", limit=f"{limit:,}"
            )
            click.echo(text, err=True)
            return
        yield hit


def _write_utf8() -> None:
    """JSON is UTF-8 by its definition, and a byte order mark says so: whatever a terminal would take."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def _print_table(hits: Iterable[Hit], texts: Sequence[str], view: View) -> None:
    say, written = view.language.say, view.calendar.written
    rows = [(_clock(written(hit.sent_at)), hit.sender, hit.conversation, _excerpt(hit, texts, view)) for hit in hits]
    if rows:
        console.table("", (view.at(say("sent")), say("sender"), say("conversation"), say("said")), rows)
    else:
        click.echo(say("nothing was found"))


def _print_events(hits: Iterable[EventHit], texts: Sequence[str], view: View, form: str) -> None:
    if form == "jsonl":
        for hit in hits:
            _echo_line({"event": hit._asdict()})
        return
    say, written = view.language.say, view.calendar.written
    rows = [
        (_clock(written(hit.at)), hit.kind, hit.signed, hit.actor, hit.target_msg_id, _around(hit.text, texts))
        for hit in hits
    ]
    if rows:
        columns = (view.at(say("at")), say("event"), say("signature"), say("by"), say("message"), say("said"))
        console.table(say("events of callbacks"), columns, rows)
    else:
        click.echo(say("nothing was found in events"))


def _around(said: str, texts: Sequence[str]) -> str:
    text = next((text for text in texts if text.lower() in said.lower()), texts[0])
    at = max(0, said.lower().find(text.lower()))
    start, end = max(0, at - _AROUND), at + len(text) + _AROUND
    return ("…" if start else "") + said[start:end] + ("…" if end < len(said) else "")


def _clock(instant: str | None) -> str:
    return (instant or "")[:19].replace("T", " ")


def _excerpt(hit: Hit, texts: Sequence[str], view: View) -> str:
    """The field that was found, around the first place that can be located; unseen characters may hide it."""
    fields = [field for field in (hit.text, hit.filename, hit.addr, hit.extra) if field]
    holding = ((field, text) for text in texts for field in fields if normal(text) in normal(field))
    shown, text = next(holding, (" ".join(fields), texts[0]))
    cut = _around(shown, [text])
    language = view.language
    name = kind(hit.body_type or "", None if language.name == "en" else language.name)
    revision = language.say("(revision {number}) ", number=hit.revision) if hit.revision else ""
    return ("" if hit.body_type == "txt" else f"[{name}] ") + revision + cut


def _print_jsonl(hits: Iterable[Hit], _: Sequence[str], _view: View) -> None:
    for hit in hits:
        _echo_line(hit._asdict() | {"extra": None if hit.extra is None else parsed(hit.extra)})


def _echo_line(content: dict[str, Any]) -> None:
    click.echo(_UNSEEN.sub(_escaped, json.dumps({"version": 1} | content, ensure_ascii=False)))


# What no terminal should receive from a chat user: controls, signs that turn the direction of a line, tags.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


def _escaped(character: re.Match[str]) -> str:
    """As JSON spells it, so that every reader has the same text."""
    return json.dumps(character[0])[1:-1]


def _print_csv(hits: Iterable[Hit], _: Sequence[str], view: View) -> None:
    from archiver.export.formats.csv import disarmed

    def line(cells: Iterable[Any]) -> None:
        buffer = io.StringIO(newline="")
        visible = (console.cell(cell) for cell in cells) if sys.stdout.isatty() else cells
        csv.writer(buffer, lineterminator="\r\n").writerow([disarmed(cell) for cell in visible])
        click.echo(buffer.getvalue(), nl=False)

    line(Hit._fields)
    for hit in hits:
        line(hit._replace(sent_at=view.calendar.written(hit.sent_at)))


_PRINTERS = {"table": _print_table, "jsonl": _print_jsonl, "csv": _print_csv}
