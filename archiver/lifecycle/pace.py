"""How much one transaction of a deletion takes, and how long others have the archive to themselves behind it.

Who deletes holds the archive's lock alone, and who pulls waits for it at every page. So a transaction is to be short,
and where somebody pulls, deletion has the lock for a ninth of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from archiver.store import windows
from archiver.store.engine import Store, Tx

HELD_S = 0.2
"""So long one transaction shall hold the lock."""
LEFT_TO_OTHERS = 8
"""So many times as long others have it, where there are any."""
_LEAST = 50


class DeletionPace:
    """The size of the next transaction, by how long the last ones took; `wait` is given seconds, and may end early."""

    def __init__(
        self, store: Store, most: int, wait: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._most, self._wait, self._clock = store, most, wait, clock
        self.size = most

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """A transaction with the archive's lock; behind it, others have their turn."""
        with self._store.patient.write(lock="exclusive") as tx:
            began = self._clock()
            yield tx
        held_s = self._clock() - began
        fitting = min(2 * self.size, int(self.size * HELD_S / max(held_s, 1e-6)))
        self.size = min(self._most, max(_LEAST, fitting))
        with self._store.read() as tx:
            is_shared = windows.any_leased(tx)
        if is_shared:
            self._wait(LEFT_TO_OTHERS * held_s)
