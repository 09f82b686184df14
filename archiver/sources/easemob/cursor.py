"""Reads messages by query and cursor: `GET chatmessages?ql=..&limit=..&cursor=..`.

The provider stopped this export on its public cloud in 2017; private deployments still have it. A list ends where
no cursor is sent, never at a short or empty page. A cursor is used within one list of one walk and never stored: one
that is sent with another query silently starts at the first page.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from archiver.errors import AnswerUnusable, ConfigurationError, RequestRefused, WalkFailed
from archiver.model import DAY_MS, MINUTE_MS, Json, Page, Pass, Step, Window
from archiver.sources.easemob.decode import decode_piece, page_of
from archiver.sources.easemob.slices import Piece, split_envelope
from archiver.sources.listing import ListingCheck
from archiver.timeline import PAGES_PER_WALK

_BESIDE_MS = 1_000
"""What an exchange may take beside the server's own work: half of what is kept clear of the edge of what is read."""

FetchPage = Callable[[dict[str, str]], tuple[Page, str | None]]
"""Asks for one page with these parameters; gives the page and its cursor."""


_EARLIEST_MS = 10**11
"""1973 in milliseconds, and the year 5138 in seconds: a clock below it counts in seconds, or was never set."""

_one_at_a_time = Lock()
"""Python reads one page at a time anyway; many that wait for their turn in it wake up two thousand times a second."""


class PageAnswer(Protocol):
    """What is needed of an HTTP answer."""

    @property
    def body(self) -> bytes: ...

    @property
    def date_ms(self) -> int | None: ...


def read_page(answer: PageAnswer) -> tuple[Page, str | None]:
    """An answer of `chatmessages` to a page and the cursor of the next. Raises AnswerUnusable, never guesses."""
    with _one_at_a_time:
        envelope, pieces = split_envelope(answer.body, "entities")
        if pieces is None:
            raise AnswerUnusable("the answer has no list of entities")
        elapsed_ms = getattr(answer, "elapsed_ms", None)
        return make_page(pieces, server_time(envelope, answer.date_ms, elapsed_ms)), _cursor(envelope)


def make_page(pieces: Sequence[Piece], server_ms: int | None) -> Page:
    """Decode the records of one answer. Raises AnswerUnusable for one that is not UTF-8."""
    return page_of([decode_piece(piece, position) for position, piece in enumerate(pieces)], server_ms)


def server_time(envelope: Json, date_ms: int | None, elapsed_ms: int | None = None) -> int | None:
    """The server's clock when it took the request up: `timestamp - duration` of the envelope, else by the Date header.

    Both stamps are of the answer, and an answer may take a minute to be made. It was asked for no earlier than
    `elapsed_ms` before, by a clock that only measures durations; a duration that does not fit that is not believed.
    """
    longest_ms = elapsed_ms if elapsed_ms is not None and elapsed_ms > _BESIDE_MS else 0
    stamp, duration = envelope.get("timestamp"), envelope.get("duration")
    if not isinstance(stamp, int) or isinstance(stamp, bool) or not _EARLIEST_MS < stamp < 2**53:
        return None if date_ms is None else date_ms - longest_ms
    if not isinstance(duration, int) or not 0 <= duration < stamp:
        return stamp - longest_ms
    fits = elapsed_ms is None or abs(elapsed_ms - duration) <= _BESIDE_MS
    return stamp - (duration if fits else longest_ms)


def _cursor(envelope: Json) -> str | None:
    cursor = envelope.get("cursor")
    if cursor is None or cursor == "":
        return None
    if not isinstance(cursor, str):
        raise AnswerUnusable("the cursor of the answer is no text")
    return cursor


_FIRST_WALK_MS = 5 * MINUTE_MS
"""What the provider drops while the first window is walked is left to what lies before the archive."""


def first_contact(start_ms: int, now_ms: int, retention_ms: int | None) -> int:
    """From where on queries can archive what the provider still keeps."""
    return start_ms if retention_ms is None else max(start_ms, now_ms - retention_ms + _FIRST_WALK_MS)


@dataclass(frozen=True, slots=True)
class CursorSource:
    """One app read by query; `lower_only` is the later dialect, which knows no upper bound and always sorts."""

    app: str
    passes: tuple[Pass, ...]
    retention_ms: int | None
    page_size: int
    lower_only: bool
    fetch_page: FetchPage
    kind: str = "cursor"
    hour_offset_ms: int | None = None

    def first_contact(self, start_ms: int, now_ms: int) -> int:
        """The first instant from `start_ms` on that the provider still keeps; queries reach back no further."""
        return first_contact(start_ms, now_ms, self.retention_ms)

    def fetch_now(self) -> int:
        """The server's time, from the answer to a query that no message can match."""
        try:
            page, _ = self.fetch_page({"ql": self._query(Window(1, 2)) if not self.lower_only else _FAR, "limit": "1"})
        except RequestRefused as error:
            if error.code != _NOT_UNDERSTOOD or self.lower_only:
                raise
            text = f"{error}: the server does not understand queries with an upper bound"
            raise ConfigurationError(text, hint='dialect = "lower_only" in the [[apps]] entry') from None
        if page.server_ms is None:
            raise AnswerUnusable("the answer does not tell the server's time")
        return page.server_ms

    def walk(
        self,
        window: Window,
        *,
        resume_ms: int | None,
        order_trusted: bool,
        progress: Callable[[int], None] = lambda _: None,  # noqa: ARG002 - every page renews the lease
    ) -> Iterator[Step]:
        """Read one window; see `Source.walk`. Lists that look cut are probed before their end is believed."""
        start_ms = window.lo_ms if resume_ms is None else resume_ms
        walk = ListingCheck(Window(start_ms, window.hi_ms), trusted=order_trusted)
        looks_cut = yield from self._list(walk, walk.window)
        while looks_cut and walk.trusted:
            highest_ms = walk.highest_ms or 0
            looks_cut = yield from self._list(walk, Window(highest_ms, window.hi_ms))
            if walk.news:
                continue  # it does cut lists: the rest comes list by list
            if looks_cut:
                yield from self._probe_millisecond(walk, highest_ms)
            return
        if looks_cut:
            yield from self._probe_both_ends(walk)

    def _probe_millisecond(self, walk: ListingCheck, at_ms: int) -> Iterator[Step]:
        """One millisecond fills a list that looks cut; it is if it hides what follows, in the window or behind it."""
        until_ms = max(walk.window.hi_ms, at_ms + 1 + DAY_MS)
        yield from self._list(walk, Window(at_ms, until_ms), final=False)
        if walk.furthest_ms == at_ms:  # and no further
            yield from self._list(walk, Window(at_ms + 1, until_ms), final=False)
            if walk.news:
                raise WalkFailed("the server withholds rows of a single millisecond")

    def _probe_both_ends(self, walk: ListingCheck) -> Iterator[Step]:
        lowest_ms, highest_ms = walk.lowest_ms or 0, walk.highest_ms or 0
        for window in (Window(walk.window.lo_ms, lowest_ms + 1), Window(highest_ms, walk.window.hi_ms)):
            yield from self._list(walk, window, final=False)
            if walk.news:
                raise WalkFailed("the server cuts lists short")

    def _list(self, walk: ListingCheck, window: Window, *, final: bool = True) -> Generator[Step, None, bool]:
        """Read one list to the end of its cursors. True: that end is not to be believed yet.

        Unless `final`, the list only probes what others have shown: it ends nothing, proves no progress, and is left
        at the first page that holds what none of them had.
        """
        walk.begin_list()
        query = {"ql": self._query(window), "limit": str(self.page_size)}
        page, cursor = self._next(query)
        while True:
            walk.take(page, cursor)
            progress_ms = walk.progress_ms if final else None
            if cursor is None:
                over = final and not walk.looks_cut
                yield Step(page, progress_ms, walk.ordered, "exhausted" if over else "")
                return walk.looks_cut
            if final and self.lower_only and walk.lies_beyond(page, self.passes[0].lag_ms):
                yield Step(page, progress_ms, walk.ordered, "by_order")
                return False
            if walk.pages >= PAGES_PER_WALK and progress_ms is not None and progress_ms > walk.window.lo_ms:
                yield Step(page, progress_ms, walk.ordered, "partial")
                return False
            yield Step(page, progress_ms, walk.ordered)
            if walk.news and not final:
                return True
            page, cursor = self._next(query, cursor)

    def _next(self, query: dict[str, str], cursor: str | None = None) -> tuple[Page, str | None]:
        try:
            return self.fetch_page(query if cursor is None else {**query, "cursor": cursor})
        except RequestRefused as error:
            if cursor is not None:
                raise WalkFailed(f"the server refused its own cursor: {error}") from error
            raise

    def _query(self, window: Window) -> str:
        if self.lower_only:
            return f"select * where timestamp > {window.lo_ms - 1}"
        return f"select * where timestamp > {window.lo_ms - 1} and timestamp < {window.hi_ms} order by timestamp asc"


_NOT_UNDERSTOOD = "query_parse"
_FAR = f"select * where timestamp > {2**53}"
