"""What people see: tables that fit 80 columns, and a progress bar on a terminal or plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from archiver import logs
from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Tally
from archiver.store.schema import iso

_PLAIN_EVERY_S = 5.0


def console() -> Console:
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
    console().print(shown)


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


class Bar:
    """Follows one pull: messages, rate, and how far the watermark is on its way to what was due."""

    def __init__(self, name: str, *, plain: bool) -> None:
        self._name, self._plain = name, plain
        self._lock = Lock()
        self._began = self._told = time.monotonic()
        self._messages = self._from_ms = self._due_ms = self._until_ms = 0
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[progress]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task(name, total=1, progress="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begun(self, complete_until_ms: int, due_ms: int) -> None:
        with self._lock:
            self._from_ms, self._until_ms, self._due_ms = complete_until_ms, complete_until_ms, due_ms
            self._progress.update(self._task, total=max(1, due_ms - complete_until_ms), completed=0)

    def stored(self, tally: Tally) -> None:
        with self._lock:
            self._messages += tally.new
            self._show()

    def moved(self, complete_until_ms: int) -> None:
        with self._lock:
            self._until_ms = complete_until_ms
            self._progress.update(self._task, completed=max(0, complete_until_ms - self._from_ms))
            self._show()

    def _show(self) -> None:
        self._progress.update(self._task, progress=f"{self._rate()}, until {instant(self._until_ms)[5:16]}")
        now = time.monotonic()
        if self._plain and not self._console.is_terminal and now - self._told >= _PLAIN_EVERY_S:
            self._told = now
            self._console.print(self._line(), soft_wrap=True)

    def _rate(self) -> str:
        rate = self._messages / max(time.monotonic() - self._began, 0.001)
        return f"{self._messages:,} new, {rate:,.0f}/s"

    def _line(self) -> str:
        return f"{self._name}: {self._rate()}, complete until {instant(self._until_ms)} UTC"
