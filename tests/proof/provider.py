"""A provider in simulated time: it keeps records, shows them when they become visible, and lists them in bad ways.

It answers in bytes, and the product's own reader makes pages of them. Its *nature* is for ever (how it sorts, what
its cursors mean); its *trouble* ends one day. It also knows the truth, which is what the oracles compare with.
"""

from __future__ import annotations

import json
import random
import re
import zlib
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from archiver.errors import CredentialsRefused, ProviderUnavailable, RequestRefused
from archiver.model import Page
from archiver.sources.easemob import cursor as product

YEARS_MS = 365 * 86_400_000
_RANGE = re.compile(r"select \* where timestamp > (-?\d+)(?: and timestamp < (-?\d+) order by timestamp asc)?")

Place = tuple[int, int]
"""Where a record stands in an order: the key it is sorted by, and its number."""


@dataclass(slots=True)
class Clock:
    """Simulated time. `now_ms` is the true one: what the provider's clocks agree on up to `eps`."""

    now_ms: int
    database_offset_ms: int = 0
    client_offset_ms: int = 0
    told_ms: Callable[[int], int] = lambda ms: ms
    """What the server says the time is, at an instant of its clock: it may stand still, or count in seconds."""

    def database_ms(self) -> int:
        return self.now_ms + self.database_offset_ms

    def client_ms(self) -> int:
        """The archiver's own clock, which must decide nothing."""
        return self.now_ms + self.client_offset_ms


@dataclass(frozen=True, slots=True)
class Record:
    """One message of the truth. `raws`: its bytes, and what they become at an instant, where it is ever edited."""

    number: int
    msg_id: str
    stamp_ms: int
    visible_ms: int
    lateness_ms: int
    raws: tuple[bytes, ...]
    edited_ms: int = 0
    readable: bool = True

    def raw(self, now_ms: int) -> bytes:
        return self.raws[-1] if now_ms >= self.edited_ms else self.raws[0]


@dataclass(frozen=True, slots=True)
class Nature:
    """How this provider is, for ever."""

    lower_only: bool = False
    order: str = "ascending"
    """ "ascending", "descending", "scrambled", or "numbered": by the records' numbers, as a test gave them."""
    order_from_ms: int = 0
    """Before this instant the order is ascending, whatever `order` says."""
    cursors: str = "bound"
    """ "bound": sent with another query they mean the first page; "place": behind a record; "offset": so many rows."""
    eager_end: bool = False
    """The last page has no cursor even where it is full; else a full page always has one."""
    last_cursor: str = "absent"
    """ "absent", "null" or "empty"."""
    cut_after: int = 0
    """A list ends after so many rows, without a cursor; 0: never."""
    page_rows: int = 0
    """Rows on a page, whatever was asked; 0: as asked."""
    nodes_ms: tuple[int, ...] = (0,)
    """The clocks of its nodes, as offsets."""
    retention_ms: int | None = None
    """Rows older than that are not listed any more."""


RATES = (
    "error",
    "garbage",
    "refused_credentials",
    "dead_cursor",
    "lost_cursor",
    "loop_cursor",
    "repeated_page",
    "empty_page",
    "short_page",
    "duplicates",
    "outside",
    "no_time",
    "slow",
)


@dataclass(slots=True)
class Trouble:
    """What goes wrong while it lasts: rates from 0 to 1, and answers whose clock is wrong."""

    rates: dict[str, float] = field(default_factory=dict)
    day_ahead: int = 0
    """So many answers, spread over the world, tell a time a day ahead."""
    first_answer_ahead_ms: int = 0
    """A node whose clock is ahead by less than anybody notices answers the question for the time, but no pages."""
    no_pages: tuple[int, int] = (0, 0)
    """In this span the question for the time is answered, and no page is to be had."""


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    date_ms: int | None


class Provider:
    """Answers queries. `meanwhile` is called within each request: other processes may work then."""

    def __init__(self, draw: random.Random, clock: Clock, nature: Nature, trouble: Trouble) -> None:
        self.draw, self.clock, self.nature, self.trouble = draw, clock, nature, trouble
        self.meanwhile: Callable[[], None] = lambda: None
        self.records: list[Record] = []
        self._stamps: list[int] = []
        self.calm = False
        self.asked = 0
        self.rows_served = 0

    def keep(self, records: list[Record]) -> None:
        """Take over the records; the list is sorted by stamp from now on."""
        self.records = sorted(records, key=lambda record: (record.stamp_ms, record.number))
        self._stamps = [record.stamp_ms for record in self.records]

    def fetch_page(self, query: dict[str, str]) -> tuple[Page, str | None]:
        """What the product's source calls; the answer goes through the product's own reader."""
        self.asked += 1
        draw = self.draw
        self.clock.now_ms += draw.randrange(1, 60_000) if self._hits("slow") else draw.randrange(5, 800)
        taken_up_ms = self.clock.now_ms + draw.choice(self.nature.nodes_ms)
        self.meanwhile()
        if self._hits("error"):
            raise ProviderUnavailable("simulated: no answer")
        if self._hits("refused_credentials"):
            raise CredentialsRefused("simulated")
        body = self._answer(query, taken_up_ms)
        date_ms: int | None = self.clock.told_ms(taken_up_ms) // 1000 * 1000
        if self._hits("garbage"):
            body = self._garbage(body)
        if self._hits("no_time"):
            body, date_ms = body.replace(b'"timestamp":%d' % (self.clock.told_ms(taken_up_ms) + 3), b'"at":0', 1), None
        return product.read_page(Answer(body, date_ms))

    def _hits(self, name: str) -> bool:
        rate = self.trouble.rates.get(name)
        return rate is not None and not self.calm and self.draw.random() < rate

    def _answer(self, query: dict[str, str], taken_up_ms: int) -> bytes:
        found = _RANGE.fullmatch(query["ql"])
        if found is None or (found[2] is not None and self.nature.lower_only):
            raise RequestRefused("simulated: the query cannot be parsed", status=400)
        lo_ms, hi_ms = int(found[1]) + 1, None if found[2] is None else int(found[2])
        asks_for_time = lo_ms == 1 or lo_ms > 2**52
        if not self.calm:
            if not asks_for_time and self.trouble.no_pages[0] <= self.clock.now_ms < self.trouble.no_pages[1]:
                raise ProviderUnavailable("simulated: 503")
            if asks_for_time:
                taken_up_ms += self.trouble.first_answer_ahead_ms
            if self.trouble.day_ahead and self.draw.random() < 0.1:
                self.trouble.day_ahead -= 1
                taken_up_ms += 86_400_000
        rows, cursor = self._page(query, lo_ms, hi_ms)
        tail = (
            "" if cursor else {"absent": "", "null": ',"cursor":null', "empty": ',"cursor":""'}[self.nature.last_cursor]
        )
        if cursor:
            tail = f',"cursor":{json.dumps(cursor)}'
        now_ms = self.clock.now_ms
        self.rows_served += len(rows)
        told_ms = self.clock.told_ms(taken_up_ms) + 3
        head = f'{{"action":"get","timestamp":{told_ms},"duration":3{tail},"count":{len(rows)},"entities":['
        return b"".join((head.encode(), b",".join([row.raw(now_ms) for row in rows]), b"]}"))

    def _page(self, query: dict[str, str], lo_ms: int, hi_ms: int | None) -> tuple[list[Record], str | None]:
        order, after, given, skipped = self._resume(query)
        first = bisect_left(self._stamps, lo_ms)
        last = len(self.records) if hi_ms is None else bisect_left(self._stamps, hi_ms)
        now_ms = self.clock.now_ms
        if self.nature.retention_ms is not None:
            first = max(first, bisect_left(self._stamps, now_ms - self.nature.retention_ms))
        matching = [record for record in self.records[first:last] if record.visible_ms <= now_ms]
        if order != "ascending":
            matching.sort(key=lambda record: _place(order, record))
        rest = matching[skipped:] if after is None else [row for row in matching if _place(order, row) > after]
        limit = self.nature.page_rows or int(query["limit"])
        full, repeated = limit, False
        if self._hits("empty_page"):
            limit = 0
        elif self._hits("short_page"):
            limit = limit // 2
        page = rest[:limit]
        cut = self.nature.cut_after
        if cut and given + len(page) >= cut:
            return page[: max(0, cut - given)], None
        ended = len(rest) <= limit if self.nature.eager_end else len(page) < full and limit == full
        if ended:
            return self._spoilt(page, lo_ms, hi_ms), None
        if page and self._hits("repeated_page"):
            repeated = True
        sent = query.get("cursor")
        if sent and self._hits("loop_cursor"):
            return page, sent
        behind = after if repeated or not page else _place(order, page[-1])
        count = skipped if repeated else skipped + len(page)
        given += 0 if repeated else len(page)
        return self._spoilt(page, lo_ms, hi_ms), self._cursor(query["ql"], order, behind, given, count)

    def _resume(self, query: dict[str, str]) -> tuple[str, Place | None, int, int]:
        """Which order this list has, and where it goes on: behind a place, after so many rows, or after an offset."""
        now_ms, nature = self.clock.now_ms, self.nature
        fresh = nature.order if now_ms >= nature.order_from_ms else "ascending"
        sent = query.get("cursor")
        if not sent or self._hits("lost_cursor"):
            return fresh, None, 0, 0
        if self._hits("dead_cursor"):
            raise RequestRefused("simulated: cursor is invalid", status=self.draw.choice((400, 404)))
        bound, order, key, number, given, count, _ = sent.split("/")
        if nature.cursors == "bound" and bound != str(zlib.crc32(query["ql"].encode())):
            return fresh, None, 0, 0  # without a word: the first page
        if nature.cursors == "offset":
            return order, None, int(given), int(count)
        return order, (int(key), int(number)) if key else None, int(given), 0

    def _cursor(self, ql: str, order: str, behind: Place | None, given: int, count: int) -> str:
        """Every cursor is a new text, as those of a real provider may be."""
        key, number = behind or ("", "")
        return f"{zlib.crc32(ql.encode())}/{order}/{key}/{number}/{given}/{count}/{self.asked}"

    def _spoilt(self, page: list[Record], lo_ms: int, hi_ms: int | None) -> list[Record]:
        if page and self._hits("duplicates"):
            page = [*page, *self.draw.choices(page, k=self.draw.randint(1, 3))]
        if self._hits("outside"):
            shown = [row for row in self.records if row.visible_ms <= self.clock.now_ms]
            beside = [row for row in shown if row.stamp_ms < lo_ms or (hi_ms is not None and row.stamp_ms >= hi_ms)]
            if beside:
                page = [*page, self.draw.choice(beside)]
        return page

    def _garbage(self, body: bytes) -> bytes:
        return self.draw.choice(
            (
                b"<html><body>502 Bad Gateway</body></html>",
                body[: max(1, len(body) // 2)],
                b'{"action":"get","timestamp":1,"duration":0,"count":0}',
                b'{"error":"service_error","timestamp":1}',
                b"",
            )
        )


def _place(order: str, record: Record) -> Place:
    if order == "ascending":
        return record.stamp_ms, record.number
    if order == "descending":
        return -record.stamp_ms, record.number
    if order == "numbered":
        return record.number, 0
    return zlib.crc32(record.msg_id.encode()), record.number
