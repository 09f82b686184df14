"""Lets the next pages of a walk arrive while the last ones are stored, and stores together what has arrived together.

A transaction costs the same for one page as for four, and SQLite writes an index page once in it instead of four
times. When the provider is the slower one, every page is still stored as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import copy_context
from threading import Condition, Thread

from archiver.model import Step

_AT_ONCE, _MOST_BYTES = 4, 4 * 2**20
"""So many are stored together at most, and so much lies between the provider and the database, what is being stored
included; but one page may always wait."""


@contextmanager
def batches(steps: Iterator[Step], most: int) -> Iterator[Iterator[list[Step]]]:
    """The steps of a walk in order, always those that have arrived; an error comes after what came before it.

    The walk goes on in a thread of its own, which has ended with the block. No more than `most` steps lie around at
    once, what is being stored included.
    """
    shelf = _Shelf(most)
    context = copy_context()  # its log lines belong to the same run
    thread = Thread(target=context.run, args=(shelf.fill, steps), name="fetch", daemon=True)
    thread.start()
    try:
        yield iter(shelf.take, [])
    finally:
        shelf.close()
        thread.join()


class _Shelf:
    """What has arrived and was not taken yet, and the sizes of what was taken and is not stored yet."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = Condition()
        self._arrived: list[tuple[Step, int]] = []
        self._storing: list[int] = []
        self._over = self._closed = False
        self._error: BaseException | None = None

    def fill(self, steps: Iterator[Step]) -> None:
        try:
            with closing(steps):  # type: ignore[type-var]  # walks are generators
                for step in steps:
                    if not self._put(step) or step.end:
                        break
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, step: Step) -> bool:
        """Lay a step down and wait until there is room for the next; False when the walk shall end."""
        with self._changed:
            self._arrived.append((step, step.page.size))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._has_room())
            return not self._closed

    def _has_room(self) -> bool:
        sizes = [*self._storing, *(size for _, size in self._arrived)]
        return not self._arrived or (len(sizes) < self._most and sum(sizes) < _MOST_BYTES)

    def take(self) -> list[Step]:
        """Some of what has arrived, waiting for one step at least; nothing when the walk is over."""
        with self._changed:
            self._storing = []  # who comes for more has stored what he had
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._arrived or self._over)
            taken, self._arrived = self._arrived[:_AT_ONCE], self._arrived[_AT_ONCE:]
            self._storing = [size for _, size in taken]
            self._changed.notify_all()
        if not taken and self._error is not None:
            raise self._error
        return [step for step, _ in taken]

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
