"""The records of the stand-in server, rendered once and kept in index order."""

from __future__ import annotations

import itertools
import json
import re
import threading
import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

_UUID_EPOCH_MS = 12_219_292_800_000
_FILE = re.compile(rb"/chatfiles/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")

Key = tuple[int, int, int]
"""(timestamp or 0, 100 ns steps of the uuid, the uuid): ties of a millisecond lie in the order of their creation."""


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A record as it is served. `record` is {} where the bytes are no JSON object."""

    timestamp_ms: int
    visible_ms: int
    """It is served from this time of the server on."""
    raw: bytes = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    uuid: int
    """Its place among equal timestamps: the record's own, or one made up for it."""

    @property
    def msg_id(self) -> str:
        return str(self.record.get("msg_id", ""))

    @property
    def created_ms(self) -> int:
        """When it was ingested, as its uuid tells."""
        return uuid_steps(self.uuid) // 10_000 - _UUID_EPOCH_MS

    @property
    def key(self) -> Key:
        return (self.timestamp_ms, *self.uuid_key[1:])

    @property
    def uuid_key(self) -> Key:
        return (0, uuid_steps(self.uuid), self.uuid)

    @property
    def scrambled_key(self) -> Key:
        """A place in an order that has nothing to do with time."""
        return (zlib.crc32(self.uuid.to_bytes(16, "big")), 0, self.uuid)


def uuid_steps(uuid: int) -> int:
    """The time of a v1 uuid, in steps of 100 ns."""
    return (uuid >> 96) | ((uuid >> 80) & 0xFFFF) << 32 | ((uuid >> 64) & 0x0FFF) << 48


def make_uuid(created_ms: int, serial: int, node: int = 0x0242AC110002) -> int:
    """A v1 uuid made at that millisecond; `serial` tells apart those of one millisecond, and beyond 10,000 of them."""
    steps = (created_ms + _UUID_EPOCH_MS) * 10_000 + serial % 10_000
    time = (steps & 0xFFFFFFFF) << 96 | ((steps >> 32) & 0xFFFF) << 80 | (0x1000 | (steps >> 48) & 0x0FFF) << 64
    return time | (0x8000 | serial // 10_000 & 0x3FFF) << 48 | node


def uuid_text(uuid: int) -> str:
    text = f"{uuid:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def render(record: Any) -> bytes:
    """JSON as the provider writes it: compact UTF-8, escapes only where UTF-8 has no form (lone surrogates)."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(record, separators=(",", ":")).encode()


class Index:
    """Records in the order of one key."""

    def __init__(self, key: Callable[[Stored], Key], rows: Iterable[Stored] = ()) -> None:
        self.key = key
        self.rows = sorted(rows, key=key)
        self.keys = [key(row) for row in self.rows]

    def add(self, row: Stored) -> None:
        self.rows.insert(bisect_left(self.keys, self.key(row)), row)
        insort(self.keys, self.key(row))

    def remove(self, row: Stored) -> None:
        at = bisect_left(self.keys, self.key(row))
        del self.rows[at], self.keys[at]

    def between(self, low: Key | None, high: Key | None) -> range:
        """The positions of [low, high)."""
        start = 0 if low is None else bisect_left(self.keys, low)
        return range(start, max(start, len(self.keys) if high is None else bisect_left(self.keys, high)))


class Shelf:
    """All records. Reading takes the lock once a page, so a page is what was there at one instant."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self.by_time = Index(lambda row: row.key)
            self.by_uuid = Index(lambda row: row.uuid_key)
            self._uuids: set[int] = set()
            self._serials = itertools.count()
            self.files: dict[str, int] = {}
            """Every attachment that a record points to, and the timestamp of that record."""

    def load(self, rows: list[Stored]) -> None:
        """Take over many rows at once, in place of what was there."""
        with self.lock:
            self.clear()
            self.by_time, self.by_uuid = Index(lambda row: row.key, rows), Index(lambda row: row.uuid_key, rows)
            self._uuids.update(row.uuid for row in rows)
            for row in rows:
                self._find_files(row)

    def add(
        self, record: dict[str, Any] | bytes, timestamp_ms: int | None, visible_ms: int | None, now_ms: int
    ) -> Stored:
        raw = record if isinstance(record, bytes) else render(record)
        known = _object(raw)
        stamp = _timestamp(known, now_ms) if timestamp_ms is None else timestamp_ms
        with self.lock:
            uuid = self._uuid(known, now_ms)
            row = Stored(stamp, min(stamp, now_ms) if visible_ms is None else visible_ms, raw, known, uuid)
            self._uuids.add(uuid)
            self.by_time.add(row)
            self.by_uuid.add(row)
            self._find_files(row)
        return row

    def remove(self, row: Stored) -> None:
        """Forget a record and its attachments, as a recall does."""
        with self.lock:
            self.by_time.remove(row)
            self.by_uuid.remove(row)
            for uuid in _FILE.findall(row.raw):
                self.files.pop(uuid.decode(), None)

    def serial(self) -> int:
        """A number that no other message has."""
        return next(self._serials)

    def _find_files(self, row: Stored) -> None:
        for uuid in _FILE.findall(row.raw):
            self.files[uuid.decode()] = row.timestamp_ms

    def all(self) -> list[Stored]:
        with self.lock:
            return list(self.by_time.rows)

    def within(self, lo_ms: int, hi_ms: int) -> list[Stored]:
        with self.lock:
            positions = self.by_time.between((lo_ms, 0, 0), (hi_ms, 0, 0))
            return self.by_time.rows[positions.start : positions.stop]

    def _uuid(self, record: dict[str, Any], now_ms: int) -> int:
        text = record.get("uuid")
        if isinstance(text, str) and _UUID_TEXT.fullmatch(text):
            uuid = int(text.replace("-", ""), 16)
            if uuid not in self._uuids:
                return uuid
        return next(new for serial in self._serials if (new := make_uuid(now_ms, serial, node=1)) not in self._uuids)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _timestamp(record: dict[str, Any], now_ms: int) -> int:
    value = record.get("timestamp")
    try:
        return int(value) if isinstance(value, str | int | float) else now_ms
    except (ValueError, OverflowError):
        return now_ms
