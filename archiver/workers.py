"""The workers of one pull: they claim in turns, walk at the same time, and end together.

What they count together lies here, under one lock: how often the provider failed in a row, and how many windows were
cut in half.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, Event, Lock

from archiver import logs
from archiver.errors import (
    ArchiverError,
    DatabaseRefused,
    FileMissing,
    HourMissing,
    OrderLost,
    Stopped,
    TryAgainLater,
    WalkFailed,
)
from archiver.setbacks import Fate
from archiver.walker import Walker

FAILURES_IN_A_ROW = 2
"""So many windows in a row that the provider did not answer for, and the pull ends; the next one tries again."""

_OF_A_FILE = 1 / 3
"""A file that cannot be had is more likely the file's fault: six in a row, with none had between, end a pull."""

SPLITS_IN_A_ROW, SPLITS_IN_ALL = 40, 64
"""A single bad millisecond in a day takes 27 halvings; a server that fails everywhere must not shred the plan, and one
that fails here and there must let a pull end."""


class Workers:
    """So many threads, or none but the caller's; `claim` gives the next walk, or None, and `walk` does it."""

    def __init__(
        self, count: int, stop: Event, claim: Callable[[], Walker | None], walk: Callable[[Walker], None]
    ) -> None:
        self._number, self._stop, self._claim, self._walk = count, stop, claim, walk
        self._walks = Condition()
        self._walking = self._ended = 0
        self._claims = Lock()
        self._nothing_since: int | None = None
        """How many walks had ended when nothing was left to claim; until another one ends, nothing is."""
        self._counts = Lock()
        self._failures, self._splits, self._all_splits = 0.0, 0, 0

    def run(self) -> None:
        """Walk until nothing is left, or something beyond single windows fails; raises what that was."""
        if self._number == 1:
            self._work()
            return
        with ThreadPoolExecutor(self._number, thread_name_prefix="walk", **logs.carried()) as pool:
            for done in [pool.submit(self._work) for _ in range(self._number)]:
                done.result()

    def give_up(self) -> None:
        """Nothing more is begun, by any of them."""
        with self._counts:
            self._failures = FAILURES_IN_A_ROW

    def succeeded(self) -> None:
        """A walk came to its end: what failed before was not the provider."""
        with self._counts:
            self._failures, self._splits = 0.0, 0

    def may_split(self, error: ArchiverError) -> bool:
        """Count a window that failed, and say whether it may be cut in half for that."""
        with self._counts:
            self._splits += isinstance(error, WalkFailed)
            self._all_splits += isinstance(error, WalkFailed)
            return self._splits <= SPLITS_IN_A_ROW and self._all_splits <= SPLITS_IN_ALL

    def failed(self, error: ArchiverError, fate: Fate) -> None:
        """Count what may be the provider's fault, unless the window is lost anyway."""
        window_alone = isinstance(error, WalkFailed | Stopped | HourMissing | OrderLost)
        if fate is not Fate.LOST and not window_alone:
            with self._counts:
                self._failures += _OF_A_FILE if isinstance(error, FileMissing) else 1

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._failures >= FAILURES_IN_A_ROW

    def _work(self) -> None:
        while not self._is_over() and self._work_once():
            pass

    def _work_once(self) -> bool:
        """Walk a window, or wait while others walk, as they may leave several; False when nothing is left."""
        with self._walks:
            self._walking += 1
            ended, walked = self._ended, False
        try:
            walker = self._take(ended)
            if walker is not None:
                self._walk(walker)
                walked = True
        finally:
            with self._walks:
                self._walking -= 1
                self._ended += walked
                self._walks.notify_all()
        with self._walks:
            self._walks.wait_for(lambda: self._ended != ended or not self._walking)
            return self._ended != ended

    def _take(self, ended: int) -> Walker | None:
        """Claim a window, unless it is known that there is none.

        Workers take turns, as they would in the database, where each would wait on a connection of its own.
        """
        with self._claims:
            if self._is_over() or self._nothing_since == ended:
                return None
            try:
                walker = self._claim()
            except (TryAgainLater, DatabaseRefused):
                self.give_up()
                raise
            if walker is None:
                self._nothing_since = ended
            return walker
