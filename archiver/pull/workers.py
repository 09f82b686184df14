"""The workers of one pull: they claim in turns, walk at the same time, and end together.

What they share counts under a lock of its own: `Failures` what the provider's answers for different windows came to,
and how many windows were cut in half; `Tried` which windows failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, Event, Lock

from archiver import logs
from archiver.errors import (
    ArchiverError,
    DatabaseRefused,
    HourMissing,
    OrderLost,
    ProviderUnavailable,
    RequestRefused,
    Stopped,
    TryAgainLater,
    WalkFailed,
)
from archiver.model import Window
from archiver.outages import Fortune
from archiver.pull.setbacks import Fate
from archiver.pull.walk import WindowWalker
from archiver.store.windows import Claim

FAILURES_IN_A_ROW, _DOUBTFUL = 6, 3
"""So many windows that fail one after the other, and the pull ends; the next one tries again.

From the first half on every second one is taken from the far end of what is planned: those that cannot be had lie side
by side, as where a store has dropped its oldest files, and one that can proves that the provider is well.
"""

SPLITS_IN_A_ROW, SPLITS_IN_ALL = 40, 64
"""A single bad millisecond in a day takes 27 halvings; a server that fails everywhere must not shred the plan, and one
that fails here and there must let a pull end."""

CUTS_IN_A_ROW, CUTS_IN_ALL = 8, 512
"""Of windows that the provider did not answer for, though for others. Two bad records that lie far apart make both
halves fail once or twice; after that one half of two comes, and is work done, or it is an outage after all."""


class Failures:
    """What failed in one pull, and how often windows were cut for it; all workers count here, under its lock."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._fortune = Fortune(FAILURES_IN_A_ROW)
        self._splits = self._all_splits = self._cuts = self._all_cuts = 0

    @property
    def in_doubt(self) -> bool:
        """Whether the provider may be down: something failed since the last window that was had."""
        return self._fortune.failing > 0

    @property
    def are_an_outage(self) -> bool:
        """Whether so much failed in a row that it is the provider's fault, and the pull ends."""
        return self._fortune.is_down

    @property
    def afar(self) -> bool:
        """Whether the next window is to be taken from the far end."""
        return self._fortune.failing >= _DOUBTFUL and self._fortune.failing % 2 == 1

    @property
    def may_blame(self) -> bool:
        """Whether both halves of what is to blame may fail once more."""
        return self._cuts < CUTS_IN_A_ROW

    def succeeded(self) -> None:
        """A walk came to its end: what failed before was not the provider."""
        with self._lock:
            self._fortune.succeed()
            self._splits = self._cuts = 0

    def may_split(self, error: ArchiverError) -> bool:
        """Count a window that failed, and say whether it may be cut in half for that."""
        with self._lock:
            self._splits += isinstance(error, WalkFailed)
            self._all_splits += isinstance(error, WalkFailed)
            if not isinstance(error, WalkFailed):
                return self._all_cuts < CUTS_IN_ALL
            return self._splits <= SPLITS_IN_A_ROW and self._all_splits <= SPLITS_IN_ALL

    def failed(self, error: ArchiverError, fate: Fate) -> None:
        """Count what may be the provider's fault, unless the window is lost anyway, or was cut since it is to blame."""
        if isinstance(error, WalkFailed | Stopped | HourMissing | OrderLost):
            return
        with self._lock:
            self._fortune.failing += fate is Fate.LATER
            self._cuts += fate is Fate.CUT
            self._all_cuts += fate is Fate.CUT


class Workers:
    """So many threads, or none but the caller's; `claim` gives the next walk, or None, and `walk` does it."""

    def __init__(
        self, count: int, stop: Event, claim: Callable[[], WindowWalker | None], walk: Callable[[WindowWalker], None]
    ) -> None:
        self._count, self._stop, self._claim, self._walk = count, stop, claim, walk
        self._walks = Condition()
        self._walking = self._ended = 0
        self._claims = Lock()
        self._nothing_since: int | None = None
        """How many walks had ended when nothing was left to claim; until another one ends, nothing is."""
        self._gave_up = Event()
        self.failures = Failures()

    def run(self) -> None:
        """Walk until nothing is left, or something beyond single windows fails; raises what that was."""
        if self._count == 1:
            self._work()
            return
        with ThreadPoolExecutor(self._count, thread_name_prefix="walk", **logs.carried()) as pool:
            for done in [pool.submit(self._work) for _ in range(self._count)]:
                done.result()

    def give_up(self) -> None:
        """Nothing more is begun, by any of them."""
        self._gave_up.set()

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._gave_up.is_set() or self.failures.are_an_outage

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

    def _take(self, ended: int) -> WindowWalker | None:
        """Claim a window, unless it is known that there is none.

        Workers take turns, as they would in the database, where all would wait on connections of their own.
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


class Tried:
    """The windows that failed in one pull, which leaves them alone, but for a second look once others can be had."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._failed: set[int] = set()
        self._second: set[int] = set()
        self._suspects: dict[int, Window] = {}
        self._cut: list[Window] = []

    @property
    def ids(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._failed)

    def note(self, claim: Claim, error: ArchiverError, fate: Fate) -> None:
        """A window failed. One that was cut in half is another one by now, although it keeps its id."""
        with self._lock:
            if isinstance(error, ProviderUnavailable | RequestRefused):
                self._suspects.setdefault(claim.id, claim.window)
            if fate in (Fate.AGAIN, Fate.CUT):
                self._second.discard(claim.id)
            else:
                self._failed.add(claim.id)
            if fate is Fate.CUT:
                self._cut.append(claim.window)

    def suspects(self, claim: Claim) -> bool:
        """Whether a window is more likely to fail by its own fault: it failed before, or is a part of one that did."""
        with self._lock:
            return claim.failed_ms is not None or _is_within(claim.window, self._suspects.values())

    def was_cut(self, claim: Claim) -> bool:
        """Whether it is a part of a window that was cut since it was to blame."""
        with self._lock:
            return _is_within(claim.window, self._cut)

    def allow_second_looks(self) -> None:
        """Something was had, so the provider is well: what failed is to blame, and may be cut around what is."""
        with self._lock:
            again = self._suspects.keys() & self._failed - self._second
            self._second |= again
            self._failed -= again


def _is_within(window: Window, ranges: Iterable[Window]) -> bool:
    return any(lo_ms <= window.lo_ms < hi_ms for lo_ms, hi_ms in ranges)
