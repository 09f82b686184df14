"""Messages on their way into files: units and portions, counted, and compared with another snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

import msgspec

from archiver.export import Cover, Form
from archiver.export.folder import day_folder
from archiver.model import Archived
from archiver.store.read.days import Day, Known, known_of

Batch = list[Archived]
_encode_lines = msgspec.json.Encoder().encode_lines


class DaySignature:
    """A digest over messages with all that is known about them, in their order: equal where files would be equal."""

    def __init__(self, form: Form) -> None:
        self._sha256 = hashlib.sha256()
        self._shown = len(Known._fields) if form.shows_marks else Known._fields.index("marks")

    def add(self, messages: Iterable[Known]) -> None:
        # A message's other columns follow from its digest, as those of a revision do.
        some = [_without_content(one) if one.revisions else one for one in messages]
        self._sha256.update(_encode_lines([one[: self._shown] for one in some]))

    def hex(self) -> str:
        return self._sha256.hexdigest()


def _without_content(known: Known) -> Known:
    return known._replace(revisions=tuple(one._replace(raw=b"") for one in known.revisions))


class Counted:
    """Batches as they pass, and what they come to."""

    def __init__(self, batches: Iterable[Batch], form: Form) -> None:
        self._batches = batches
        self._signature = DaySignature(form)
        self.messages = self.bodies = self.revisions = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self._signature.add([known_of((m.msg_id, m.digest, *remarks)) for _, m, _, _, _, *remarks in batch])
            self.bodies += sum([len(archived.message.bodies) for archived in batch])
            self.revisions += sum([len(archived.revisions) for archived in batch])
            self.messages += len(batch)
            yield batch

    @property
    def signature(self) -> str:
        return self._signature.hex()


def portions(batches: Iterable[Batch], most: int) -> Iterator[Iterator[Batch]]:
    """The same messages as one portion a file, of `most` messages at most; take one whole before the next."""
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


class Unit(NamedTuple):
    """What is written as one, and compared or begun again as one: a day of an app, or the whole export."""

    app: str
    day: str | None
    days: tuple[Day, ...]
    paths: tuple[str, ...]
    """Of its files, below the folder."""
    around: tuple[str | None, str | None] = (None, None)
    """The pages before the first one and after the last one."""

    @property
    def key(self) -> tuple[str, str | None]:
        return self.app, self.day

    @property
    def messages(self) -> int:
        return sum(day.messages for day in self.days)

    def cover(self, number: int, title: str, head: Mapping[str, Any]) -> Cover:
        """The cover of the file at this place."""
        before, after = (self.around[0], *self.paths), (*self.paths[1:], self.around[1])
        return Cover(title, head, before[number], after[number])


WHOLE = "*"
"""In the place of an app's name, which always has a number sign."""


def units(form: Form, days: Sequence[Day]) -> list[Unit]:
    """What an export of these days consists of. Every snapshot has exactly these files, by its counts."""
    if form.single_file:
        count = max(1, -(-sum(day.messages for day in days) // form.most))  # without messages, it says so
        paths = [f"messages{f'-{number}' if number > 1 else ''}.{form.suffix}" for number in range(1, count + 1)]
        return [Unit(WHOLE, None, tuple(days), tuple(paths))]
    written = [Unit(day.app, day.name, (day,), tuple(_parts(form, day))) for day in days]
    return _with_neighbours(written) if form.write_index else written


def _parts(form: Form, day: Day) -> Iterator[str]:
    for number in range(1, -(-day.messages // form.most) + 1):
        yield f"{day_folder(day.app, day.name)}/part-{number:04}.{form.suffix}"


def _with_neighbours(written: list[Unit]) -> list[Unit]:
    """The same, linked to the days of the same app before and after."""
    linked = []
    for before, unit, after in zip([None, *written], written, [*written[1:], None], strict=False):
        previous = before.paths[-1] if before and before.app == unit.app else None
        following = after.paths[0] if after and after.app == unit.app else None
        linked.append(unit._replace(around=(previous, following)))
    return linked


def fill(form: Form, file: IO[bytes], cover: Cover, batches: Iterable[Batch]) -> dict[str, Any]:
    """Write one file; gives how many messages it holds, and what an index has to know of it."""
    writer = form.write(file, cover)
    messages = 0
    try:
        for batch in batches:
            writer.add(batch)
            messages += len(batch)
        return {"messages": messages, **writer.close()}
    except BaseException:
        writer.abandon()
        raise
