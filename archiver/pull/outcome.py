"""How a pull ended: its exit code and the reason, from what the database says and what broke it off."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from threading import Lock

from archiver.errors import (
    EXIT_DONE,
    EXIT_INCOMPLETE,
    EXIT_LATER,
    EXIT_REFUSED,
    EXIT_USAGE,
    ArchiverError,
    CredentialsRefused,
    WrongZone,
)
from archiver.model import SECOND_MS, Source, Tally

log = logging.getLogger("archiver.pull")

OUTCOMES = {
    EXIT_DONE: "done",
    EXIT_USAGE: "failed",
    EXIT_REFUSED: "refused",
    EXIT_INCOMPLETE: "incomplete",
    EXIT_LATER: "unfinished",
}


@dataclass(slots=True)
class Outcome:
    """How a pull ended: its exit code, why, and what it did."""

    exit_code: int = EXIT_DONE
    reason: str | None = None
    hint: str | None = None
    tally: Tally = field(default_factory=Tally)
    pages: int = 0
    since_ms: int | None = None
    """Since when pulls of this source end so that not all is done (ms)."""


class OutcomeCounts:
    """What all workers of a pull add to its outcome, under one lock."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self.refused_commits = 0
        """Page transactions that the fence refused, since another process had the window."""
        self._lock = Lock()

    def stored(self, tally: Tally) -> None:
        """A page was stored."""
        with self._lock:
            self.outcome.tally += tally
            self.outcome.pages += 1

    def refused(self) -> None:
        """The fence refused a transaction."""
        with self._lock:
            self.refused_commits += 1

    def failed(self, error: ArchiverError) -> None:
        """A window could not be walked; the last reason is the one to report."""
        with self._lock:
            self.outcome.reason, self.outcome.hint = str(error), error.hint


@dataclass(slots=True)
class Findings:
    """What there is to say at the end of a pull.

    `missed`: what an audit that somebody asked for has to report; `doubtful`: hours wait, as the zone may be wrong;
    `left`: something that the pull was for is not closed.
    """

    broken: ArchiverError | None = None
    hole: bool = False
    missed: str | None = None
    clock_problem: str | None = None
    doubtful: bool = False
    left: bool = True

    def exit_code(self) -> int:
        """Which of several reasons comes first: 4, 2, 3, 75."""
        if isinstance(self.broken, CredentialsRefused):
            return EXIT_REFUSED
        if isinstance(self.broken, WrongZone):
            return EXIT_USAGE
        if self.hole or self.missed:
            return EXIT_INCOMPLETE
        if self.broken is not None or self.left or self.clock_problem is not None:
            return EXIT_LATER
        return EXIT_DONE

    def explain(self, last: tuple[str | None, str | None]) -> tuple[str | None, str | None]:
        """The reason and what helps; `last`: what kept a window from being walked last."""
        if self.broken is not None:
            return str(self.broken), self.broken.hint
        if self.hole:
            return "there is a hole that nobody has accepted", "archiver coverage"
        if self.missed:
            return self.missed, "archiver status"
        if self.clock_problem is not None:
            return self.clock_problem, "archiver doctor"
        if self.doubtful:
            why = "hours wait, as their files hold messages of other hours: hour_utc_offset may be wrong"
            return why, "archiver doctor"
        if self.left:
            return last[0] or "windows that are due are held by another process", last[1]
        return None, None


def warn_of_loss(source: Source, lag_ms: int) -> None:
    """Alarm while there is time: at half and at 80 % of what the provider keeps."""
    retention_ms = source.retention_ms
    if retention_ms is None:
        return
    fields = {"app": source.app, "source": source.kind, "left_seconds": (retention_ms - lag_ms) // SECOND_MS}
    if lag_ms > retention_ms * 0.8:
        log.critical("messages will be lost soon: over 80 % of the retention has gone by", extra={"fields": fields})
    elif lag_ms > retention_ms * 0.5:
        log.error("messages are in danger: over half of the retention has gone by", extra={"fields": fields})
