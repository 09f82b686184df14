"""How a pull goes, for those who watch it."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from archiver.model import Tally


class PullProgress(Protocol):
    """Receives the progress of a pull; the progress bar is one."""

    def begun(self, complete_until_ms: int, due_ms: int) -> None: ...

    def stored(self, tally: Tally) -> None: ...

    def moved(self, complete_until_ms: int) -> None: ...

    def walking(self, phase: Phase) -> None: ...


class Phase(NamedTuple):
    """What a window is walked for, and how far that goes: `cause` as in the table, `lag_ms` of an audit."""

    cause: str
    pass_no: int
    lag_ms: int
    at_ms: int
    due_ms: int

    @property
    def kind(self) -> Literal["live", "early", "audit", "backfill"]:
        """Passes beyond the first are audits, also those that a schedule asks for."""
        if self.cause == "live":
            return "audit" if self.pass_no > 1 else "live" if self.pass_no else "early"
        return "audit" if self.cause == "audit" else "backfill"


class NoProgress:
    """Nobody watches."""

    def begun(self, complete_until_ms: int, due_ms: int) -> None: ...

    def stored(self, tally: Tally) -> None: ...

    def moved(self, complete_until_ms: int) -> None: ...

    def walking(self, phase: Phase) -> None: ...
