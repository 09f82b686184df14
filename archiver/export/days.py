"""A day on its way into files: cut into portions, counted, and told from what another snapshot would give."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from archiver.export import Form
from archiver.model import Archived, File, Revision

Batch = list[Archived]


class Signature:
    """A digest over messages with all that is known about them, in their order: equal where files would be equal."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(
        self,
        msg_id: str,
        digest: bytes,
        lateness_ms: int | None,
        revisions: Sequence[Revision],
        files: Sequence[File],
    ) -> None:
        # repr tells a text from its neighbours whatever it holds; a message's other columns follow from its digest.
        seen = [(each.revision, each.digest.hex(), each.seen_at) for each in revisions]
        told = (msg_id, digest.hex(), lateness_ms, seen, [tuple(file) for file in files])
        self._sha256.update(repr(told).encode(errors="backslashreplace"))

    def hex(self) -> str:
        return self._sha256.hexdigest()


class Counted:
    """Batches as they pass, and what they come to."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches
        self._signature = Signature()
        self.messages = self.bodies = self.revisions = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            for each in batch:
                m = each.message
                self._signature.add(m.msg_id, m.digest, each.lateness_ms, each.revisions, each.files)
                self.bodies += len(m.bodies)
                self.revisions += len(each.revisions)
            self.messages += len(batch)
            yield batch

    @property
    def signature(self) -> str:
        return self._signature.hex()


def portions(batches: Iterable[Batch], most: int) -> Iterator[Iterator[Batch]]:
    """The same messages as one portion a file, of `most` messages at most; take each whole before the next."""
    feed = iter(batches)
    rest: Batch = next(feed, [])
    while rest:
        left = most

        def portion() -> Iterator[Batch]:
            nonlocal rest, left
            while rest and left:
                now, rest = rest[:left], rest[left:]
                left -= len(now)
                yield now
                rest = rest or next(feed, [])

        yield portion()


def fill(form: Form, file: IO[bytes], title: str, batches: Iterable[Batch]) -> int:
    """Write one file; gives how many messages it holds."""
    writer = form.write(file, title)
    messages = 0
    for batch in batches:
        writer.add(batch)
        messages += len(batch)
    writer.close()
    return messages
