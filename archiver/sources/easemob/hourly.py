"""Reads messages by hour: a signed link to an hour's file, the file, its records.

The link is asked for under the token, at most ten times a minute; the file lies on another host, which gets nothing
but the link. Order says nothing here: an hour has been read when its files have been read to their end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import IO, NamedTuple

from archiver import host
from archiver.errors import (
    AnswerUnexpected,
    AnswerUnusable,
    FileDamaged,
    FileMissing,
    HourMissing,
    ProviderUnavailable,
    RequestRefused,
)
from archiver.http import Answer, Downloaded, SignedLink, envelope
from archiver.http.download import Progress
from archiver.http.response import refusal
from archiver.model import HOUR_MS, Json, Pass, Step, Window
from archiver.sources.easemob import hour_files
from archiver.sources.easemob.cursor import server_time
from archiver.sources.easemob.decode import page_of
from archiver.sources.easemob.hours import first_contact, hour_name, hour_of

log = logging.getLogger(__name__)

ANSWERS = (200, 400, 404)
"""The statuses that say something about an hour."""

_ATTEMPTS, _PATIENCE_S, _MOST_FILES = 3, 30.0, 100


@dataclass(frozen=True, slots=True)
class HourAnswer:
    """What the service says of an hour: links to its files, none where nobody wrote, or that the file is missing."""

    links: tuple[SignedLink, ...]
    missing: bool
    server_ms: int | None


def read_answer(answer: Answer) -> HourAnswer:
    """An answer of `chatmessages/{hour}`. Raises RequestRefused where it is not about the hour, AnswerUnusable where it
    is damaged, and AnswerUnexpected where it is whole and has no link in it.

    200 with a list of urls; 404 storage_object_not_found: no messages in that hour; 400 illegal_argument: expired *or*
    not stored yet, in the same words (the provider's pages on message history, their error table).
    """
    try:
        content = envelope(answer)
    except AnswerUnusable:
        if answer.status == 200:
            raise
        raise refusal(answer) from None
    server_ms = server_time(content, answer.date_ms, answer.elapsed_ms)
    match answer.status, content.get("error"):
        case 200, _:
            return HourAnswer(_expected(content, server_ms), False, server_ms)
        case 404, "storage_object_not_found":
            return HourAnswer((), False, server_ms)
        case 400, "illegal_argument" if "not supported" not in str(content.get("error_description")):
            return HourAnswer((), True, server_ms)
        case 400, "illegal_argument":
            hint = "ask the provider to switch the files of message history on"
            problem = f"{answer.where}: hourly files are not supported for this app"
            raise RequestRefused(problem, status=400, code="illegal_argument", hint=hint)
    raise refusal(answer)


def _first_bytes(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(hour_files.KEPT_BYTES)


def _expected(content: Json, server_ms: int | None) -> tuple[SignedLink, ...]:
    try:
        return _links(content)
    except AnswerUnusable as error:
        if "error" in content:  # a trouble of its own, which passes
            raise
        unexpected = AnswerUnexpected(str(error))
        unexpected.server_ms = server_ms
    raise unexpected


def _links(content: Json) -> tuple[SignedLink, ...]:
    data = content.get("data")
    if not isinstance(data, list) or not 0 < len(data) <= _MOST_FILES:
        raise AnswerUnusable("the answer has no list of links")
    urls = [entry.get("url") if isinstance(entry, dict) else None for entry in data]
    return tuple(SignedLink(url if isinstance(url, str) else "") for url in urls)


class _File(NamedTuple):
    """A file that was downloaded and read to its trailer; `framed`: the answer said that this is its end."""

    bytes: IO[bytes]
    sha256: str
    framed: bool


@dataclass(frozen=True, slots=True)
class HourlySource:
    """One app read by hourly files, named by the hours of a zone that is `offset_ms` east of UTC.

    `clock_ms` only chooses the hour that `fetch_now` asks about; whatever it says, the answer tells the server's time.
    """

    app: str
    passes: tuple[Pass, ...]
    retention_ms: int | None
    page_size: int
    offset_ms: int
    fetch_link: Callable[[str], HourAnswer]
    download: Callable[[SignedLink, IO[bytes], Progress], Downloaded]
    clock_ms: Callable[[], int]
    clock: Callable[[], float] = time.monotonic
    inflated_limit: int = hour_files.INFLATED_LIMIT
    kind: str = "hourly"

    @property
    def hour_offset_ms(self) -> int:
        """See `Source.hour_offset_ms`."""
        return self.offset_ms

    def first_contact(self, start_ms: int, now_ms: int) -> int:
        """The first whole hour from `start_ms` on that the provider still keeps."""
        return first_contact(start_ms, now_ms, self.retention_ms, self.offset_ms)

    def fetch_now(self) -> int:
        """The server's time, from what it says of a recent hour. It counts as one of ten requests a minute."""
        recent = hour_of(self.clock_ms() - 2 * HOUR_MS, self.offset_ms)
        try:
            server_ms = self.fetch_link(hour_name(recent.lo_ms, self.offset_ms)).server_ms
        except AnswerUnexpected as error:  # it is an hour's answer, and one bad hour must not keep all from being read
            server_ms = error.server_ms
        if server_ms is None:
            raise AnswerUnusable("the answer does not tell the server's time")
        return server_ms

    def walk(
        self,
        window: Window,
        *,
        resume_ms: int | None = None,  # noqa: ARG002 - a file has no middle to begin at
        order_trusted: bool = True,  # noqa: ARG002 - nothing here depends on order
        progress: Progress = lambda _: None,
    ) -> Iterator[Step]:
        """Read one hour; see `Source.walk`.

        A window that is no hour of the zone (the zone was changed) is read from all files whose hours it touches.
        `progress` is called as bytes arrive and are verified, so that the caller may renew its lease before the first
        page. Raises HourMissing besides; an hour without messages is one empty page.
        """
        names: list[str] = []
        lo_ms = hour_of(window.lo_ms, self.offset_ms).lo_ms
        while lo_ms < window.hi_ms:
            names.append(hour_name(lo_ms, self.offset_ms))
            lo_ms += HOUR_MS
        return self._walk(names, progress)

    def _walk(self, names: Sequence[str], progress: Progress) -> Iterator[Step]:
        with ExitStack() as stack:
            files: list[_File] = []
            first_ms: int | None = None
            for name in names:
                more, server_ms = self._fetch_files(name, stack, progress)
                files += more
                first_ms = server_ms if first_ms is None else first_ms
            sha256 = files[-1].sha256 if files else None
            last = Step(page_of([], first_ms), None, True, "", sha256)
            for number, step in enumerate(chain.from_iterable(self._read(file, first_ms) for file in files)):
                if number:
                    yield last
                last = step
            yield Step(last.page, None, True, "exhausted", last.file_sha256)

    def _read(self, file: _File, server_ms: int | None) -> Iterator[Step]:
        try:
            for page in hour_files.read_pages(file.bytes, page_size=self.page_size, server_ms=server_ms):
                yield Step(page, None, True, "", file.sha256)
        except AnswerUnusable as error:  # no trailer has shown before that this one is not whole
            missing = FileMissing(str(error))
            missing.remains = _first_bytes(file.bytes)
            raise missing from None

    def _fetch_files(self, hour: str, stack: ExitStack, progress: Progress) -> tuple[list[_File], int | None]:
        """All files of an hour, whole, before any record of them is believed; a fresh link for every attempt.

        No attempt begins when bytes have been missing for long: the caller gets the error instead.
        """
        received_at = self.clock()
        seen: set[str] = set()
        remains: bytes | None = None

        def note_bytes(size: int) -> None:
            nonlocal received_at
            progress(size)
            received_at = self.clock()

        for attempt in range(1, _ATTEMPTS + 1):
            answer = self.fetch_link(hour)
            if answer.missing:
                raise HourMissing(f"the service has no file for the hour {hour}", server_ms=answer.server_ms)
            if attempt > 1 and not answer.links:
                raise FileMissing(f"the file of the hour {hour} was there and is gone")
            received_at = self.clock()
            with ExitStack() as files:
                try:
                    fetched = [self._fetch_file(link, files, note_bytes) for link in answer.links]
                    _check_ends(fetched, seen)
                except ProviderUnavailable as error:
                    if isinstance(error, FileDamaged) and len(error.remains) >= len(remains or b""):
                        remains = error.remains
                    if attempt == _ATTEMPTS or self.clock() - received_at > _PATIENCE_S:
                        missing = FileMissing(f"the file of the hour {hour} was not to be had: {error}")
                        missing.remains = remains
                        raise missing from None
                    log.info("%s; a fresh link is asked for", error)
                    continue
                stack.push(files.pop_all())
                return fetched, answer.server_ms
        raise AssertionError

    def _fetch_file(self, link: SignedLink, stack: ExitStack, progress: Progress) -> _File:
        file = stack.enter_context(host.temporary_file())
        got = self.download(link, file, progress)
        try:
            hour_files.verify(file, framed=got.framed, limit=self.inflated_limit, progress=progress)
        except AnswerUnusable as error:
            damaged = FileDamaged(str(error))
            damaged.remains = _first_bytes(file)
            raise damaged from None
        return _File(file, got.sha256, got.framed)


def _check_ends(files: list[_File], seen: set[str]) -> None:
    """Believe a file without a frame when it came the same, byte for byte, by two answers.

    It may be the first of several members, and the rest may have been lost on the way; but what cuts a connection does
    not cut it twice at the same byte. `seen`: the contents of earlier answers that declared no end, and then of these.
    """
    unproven = {file.sha256 for file in files if not file.framed}
    news = unproven - seen
    seen |= unproven
    if news:
        raise AnswerUnusable("the answer did not say where the file ends")
