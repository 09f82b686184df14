"""What one walk over pages has seen, and what it may conclude from that. Pure: it is given pages, and knows no request.

Servers of this kind have been seen to sort otherwise than asked, to cut lists silently, to answer a cursor with the
first page, and to send the same cursor for ever. So order is verified, never assumed; every loop is bounded; and a
walk that cannot trust its end fails instead of ending.
"""

from __future__ import annotations

from archiver.errors import WalkFailed
from archiver.model import Page, Window

EMPTY_PAGES_IN_A_ROW = 50
KNOWN_PAGES_IN_A_ROW = 3
SHORTEST_SUSPICIOUS_PAGE = 10


class ListingCheck:
    """One walk over `window`, made of one or more lists. `trusted`: the server's order has been good so far."""

    def __init__(self, window: Window, *, trusted: bool) -> None:
        self.window = window
        self.ordered = True
        """The rows of this walk came in ascending order."""
        self._trusted = trusted
        self.highest_ms: int | None = None
        self.lowest_ms: int | None = None
        self.pages = 0
        self.news = 0
        """Rows of this list that no earlier page of this walk had."""
        self.furthest_ms: int | None = None
        """The latest stamp on this list, in the window or not."""
        self._seen: set[str] = set()
        self._listed: set[str] | None = None
        """The ids on this list, where it follows others, which it repeats; on the first list these are `_seen`."""
        self._longest = self._last = 0
        self.begin_list()

    def begin_list(self) -> None:
        """A new list begins: cursors belong to one list only."""
        self.news = self._empty = self._known = 0
        self._listed = set() if self.pages else None
        self.furthest_ms = None
        self._cursors: set[str] = set()

    @property
    def trusted(self) -> bool:
        """The server's order has been good so far, and in this walk."""
        return self._trusted and self.ordered

    @property
    def progress_ms(self) -> int | None:
        """Every row of the window stamped before this has been seen; None while order is not trusted."""
        return self.highest_ms if self.trusted else None

    @property
    def looks_cut(self) -> bool:
        """The list ended with a page as long as any other: so does one that was cut off silently."""
        return self.highest_ms is not None and self._last >= max(self._longest, SHORTEST_SUSPICIOUS_PAGE)

    def take(self, page: Page, cursor: str | None) -> None:
        """Take in one page. Raises WalkFailed where going on would not end."""
        stamps = [message.timestamp_ms for message in page.messages]
        if stamps:
            latest_ms = max(stamps)
            self.furthest_ms = latest_ms if self.furthest_ms is None else max(self.furthest_ms, latest_ms)
        seen, ids = len(self._seen), {message.msg_id for message in page.messages}
        repeats = ids <= (self._seen if self._listed is None else self._listed)
        if not self._see_all(ids, stamps):
            for message in page.messages:
                if message.msg_id not in self._seen:
                    self._seen.add(message.msg_id)
                    self._see(message.timestamp_ms)
        news = len(self._seen) - seen
        self.pages += 1
        self.news += news
        self._last = page.received
        self._longest = max(self._longest, page.received)
        self._empty = 0 if page.received else self._empty + 1
        # Rows of other lists prove nothing: a probe repeats them, and a millisecond may fill more pages than these.
        self._known = self._known + 1 if page.messages and repeats else 0
        if self._listed is not None:
            self._listed |= ids
        if cursor is not None:
            self._check_bounds(cursor)

    def _see_all(self, msg_ids: set[str], stamps: list[int]) -> bool:
        """See a page as nearly all are at once: new rows, in order, within the window. False where it is another."""
        first = self.window.lo_ms if self.highest_ms is None else max(self.window.lo_ms, self.highest_ms)
        if not stamps or stamps[0] < first or stamps[-1] >= self.window.hi_ms or stamps != sorted(stamps):
            return False
        if len(msg_ids) != len(stamps) or not self._seen.isdisjoint(msg_ids):
            return False
        self._seen |= msg_ids
        self.lowest_ms, self.highest_ms = stamps[0] if self.lowest_ms is None else self.lowest_ms, stamps[-1]
        return True

    def _see(self, timestamp_ms: int) -> None:
        if not self.window.lo_ms <= timestamp_ms < self.window.hi_ms:
            return
        if self.highest_ms is None or self.lowest_ms is None:
            self.highest_ms = self.lowest_ms = timestamp_ms
        elif timestamp_ms >= self.highest_ms:
            self.highest_ms = timestamp_ms
        else:
            self.ordered = False
            self.lowest_ms = min(self.lowest_ms, timestamp_ms)

    def _check_bounds(self, cursor: str) -> None:
        if cursor in self._cursors:
            raise WalkFailed("the server sent a cursor for the second time in one list")
        self._cursors.add(cursor)
        if self._known >= KNOWN_PAGES_IN_A_ROW:
            raise WalkFailed(f"{KNOWN_PAGES_IN_A_ROW} pages in a row brought only rows of earlier pages of this walk")
        if self._empty > EMPTY_PAGES_IN_A_ROW:
            raise WalkFailed(f"more than {EMPTY_PAGES_IN_A_ROW} empty pages in a row")

    def lies_beyond(self, page: Page, margin_ms: int) -> bool:
        """Whether this page proves that the rest of an ordered list lies behind the window.

        A page whose own rows descend shows nothing: rows outside the window are no disorder of it, but no order either.
        """
        stamps = [message.timestamp_ms for message in page.messages]
        if not self.trusted or not stamps or page.rejects:
            return False
        return stamps[0] >= self.window.hi_ms + margin_ms and stamps == sorted(stamps)
