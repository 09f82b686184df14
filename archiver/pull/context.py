"""What all walks of one pull have in common, and how they end hours and say what was lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from archiver.model import Setup, Source, Tally
from archiver.pull.closing import Closed, close_hours
from archiver.store import runs, watermarks
from archiver.store.engine import Store
from archiver.store.windows import Claim, Held

log = logging.getLogger("archiver.pull")


@dataclass(frozen=True, slots=True)
class WalkContext:
    """What all walks of one pull have in common."""

    store: Store
    source: Source
    setup: Setup
    run: runs.Run
    lease_ms: int
    skew_ms: int
    """How far the server's clock was ahead of the database's when the pull began."""
    stop: Event
    count: Callable[[Tally], None]
    """Called with the tally of a page once it is stored."""
    moved: Callable[[int], None]
    """Called with the watermark (ms) after a window was closed."""
    ahead: bool
    """Fetch and decode the next pages while these are stored."""

    def close_hours(self, held: Held, locked: watermarks.Watermark) -> Closed:
        """Close what a walk of a window, or the end of it, made ready; says so where the zone has proved wrong."""
        tx, claim = held
        pass_nos = (1,) if claim.pass_no <= 1 else (1, claim.pass_no)
        closed = close_hours(tx, claim.key, self.source.app, self.setup, locked, pass_nos)
        if closed.wrong is not None:
            fields = {"app": self.source.app, "reopened": closed.reopened}
            log.error("the hours have another zone: what was read is open again", extra={"fields": fields})
        return closed

    def say_lost(self, claim: Claim, state: str) -> None:
        """A line of log where a window was given up in this state, and that is a hole."""
        if state == "expired":
            fields = {"app": self.source.app, "source": self.source.kind, **claim.window._asdict()}
            log.error("expired: a range was lost before it was archived", extra={"fields": fields})
