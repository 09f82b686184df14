"""How far a long command is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from threading import Lock

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from archiver import logs
from archiver.cli.view import PLAIN
from archiver.model import Tally

_PLAIN_EVERY_S = 5.0


class PullBar:
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

    def __enter__(self) -> PullBar:
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
        self._progress.update(self._task, progress=f"{self._rate()}, until {PLAIN.instant(self._until_ms)[5:16]}")
        now = time.monotonic()
        if self._plain and not self._console.is_terminal and now - self._told >= _PLAIN_EVERY_S:
            self._told = now
            self._console.print(self._line(), soft_wrap=True)

    def _rate(self) -> str:
        rate = self._messages / max(time.monotonic() - self._began, 0.001)
        return f"{self._messages:,} new, {rate:,.0f}/s"

    def _line(self) -> str:
        return f"{self._name}: {self._rate()}, complete until {PLAIN.instant(self._until_ms)} UTC"


class ExportBar:
    """How many messages are written: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, name: str, *, plain: bool) -> None:
        self._name, self._plain = logs.visible(name), plain
        self._console = Console(stderr=True, highlight=False)
        self._told = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("exporting", total=None)
        self._total = self._done = 0

    def __enter__(self) -> ExportBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begun(self, messages: int) -> None:
        self._total = messages
        self._progress.update(self._task, total=messages)

    def wrote(self, messages: int) -> None:
        self._done += messages
        self._progress.update(self._task, completed=self._done)
        now = time.monotonic()
        if self._plain and not self._console.is_terminal and now - self._told >= _PLAIN_EVERY_S:
            self._told = now
            self._console.print(f"{self._name}: {self._done:,} of {self._total:,} messages", soft_wrap=True)


class VerifyBar:
    """How much of an archive is verified: a bar for entries, then one for pages; elsewhere a line now and then."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        self._console = Console(stderr=True, highlight=False)
        self._told = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
        self._progress = Progress(
            *columns, TimeRemainingColumn(compact=True), console=self._console, disable=not self._console.is_terminal
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> VerifyBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
        now = time.monotonic()
        if self._plain and not self._console.is_terminal and now - self._told >= _PLAIN_EVERY_S:
            self._told = now
            self._console.print(f"{done:,} of {total:,} {what} verified", soft_wrap=True)
