"""All notes that sinks and files have, in order of size: on disk, with some bytes of memory each.

A sink gets a note a minute for years. What is kept of each in memory is where it lies, whose it is and its size.
"""

from __future__ import annotations

import heapq
import tempfile
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise, starmap

from archiver import notes
from archiver.evidence.verify.notes import GivenNote, of_anchor
from archiver.notes import SignedNote

_LARGEST = 10**16
"""No note says that a ledger is as long."""


class NoteShelf:
    """Filled first, and then read once in order of size."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the shelf, and has no name
        weakref.finalize(self, self._file.close)
        self._sizes, self._offsets = array("q"), array("q", [0])
        self._origins, self._places = array("I"), array("I")
        self._numbers, self._names = dict[str, int](), list[str]()
        self._order: array[int] | None = None
        self._next = 0

    def add(self, where: str, signed_notes: Iterable[SignedNote]) -> None:
        """Take in notes that stand in a place."""
        for signed in signed_notes:
            self._offsets.append(self._offsets[-1] + self._file.write(signed.data))
            self._sizes.append(signed.note.size)
            self._origins.append(self._number(signed.note.origin))
            self._places.append(self._number(where))
        self._order = None

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def __len__(self) -> int:
        return len(self._sizes)

    def until(self, size: int) -> Iterator[GivenNote]:
        """The next notes, up to this size."""
        order = self._sorted()
        while self._next < len(order) and self._sizes[order[self._next]] <= size:
            self._next += 1
            yield self._read(order[self._next - 1])

    def rest(self) -> Iterator[GivenNote]:
        """The notes that are left."""
        return self.until(_LARGEST)

    def _sorted(self) -> array[int]:
        if self._order is None:
            sizes = self._sizes
            # A sink has its notes in order: few runs are merged, which needs no list of all.
            borders = [0, *(at for at in range(1, len(sizes)) if sizes[at] < sizes[at - 1]), len(sizes)]
            self._order = array("q", heapq.merge(*starmap(range, pairwise(borders)), key=sizes.__getitem__))
            self._file.flush()
        return self._order

    def _read(self, at: int) -> GivenNote:
        self._file.seek(self._offsets[at])
        data = self._file.read(self._offsets[at + 1] - self._offsets[at])
        return of_anchor(notes.parse(data), self._names[self._places[at]])

    def has(self, where: str, origin: str, size: int) -> bool:
        """Whether a note stands in a place."""
        order, wanted = self._sorted(), (self._numbers.get(origin), self._numbers.get(where))
        at = bisect_left(order, size, key=self._sizes.__getitem__)
        while at < len(order) and self._sizes[order[at]] == size:
            if (self._origins[order[at]], self._places[order[at]]) == wanted:
                return True
            at += 1
        return False
