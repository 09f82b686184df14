"""What people see: tables that fit 80 columns, times and lengths in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from archiver import logs
from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from archiver.store.schema import iso
from archiver.zones import Calendar


def out() -> Console:
    """Standard output; 80 columns where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 80, highlight=False, soft_wrap=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows; every cell is made visible, since chat text may hold what steers a terminal."""
    shown = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        show_header=any(columns),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell(value)) for value in row))
    out().print(shown)


def cell(value: Any) -> str:
    """A value as one line of visible text."""
    if value is None:
        return ""
    return logs.visible(value if isinstance(value, str) else str(value))


def instant(ms: int | None) -> str:
    """To the second, in UTC."""
    text = None if ms is None else iso(ms)
    return "" if text is None else f"{text[:10]} {text[11:19]}"


def length(ms: float | None) -> str:
    """A stretch of time in one unit, as people say it."""
    if ms is None:
        return "-"
    for unit, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if abs(ms) >= 2 * unit:
            return f"{ms / unit:.1f} {name}"
    return f"{ms / SECOND_MS:.0f} s"


def print_rows(rows: Sequence[dict[str, Any]], form: str, calendar: Calendar) -> None:
    if form == "json":
        click.echo(json.dumps(rows, ensure_ascii=False))
    elif rows:
        _table_of_rows(rows, calendar)
    else:
        click.echo("nothing is archived that fits")


def _table_of_rows(rows: Sequence[dict[str, Any]], calendar: Calendar) -> None:
    """For 80 columns, at which a conversation's id must be readable: the last time alone, and one app as the title."""
    names = {row["app"] for row in rows}
    left_out = {"first_sent_at", *(["app"] if len(names) == 1 else [])}
    shown = [name for name in rows[0] if name not in left_out]
    title = f"{'' if len(names) > 1 else names.pop() + ', '}times in {calendar.name}"
    labels = [name.removesuffix("_sent_at").replace("_", " ") for name in shown]
    table(title, labels, ([_local(name, row[name], calendar) for name in shown] for row in rows))


def _local(name: str, value: Any, calendar: Calendar) -> Any:
    if not name.endswith(("_at", "_from", "_until")):
        return value
    return (calendar.written(value) or "")[:16].replace("T", " ")
