"""How one person is answered: times in a zone, and words in a language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archiver.language import ENGLISH, Language
from archiver.model import SECOND_MS, Window
from archiver.store.read.status import Hole
from archiver.zones import IN_UTC, Calendar


@dataclass(frozen=True, slots=True)
class View:
    """The language and the calendar of one answer."""

    language: Language = ENGLISH
    calendar: Calendar = IN_UTC

    def instant(self, ms: int | None) -> str:
        """To the second, in the zone, which is named once beside it; nothing for none."""
        return "" if ms is None else self.calendar.clock(ms)

    def at(self, label: str) -> str:
        """A label of times, with their zone."""
        return f"{label} ({self.calendar.name})"

    def range(self, lo_ms: int, hi_ms: int) -> str:
        return self.language.say("{begins} to {ends}", begins=self.instant(lo_ms), ends=self.instant(hi_ms))

    def ranges(self, windows: Iterable[Window]) -> str:
        return "; ".join(self.range(lo_ms, hi_ms) for lo_ms, hi_ms in windows)

    def length(self, ms: float | None) -> str:
        """A stretch of time in one unit, as people say it."""
        return "-" if ms is None else self.language.length(ms)

    def seconds(self, seconds: float | None) -> str:
        return self.length(None if seconds is None else seconds * SECOND_MS)

    def state(self, state: str) -> str:
        """The state of a window, a file or a run; one that nobody knows is called as it is."""
        say = self.language.say
        return {
            "pending": say("pending"),
            "leased": say("leased"),
            "closed": say("closed"),
            "skipped": say("skipped"),
            "not_ready": say("not ready"),
            "presumed_empty": say("presumed empty"),
            "expired": say("expired"),
            "stuck": say("stuck"),
            "accepted": say("accepted"),
            "missing": say("missing"),
            "stored": say("stored"),
            "failed": say("failed"),
            "gone": say("gone"),
            "refused": say("refused"),
            "foreign": say("foreign"),
            "incomplete": say("incomplete"),
            "done": say("done"),
            "crashed": say("crashed"),
            "unfinished": say("unfinished"),
        }.get(state, state)

    def weekday(self, number: int) -> str:
        """The name of a day, from 0 for Monday."""
        say = self.language.say
        names = (
            *(say("Monday"), say("Tuesday"), say("Wednesday"), say("Thursday"), say("Friday")),
            *(say("Saturday"), say("Sunday")),
        )
        return names[number]

    def decision(self, decision: str) -> str:
        """What was said to a request, or `waiting`."""
        say = self.language.say
        words = {
            "waiting": say("waiting"),
            "approved": say("approved"),
            "refused": say("refused"),
            "withdrawn": say("withdrawn"),
            "begun": say("begun"),
        }
        return words[decision]

    def hole(self, hole: Hole) -> str:
        """A hole, who accepted it, and why."""
        say, state = self.language.say, self.state(hole.state)
        text = f"{self.range(*hole.window)} {state}"
        if hole.accepted_by:
            text += say(" by {who} on {when}", who=hole.accepted_by, when=self.instant(hole.accepted_ms))
        return text + (say(" ({reason})", reason=hole.reason) if hole.reason else "")


PLAIN = View()
"""English, in UTC."""
