"""What the addresses /look/<id> stand for: what one session asked for, for half an hour, in the memory of this process.

So no name and no word is in an address, a log or a history. What was read for the first time waits here until the
browser asks for it; after that it is read anew, and noted anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple, Protocol

VIEWING_S, WAITING_S = 1_800.0, 60.0
_MOST, _MOST_WAITING = 2_000, 24


class ShownFile(NamedTuple):
    """A stored content that a look has shown. `filename`: as somebody called it, never a path."""

    sha256: str
    media_type: str | None
    filename: str | None
    app: str
    conversation: str | None


class LookAnswer(NamedTuple):
    """What is to be shown, and what its row says of it."""

    content: Any
    shown: int
    conversations: tuple[tuple[str, str | None], ...] = ()
    files: Mapping[str, ShownFile] = {}


class Viewable(Protocol):
    """Something that a session can ask for: a frozen value."""

    @property
    def action(self) -> str | None:
        """As `looks.action`; None for what shows nothing that people wrote."""

    @property
    def template(self) -> str: ...

    @property
    def number(self) -> int:
        """Which page of the hits."""

    def asked(self) -> dict[str, Any]:
        """As `looks.filter`."""

    def read(self, place: Any) -> LookAnswer:
        """Ask the archive. `place`: the ReviewPage."""


@dataclass(slots=True)
class Viewing:
    """One look of one session."""

    look_id: str
    session: str
    """By the hash of its token."""
    asked: Viewable
    begun_s: float
    answer: LookAnswer | None
    files: Mapping[str, ShownFile]
    pictures: set[str] = field(default_factory=set)
    """Those that were shown in their place, which is a part of this look once."""


class Viewings:
    """The looks of all sessions. `clock`: seconds of a clock that nobody sets. Used by several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, Lock()
        self._known: OrderedDict[str, Viewing] = OrderedDict()

    def keep(self, look_id: str, session: str, asked: Viewable, answer: LookAnswer) -> Viewing:
        """Remember a look that was noted, with the answer that is still to be shown."""
        viewing = Viewing(look_id, session, asked, self._clock(), answer, answer.files)
        with self._lock:
            self._known[look_id] = viewing
            self._tidy()
        return viewing

    def find(self, look_id: str, session: str) -> Viewing | None:
        """The look of this id, if it is this session's and not too old."""
        with self._lock:
            self._tidy()
            viewing = self._known.get(look_id)
        return viewing if viewing is not None and viewing.session == session else None

    def take(self, viewing: Viewing) -> LookAnswer | None:
        """The answer that waits, once; None where it was shown."""
        with self._lock:
            answer, viewing.answer = viewing.answer, None
        return answer

    def picture(self, viewing: Viewing, sha256: str) -> bool:
        """Whether a picture is shown for the first time in this look."""
        with self._lock:
            if sha256 in viewing.pictures:
                return False
            viewing.pictures.add(sha256)
        return True

    def forget(self, session: str) -> None:
        """A session has ended."""
        with self._lock:
            for look_id in [key for key, viewing in self._known.items() if viewing.session == session]:
                del self._known[look_id]

    def _tidy(self) -> None:
        now_s = self._clock()
        while self._known:
            oldest = next(iter(self._known.values()))
            if len(self._known) <= _MOST and now_s - oldest.begun_s <= VIEWING_S:
                break
            self._known.popitem(last=False)
        waiting = [viewing for viewing in self._known.values() if viewing.answer is not None]
        for place, viewing in enumerate(reversed(waiting)):
            if place >= _MOST_WAITING or now_s - viewing.begun_s > WAITING_S:
                viewing.answer = None
