"""The claim computed again from `window` entries alone: no row of the database takes part in it.

What is walked becomes coverage only by a later entry, so that neither a window nor a watermark can be talked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from archiver.evidence.claims import HoleFields, holes_root
from archiver.store.hours import BEFORE
from archiver.store.passes import FIRST_ASKED, FIRST_AUDIT
from archiver.store.schema import TILING_STATES

Json = Mapping[str, Any]
_HOLES = ("expired", "stuck", "accepted")
_ENDED = (*TILING_STATES, "expired", "stuck", "skipped")
"""States that a window has by an entry, and by nothing else."""


class Entered(NamedTuple):
    """A window as its latest entry has it. `paged`: entries of pages are of its own."""

    pass_no: int
    cause: str
    lo_ms: int
    hi_ms: int
    lag_ms: int
    walk0_ms: int | None
    state: str
    by_order: bool
    fence: int
    paged: bool


class Tiles:
    """Ranges of one pass that are accounted for: reaches from an edge are remembered while nothing is taken away."""

    def __init__(self) -> None:
        self._up: dict[int, int] = {}
        self._down: dict[int, int] = {}
        self._edge: tuple[int, int] | None = None
        self.lowest: int | None = None

    def add(self, lo_ms: int, hi_ms: int) -> None:
        self._up[lo_ms], self._down[hi_ms] = hi_ms, lo_ms
        self.lowest = lo_ms if self.lowest is None else min(self.lowest, lo_ms)

    def discard(self, lo_ms: int, hi_ms: int) -> None:
        if self._up.get(lo_ms) == hi_ms:
            del self._up[lo_ms]
            self._edge = None
        if self._down.get(hi_ms) == lo_ms:
            del self._down[hi_ms]

    def up(self, from_ms: int) -> int:
        """How far the contiguous run goes up from an edge."""
        at_ms = self._edge[1] if self._edge is not None and self._edge[0] == from_ms else from_ms
        while (further_ms := self._up.get(at_ms)) is not None:
            at_ms = further_ms
        self._edge = (from_ms, at_ms)
        return at_ms

    def reaches_down(self, from_ms: int) -> bool:
        """Whether something touches an edge from below."""
        return from_ms in self._down


class SourceClaim:
    """One source of one app, as its entries have it so far."""

    def __init__(self) -> None:
        self.windows: dict[int, Entered] = {}
        self._paged: set[int] = set()
        self._tiles: dict[int, Tiles] = {}
        self._holes: dict[int, tuple[int, str]] = {}
        self._common: tuple[int, int] | None = None
        self._presumed_empty = 0
        self._unaudited_ms: int | None = None
        """What `audited` says before any audit: the origin."""

    def page(self, window_id: int) -> None:
        """A page of a window has its entry."""
        known = self.windows.get(window_id)
        if known is None:
            self._paged.add(window_id)
        elif not known.paged:
            self.windows[window_id] = known._replace(paged=True)

    def enter(self, listed: Iterable[Json]) -> Iterable[tuple[int, str]]:
        """Take over what one entry says of windows; gives those that were closed, and never walked."""
        changed = list(listed)
        for window in changed:
            self._replace(window)
        heirs = {
            (entered.pass_no, entered.hi_ms)
            for window in changed
            if (entered := self.windows[window["id"]]).paged and entered.state in ("expired", "skipped")
        }
        for window in changed:
            entered = self.windows[window["id"]]
            # What was cut off at the edge of the retention has its pages under the number of the part that is lost.
            if entered.state == "closed" and not entered.paged and (entered.pass_no, entered.lo_ms) not in heirs:
                yield window["id"], "is closed, and no page of it was entered"

    def _replace(self, window: Json) -> None:
        number = window["id"]
        before = self.windows.get(number)
        if before is not None:
            self._take_back(before)
        paged = number in self._paged or (before is not None and before.paged)
        self._paged.discard(number)
        times = (window["lo"], window["hi"], window["lag"], window["walk0"])
        rest = (window["state"], window["by_order"], window["fence"], paged)
        entered = Entered(window["pass"], window["cause"], *times, *rest)
        self.windows[number] = entered
        tiles = self._tiles.setdefault(entered.pass_no, Tiles())
        if entered.state in TILING_STATES and entered.cause != BEFORE:
            tiles.add(entered.lo_ms, entered.hi_ms)
        if entered.pass_no >= FIRST_AUDIT and entered.state == "skipped":
            tiles.add(entered.lo_ms, entered.hi_ms)
        if entered.pass_no == 1 and entered.state in _HOLES and entered.cause != BEFORE:
            self._holes[entered.lo_ms] = (entered.hi_ms, entered.state)
        self._presumed_empty += _is_presumed(entered)

    def _take_back(self, before: Entered) -> None:
        self._tiles[before.pass_no].discard(before.lo_ms, before.hi_ms)
        if self._holes.get(before.lo_ms) == (before.hi_ms, before.state):
            del self._holes[before.lo_ms]
        self._presumed_empty -= _is_presumed(before)

    def holes(self) -> list[HoleFields]:
        """What pass 1 has lost, cannot walk, or has had accepted."""
        return sorted((lo_ms, hi_ms, state) for lo_ms, (hi_ms, state) in self._holes.items())

    def range_problem(self, from_ms: int, until_ms: int, audited_ms: int) -> str | None:
        """Why entries do not bear out a range that is said to be complete; None where they do."""
        first = self._tiles.get(1, Tiles())
        if first.up(from_ms) != until_ms:
            return f"complete from {from_ms} until {until_ms}, and the entries reach {first.up(from_ms)}"
        if first.reaches_down(from_ms):
            return f"complete from {from_ms}, and the entries reach further back"
        # The origin never moves, and lies in every range that was ever claimed.
        lo_ms, hi_ms = self._common or (from_ms, until_ms)
        lo_ms, hi_ms = max(lo_ms, from_ms), min(hi_ms, until_ms)
        if lo_ms > hi_ms:
            return f"complete from {from_ms} until {until_ms}, which is apart from what was claimed before"
        self._common = (lo_ms, hi_ms)
        return self._audit_problem(audited_ms, (lo_ms, hi_ms))

    def _audit_problem(self, audited_ms: int, common: tuple[int, int]) -> str | None:
        """An audit begins at the origin; while none has an entry, what is audited is nothing, and stays there."""
        reaches = [
            (tiles.lowest, tiles.up(tiles.lowest))
            for pass_no, tiles in self._tiles.items()
            if FIRST_AUDIT <= pass_no < FIRST_ASKED and tiles.lowest is not None
        ]
        if self._unaudited_ms is None:
            self._unaudited_ms = audited_ms if not reaches else reaches[0][0]
        if not common[0] <= self._unaudited_ms <= common[1]:
            return f"audited until {audited_ms}, which is apart from what is complete"
        if audited_ms == self._unaudited_ms or any(lo_ms <= audited_ms <= hi_ms for lo_ms, hi_ms in reaches):
            return None
        return f"audited until {audited_ms}, and no audit has an entry up to there"

    def claim_problem(self, claim: Json, uncovered: Iterable[HoleFields]) -> str | None:
        """Why a `claim` entry is not what the entries before it bear out; None where it is.

        `uncovered`: ranges without a window, which no entry can tell of.
        """
        problem = self.range_problem(claim["from"], claim["until"], claim["audited"])
        if problem is not None:
            return problem
        listed = self.holes()
        if claim["holes_root"] != holes_root(sorted([*listed, *uncovered])):
            return "its holes are not those of the entries"
        accepted = sum(state == "accepted" for _, _, state in listed)
        if (claim["accepted"], claim["presumed_empty"]) != (accepted, self._presumed_empty):
            return "it counts other accepted or empty hours than the entries"
        return None

    def row_problem(self, number: int, row: Entered) -> str | None:
        """Why a window's row is not what its latest entry says; None where it is."""
        entered = self.windows.get(number)
        if entered is None:
            return f"is {row.state}, and no entry says so" if row.state in _ENDED else None
        if row.state != entered.state:
            return f"is {row.state}, and its entry says {entered.state}"
        if row.state not in _ENDED:
            return None
        for name in ("pass_no", "cause", "lo_ms", "hi_ms", "lag_ms", "walk0_ms", "by_order", "fence"):
            if getattr(row, name) != getattr(entered, name):
                return f"{name} is not that of its entry"
        return None


def _is_presumed(entered: Entered) -> bool:
    return entered.pass_no == 1 and entered.state == "presumed_empty"
