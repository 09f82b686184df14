"""What people see: tables that fit 80 columns, and lists where there are fewer."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from archiver import logs

_LONGEST_WHOLE = 19
"""A date and a time."""


PLAIN_COLUMNS = 80


def out() -> Console:
    """Standard output; 80 columns where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS, highlight=False, soft_wrap=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows; every cell is made visible, since chat text may hold what steers a terminal.

    Where the terminal is so narrow that times and names would be broken up, each row is a list of its cells instead.
    """
    console, cells = out(), [[Text(cell(value)) for value in row] for row in rows]
    if any(columns) and _needs(columns, cells) > console.width:
        _print_lists(console, title, columns, cells)
        return
    shown = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        show_header=any(columns),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column, width in zip(columns, _widths(columns, cells), strict=True):
        shown.add_column(column, overflow="fold", no_wrap=any(columns) and width <= _LONGEST_WHOLE)
    for row in cells:
        shown.add_row(*row)
    console.print(shown)


def _needs(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """So many cells of a terminal that no time is broken up; longer texts may be."""
    return sum(min(_LONGEST_WHOLE, width) for width in _widths(columns, rows)) + 2 * len(columns)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[int]:
    return [max([cell_len(column), *(row[at].cell_len for row in rows)]) for at, column in enumerate(columns)]


def _print_lists(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    console.print(Text(title, style="bold"))
    for row in rows:
        console.print()
        for column, value in zip(columns, row, strict=True):
            console.print(Text.assemble(f"  {column}: ", value))


def cell(value: Any) -> str:
    """A value as one line of visible text."""
    if value is None:
        return ""
    return logs.visible(value if isinstance(value, str) else str(value))
