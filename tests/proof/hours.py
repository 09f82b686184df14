"""A provider of hourly files in simulated time: links, files in real gzip bytes, and what becomes of both.

A file holds what *arrived* in its hour of the cluster's zone; it appears some time after that hour, grows, and is
dropped after the retention. The product's own `read_answer` and `HourlySource` read it. Like `Provider`, it has a
nature for ever and troubles that end, and it knows the truth. It also keeps a diary of what it served of each hour.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, NamedTuple

from archiver.errors import CredentialsRefused, ProviderUnavailable
from archiver.http.download import Downloaded, Progress, SignedLink
from archiver.http.response import Answer
from archiver.model import HOUR_MS, MINUTE_MS
from archiver.sources.easemob.hourly import HourAnswer, read_answer
from tests.proof.provider import Clock, Record

NEVER_MS = 1 << 60
"""When a record becomes visible that lies in a file nobody can ever read."""

RATES = ("error", "garbage", "refused_credentials", "no_time", "slow", "cut", "cut_between", "no_download", "no_link")


@dataclass(frozen=True, slots=True)
class Filed(Record):
    """A record of the truth, and when it arrived: that is whose hour's file it lies in."""

    filed_ms: int = 0


@dataclass(frozen=True, slots=True)
class HourNature:
    """How this provider is, for ever."""

    offset_ms: int = 8 * HOUR_MS
    """The zone whose hours name the files."""
    renamed_ms: int = NEVER_MS
    """From this instant on the files are named by `later_offset_ms`."""
    later_offset_ms: int = 8 * HOUR_MS
    delay_ms: int = 20 * MINUTE_MS
    """So long after its hour a file can be had."""
    retention_ms: int | None = None
    beyond: str = "400"
    """What is said of a file that was dropped: "400", "404", or "lost": a link, and behind it NoSuchKey."""
    early: str = "400"
    """What is said of an hour that is not over, or whose file is not there yet: "400" or "404"."""
    members: int = 1
    nodes_ms: tuple[int, ...] = (0,)
    doubles: bool = False
    """Records lie twice in a file, and some again in the next."""
    spoilt: dict[int, str] = field(default_factory=dict)
    """Hours, by their first instant, whose file can never be had: "never" (400), "lost" (NoSuchKey), "damaged",
    or the answer has no link: "no links" (an empty list), "an object"."""

    def offset_at(self, now_ms: int) -> int:
        return self.later_offset_ms if now_ms >= self.renamed_ms else self.offset_ms

    def file_of(self, ms: int) -> int:
        """The first instant of the hour in whose file something lies that arrived at `ms`."""
        return (ms + self.offset_ms) // HOUR_MS * HOUR_MS - self.offset_ms

    def visible_ms(self, filed_ms: int, grown_ms: int) -> int:
        """From when on a file that can be downloaded has a record that was added to it at `grown_ms`."""
        lo_ms = self.file_of(filed_ms)
        return NEVER_MS if lo_ms in self.spoilt else max(lo_ms + HOUR_MS + self.delay_ms, grown_ms)


class Named(NamedTuple):
    """A file by the hour that it was asked for by."""

    messages: int
    plain: int
    """Those that lie well within the hour they arrived in."""
    right: bool
    """Whether it was that hour."""


@dataclass(slots=True)
class HourTrouble:
    """What goes wrong while it lasts: rates, and spans in which no link or no file can be had."""

    rates: dict[str, float] = field(default_factory=dict)
    no_links: tuple[int, int] = (0, 0)
    no_files: tuple[int, int] = (0, 0)


class HourFiles:
    """Answers for hours. `meanwhile` is called within each request: other processes may work then."""

    def __init__(self, draw: random.Random, clock: Clock, nature: HourNature, trouble: HourTrouble) -> None:
        self.draw, self.clock, self.nature, self.trouble = draw, clock, nature, trouble
        self.meanwhile: Callable[[], None] = lambda: None
        self.records: list[Filed] = []
        self._files: dict[int, list[Filed]] = {}
        self.calm = False
        self.asked = 0
        self.rows_served = 0
        self.read: dict[int, list[int]] = {}
        """By an hour's first instant: when a link was asked for whose file came whole, or an honest 404 given."""
        self.cut: set[int] = set()
        """Hours whose file once ended between two of its members."""
        self.named: dict[int, dict[int, Named]] = {}
        """By the zone that was asked in, then by hour: files that say something of the zone."""
        self._asked_ms: dict[int, int] = {}

    def keep(self, records: list[Filed]) -> None:
        self.records = sorted(records, key=lambda record: (record.stamp_ms, record.number))
        for record in records:
            self._files.setdefault(self.nature.file_of(record.filed_ms), []).append(record)
            if self.nature.doubles and self.draw.random() < 0.2:
                self._files.setdefault(self.nature.file_of(record.filed_ms) + HOUR_MS, []).append(record)
        for file in self._files.values():
            self.draw.shuffle(file)

    def file_of(self, record: Record) -> int:
        """The hour in whose file a record lies."""
        assert isinstance(record, Filed)
        return self.nature.file_of(record.filed_ms)

    def fetch_link(self, hour: str) -> HourAnswer:
        """What the product's source calls first; the answer goes through the product's own reader."""
        self.asked += 1
        draw, nature = self.draw, self.nature
        self.clock.now_ms += draw.randrange(1, 60_000) if self._hits("slow") else draw.randrange(5, 800)
        now_ms = self.clock.now_ms
        self.meanwhile()
        if self._hits("error") or self._hits("no_link") or self._within(self.trouble.no_links):
            raise ProviderUnavailable("simulated: no answer")
        if self._hits("refused_credentials"):
            raise CredentialsRefused("simulated")
        told_ms: int | None = self.clock.told_ms(now_ms + draw.choice(nature.nodes_ms))
        date_ms: int | None = (now_ms + draw.choice(nature.nodes_ms)) // 1000 * 1000
        if self._hits("no_time"):
            told_ms, date_ms = None, draw.choice((None, date_ms))
        if self._hits("garbage"):
            body, status = self._garbage(), draw.choice((200, 200, 502))
            return read_answer(Answer(status, {}, body, date_ms, "simulated"))
        lo_ms = hour_ms(hour) - nature.offset_at(now_ms)
        status, told = self._say(hour, lo_ms, now_ms)
        if told_ms is not None:
            told |= {"timestamp": told_ms + 3, "duration": 3}
        return read_answer(Answer(status, {}, json.dumps(told).encode(), date_ms, "simulated"))

    def _say(self, hour: str, lo_ms: int, now_ms: int) -> tuple[int, dict[str, object]]:
        nature = self.nature
        empty: tuple[int, dict[str, object]] = 404, {"error": "storage_object_not_found"}
        unstored: tuple[int, dict[str, object]] = (
            400,
            {"error": "illegal_argument", "error_description": "maybe chat message history is expired or unstored"},
        )
        link: tuple[int, dict[str, object]] = 200, {"data": [{"url": f"http://files.example/{lo_ms}/{hour}?Expires=1"}]}
        shown = self._shown(lo_ms, now_ms)
        if nature.retention_ms is not None and now_ms > lo_ms + HOUR_MS + nature.retention_ms:
            return link if nature.beyond == "lost" else {"400": unstored, "404": empty}[nature.beyond]
        if nature.spoilt.get(lo_ms) == "never":
            return unstored
        if now_ms < lo_ms + HOUR_MS + nature.delay_ms:
            return {"400": unstored, "404": empty}[nature.early]
        if nature.spoilt.get(lo_ms) in ("no links", "an object"):
            return 200, {"data": [] if nature.spoilt[lo_ms] == "no links" else {"url": "x"}}
        if lo_ms in nature.spoilt:
            return link
        if not shown:
            self.read.setdefault(lo_ms, []).append(now_ms)
            return empty
        self._asked_ms[lo_ms] = now_ms
        return link

    def _shown(self, lo_ms: int, now_ms: int) -> list[Filed]:
        # What is doubled into a later file has been visible before; spoilt files show nothing anyway.
        return [record for record in self._files.get(lo_ms, []) if record.visible_ms <= now_ms]

    def download(self, link: SignedLink, into: IO[bytes], progress: Progress) -> Downloaded:
        """The file behind a link, in bytes; or what storage says instead."""
        lo_ms = int(link.url.split("/")[3])
        self.clock.now_ms += self.draw.randrange(5, 3_000)
        now_ms, nature = self.clock.now_ms, self.nature
        if self._hits("no_download") or self._within(self.trouble.no_files):
            raise ProviderUnavailable("files.example answered 503")
        dropped = nature.retention_ms is not None and now_ms > lo_ms + HOUR_MS + nature.retention_ms
        if dropped or nature.spoilt.get(lo_ms) == "lost":
            raise ProviderUnavailable("files.example answered 404 (NoSuchKey)")
        records = self._shown(lo_ms, now_ms) or self._files.get(lo_ms, [])
        data = self._pack([record.raw(now_ms) for record in records], halves=lo_ms in nature.spoilt)
        whole, framed = b"".join(data), True
        if lo_ms in nature.spoilt or self._hits("cut"):
            whole = whole[: max(1, len(data[0]) // 2)]  # within a member, as a trailer shows
        elif len(data) > 1 and lo_ms not in self.cut and self._hits("cut_between"):
            # Nobody says where the file ends. The same cut twice would look like a file of one member: docs/proof.md.
            whole, framed = data[0], False
            self.cut.add(lo_ms)
        else:
            self.read.setdefault(lo_ms, []).append(self._asked_ms[lo_ms])
        self.rows_served += 2 * len(records) if nature.doubles else len(records)
        into.write(whole)
        into.flush()
        progress(len(whole))
        return Downloaded(len(whole), hashlib.sha256(whole).hexdigest(), framed)

    def ask_in(self, offset_ms: int, hour: str) -> HourAnswer:
        """`fetch_link`, for a process whose setting of the zone is known: what answers show of it is noted."""
        now_ms = self.clock.now_ms
        answer = self.fetch_link(hour)
        meant_ms, lo_ms = (hour_ms(hour) - ms for ms in (offset_ms, self.nature.offset_at(now_ms)))
        shown = self._shown(lo_ms, now_ms) if answer.links else []
        plain = sum(_is_plain(record, lo_ms) for record in shown)
        if plain and lo_ms not in self.nature.spoilt:
            self.named.setdefault(offset_ms, {})[lo_ms] = Named(len(shown), plain, meant_ms == lo_ms)
        return answer

    def _pack(self, lines: list[bytes], *, halves: bool) -> list[bytes]:
        if self.nature.doubles:
            lines = [*lines, *lines]
        count = 1 if halves else min(self.nature.members, max(1, len(lines)))
        size = max(1, -(-len(lines) // count))
        parts = [lines[at : at + size] for at in range(0, len(lines), size)] or [[]]
        return [gzip.compress(b"".join(line + b"\n" for line in part), 1, mtime=0) for part in parts]

    def _within(self, span: tuple[int, int]) -> bool:
        return not self.calm and span[0] <= self.clock.now_ms < span[1]

    def _hits(self, name: str) -> bool:
        rate = self.trouble.rates.get(name)
        return rate is not None and not self.calm and self.draw.random() < rate

    def _garbage(self) -> bytes:
        return self.draw.choice(
            (b"<html>502</html>", b"", b'{"action":"get"}', b'{"data":[]}', b'{"data":[{"url":""}]}')
        )


def hour_ms(hour: str) -> int:
    """When an hour of this name begins in UTC."""
    return int(datetime.strptime(hour, "%Y%m%d%H").replace(tzinfo=UTC).timestamp()) * 1000


def _is_plain(record: Filed, lo_ms: int) -> bool:
    """Whether a record's stamp says in which hour it was filed."""
    return record.readable and lo_ms + 6 * MINUTE_MS <= record.stamp_ms < lo_ms + HOUR_MS - 6 * MINUTE_MS
