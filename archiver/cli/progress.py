"""How far a long command is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from threading import Lock

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from archiver import logs
from archiver.language import ENGLISH, Language
from archiver.model import HOUR_MS, SECOND_MS, Tally
from archiver.pull.progress import Phase
from archiver.view import PLAIN, View

_PLAIN_EVERY_S = 5.0


class PullBar:
    """Follows one pull: what it is at, messages, rate, and how far that is on its way; at the end one line."""

    def __init__(self, name: str, *, plain: bool, view: View = PLAIN, console: Console | None = None) -> None:
        self._name, self._plain, self._view = name, plain, view
        self._lock = Lock()
        self._began = self._told = time.monotonic()
        self._tally = Tally()
        self._phase: Phase | None = None
        self._from_ms = self._until_ms = 0
        self._printed = False
        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[progress]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task(name, total=1, progress="")

    def __enter__(self) -> PullBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        if self._until_ms and (self._console.is_terminal or self._printed):
            self._console.print(self._summary(), soft_wrap=True)

    def begun(self, complete_until_ms: int, due_ms: int) -> None:
        with self._lock:
            self._from_ms = self._until_ms = complete_until_ms
            self._progress.update(self._task, total=max(1, due_ms - complete_until_ms), completed=0)

    def stored(self, tally: Tally) -> None:
        with self._lock:
            self._tally += tally
            self._show()

    def moved(self, complete_until_ms: int) -> None:
        with self._lock:
            self._until_ms = complete_until_ms
            if self._phase is None or self._phase.kind == "live":
                self._progress.update(self._task, completed=max(0, complete_until_ms - self._from_ms))
            self._show()

    def walking(self, phase: Phase) -> None:
        """A window of this phase begins; of another one than before, its way begins anew."""
        with self._lock:
            before, self._phase = self._phase, phase
            is_other = before is None or (before.kind, before.lag_ms) != (phase.kind, phase.lag_ms)
            if phase.kind != "live":
                if is_other:
                    self._from_ms = phase.at_ms
                    self._progress.reset(self._task, total=max(1, phase.due_ms - phase.at_ms))
                self._progress.update(self._task, completed=max(0, phase.at_ms - self._from_ms))
            self._show()

    def _show(self) -> None:
        self._progress.update(self._task, progress=f"{self._doing()}{self._rate()}, {self._reached()}")
        now = time.monotonic()
        if self._plain and not self._console.is_terminal and now - self._told >= _PLAIN_EVERY_S:
            self._told, self._printed = now, True
            self._console.print(f"{self._name}: {self._doing()}{self._rate()}, {self._reached()}", soft_wrap=True)

    def _doing(self) -> str:
        say, phase = self._view.language.say, self._phase
        match None if phase is None else phase.kind:
            case "audit":
                hours = f"{(phase.lag_ms if phase else 0) / HOUR_MS:g}"
                return say("audit {hours} h, {count} checked, ", hours=hours, count=f"{self._tally.known:,}")
            case "backfill":
                return say("backfill, ")
            case "early":
                return say("early look, ")
        return ""

    def _reached(self) -> str:
        phase = self._phase
        at_ms = self._until_ms if phase is None or phase.kind == "live" else phase.at_ms
        return self._view.language.say("at {instant}", instant=self._view.instant(at_ms)[5:16])

    def _rate(self) -> str:
        rate = self._tally.new / max(time.monotonic() - self._began, 0.001)
        return self._view.language.say("{count} new, {rate}/s", count=f"{self._tally.new:,}", rate=f"{rate:,.0f}")

    def _summary(self) -> str:
        """What the pull has brought, and how far the archive is complete now."""
        tally, length = self._tally, self._view.length((time.monotonic() - self._began) * SECOND_MS)
        return self._view.language.say(
            "{name}: {new} new messages in {length}, {known} known, {changed} changed, {quarantined} quarantined;"
            " complete until {until}",
            name=self._name,
            new=f"{tally.new:,}",
            length=length,
            known=f"{tally.known:,}",
            changed=f"{tally.changed:,}",
            quarantined=f"{tally.quarantined:,}",
            until=self._view.calendar.said(self._until_ms),
        )


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

    def __init__(self, *, plain: bool, language: Language = ENGLISH) -> None:
        self._plain, self._language = plain, language
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
        say = self._language.say
        names = {"entries": say("entries"), "pages": say("pages"), "slices of pages": say("slices of pages")}
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(names[what], total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
        now = time.monotonic()
        if self._plain and not self._console.is_terminal and now - self._told >= _PLAIN_EVERY_S:
            self._told = now
            text = say("{what}: {done} of {total}", what=names[what], done=f"{done:,}", total=f"{total:,}")
            self._console.print(text, soft_wrap=True)
