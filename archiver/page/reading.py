"""What several screens show of messages: marks, files, and what of the time around them is not archived."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from archiver import statement
from archiver.errors import ArchiverError
from archiver.model import Archived, File, Window
from archiver.page.viewings import ShownFile
from archiver.page.wording import statements
from archiver.statement import Statement
from archiver.store import holds
from archiver.store.engine import Tx
from archiver.store.read import provenance
from archiver.timeline import without


class NoMessage(ArchiverError):
    """The archive has no message of this id."""


class ShownMessage(NamedTuple):
    """A message on a screen. `is_hit`: what was searched for, and not what stands beside it."""

    archived: Archived
    is_held: bool
    is_hit: bool = True

    @property
    def name(self) -> str:
        """As a button sends it."""
        return f"{self.archived.app} {self.archived.message.msg_id}"

    def files_of(self, position: int) -> list[File]:
        """What this body points to."""
        return [file for file in self.archived.files if file.position == position]


class Gap(NamedTuple):
    """What is not archived between messages. `state`: of the hole; `text`: why, and who accepted it."""

    window: Window
    state: str
    text: str
    range: str


class RangeVerdict(NamedTuple):
    """Whether the range that was asked for is archived: the answer in a sentence, and what is missing."""

    kind: str
    sentence: str
    gaps: tuple[str, ...]


def verdict(made: Statement) -> RangeVerdict:
    """The statement about a range, in words."""
    wording = statements()
    gaps = () if made.verdict == "complete" else tuple(wording.gaps(made))
    return RangeVerdict(made.verdict, wording.first_line(made), gaps)


def gaps(made: Statement) -> list[Gap]:
    """What of the range no source of an app has, in order of time."""
    wording, known = statements(), []
    for source in made.sources:
        covered = sorted(
            window for other in made.sources if other is not source for window in _covered(other, source.coverage.app)
        )
        for hole, text in wording.drawn(source):
            if any(True for _ in without(hole.window, covered)):
                known.append(Gap(hole.window, hole.state, text, wording.range(hole.window)))
    return sorted(dict.fromkeys(known), key=lambda gap: gap.window)


def _covered(source: statement.SourceStatement, app: str) -> Iterable[Window]:
    return source.covered if source.coverage.app == app else ()


def marked(tx: Tx, app_id: int, messages: Sequence[Archived]) -> list[ShownMessage]:
    """Messages of one app with the mark of holds."""
    held = holds.held(tx, app_id, [one.message.msg_id for one in messages])
    return [ShownMessage(one, one.message.msg_id in held) for one in messages]


def files_of(tx: Tx, app_id: int, messages: Sequence[Archived]) -> dict[str, ShownFile]:
    """The stored contents that these messages point to, by their digests."""
    by_id = {one.message.msg_id: one for one in messages}
    stored = [one.message.msg_id for one in messages if any(file.sha256 for file in one.files)]
    if not stored:
        return {}
    return {
        content.sha256: ShownFile(*content[:3], by_id[content.msg_id].app, by_id[content.msg_id].message.conversation)
        for content in provenance.contents(tx, app_id, stored)
    }


def conversations_of(messages: Iterable[Archived]) -> tuple[tuple[str, str | None], ...]:
    """Of what is shown, without repetition."""
    return tuple(dict.fromkeys((one.app, one.message.conversation) for one in messages))


class DayMark(NamedTuple):
    """The beginning of a day, between messages (ms)."""

    ms: int


def in_order(
    messages: Sequence[ShownMessage], between: Sequence[Gap], day_of: Callable[[int], str]
) -> Iterator[DayMark | Gap | ShownMessage]:
    """Messages with days and gaps between them, where they belong in time."""
    left, last_day = list(between), ""
    for shown in messages:
        stamp_ms = shown.archived.message.timestamp_ms
        while left and left[0].window.lo_ms <= stamp_ms:
            yield left.pop(0)
        day = day_of(stamp_ms)
        if day != last_day:
            last_day = day
            yield DayMark(stamp_ms)
        yield shown
    yield from left
