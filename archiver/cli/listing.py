"""Lists of people, conversations and apps: as a table, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from archiver.cli import console
from archiver.language import Language
from archiver.view import View


def print_rows(rows: Sequence[dict[str, Any]], form: str, view: View) -> None:
    """Rows by their keys; the keys of JSON are those of the rows."""
    if form == "json":
        click.echo(json.dumps(rows, ensure_ascii=False))
    elif rows:
        _print_table(rows, view)
    else:
        click.echo(view.language.say("nothing is archived that fits"))


def _print_table(rows: Sequence[dict[str, Any]], view: View) -> None:
    """For 80 columns, at which a conversation's id must be readable: the last time alone, and one app as the title."""
    names, labels = {row["app"] for row in rows}, _labels(view.language)
    left_out = {"first_sent_at", *(["app"] if len(names) == 1 else [])}
    shown = [name for name in rows[0] if name not in left_out]
    zone = view.language.say("times in {zone}", zone=view.calendar.name)
    title = zone if len(names) > 1 else f"{names.pop()}, {zone}"
    cells = ([_local(name, row[name], view) for name in shown] for row in rows)
    console.table(title, [labels.get(name, name) for name in shown], cells)


def _labels(language: Language) -> dict[str, str]:
    say = language.say
    return {
        "app": say("app"),
        "source": say("source"),
        "configured": say("configured"),
        "complete_from": say("complete from"),
        "complete_until": say("complete until"),
        "conversation": say("conversation"),
        "chat_type": say("chat type"),
        "participant": say("participant"),
        "messages": say("messages"),
        "senders": say("senders"),
        "conversations": say("conversations"),
        "last_sent_at": say("last"),
    }


def _local(name: str, value: Any, view: View) -> Any:
    if isinstance(value, bool):
        return view.language.say("yes") if value else view.language.say("no")
    if not name.endswith(("_at", "_from", "_until")):
        return value
    return (view.calendar.written(value) or "")[:16].replace("T", " ")
