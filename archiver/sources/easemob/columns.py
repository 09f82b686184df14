"""What a database column can hold: texts without NUL and surrogates, numbers within 64 bits, JSON that JSONB takes.

Everything else is substituted (U+FFFD, or nothing and the value kept in `extra`) and marks the message as lossy;
the record's own bytes stay beside it.
"""

from __future__ import annotations

import math
import re
from typing import Any

from archiver.jsontext import compact

INDEXED_BYTES = 512
_INT64 = range(-(2**63), 2**63)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,30})?")


class Columns:
    """Turns the values of one record into what columns hold, and remembers whether anything was lost on the way."""

    __slots__ = ("clean", "lossy", "plain")

    def __init__(self, clean: bool, plain: bool) -> None:
        self.clean = clean
        """The record has no escape that could stand for a NUL or half a surrogate pair."""
        self.plain = plain
        """What the record holds may be written as it is, see `Slice.plain`."""
        self.lossy = False

    def text(self, value: str) -> str:
        if self.clean:
            return value
        stored = _UNSTORABLE.sub("\ufffd", value)
        self.lossy |= stored != value
        return stored

    def indexed(self, value: Any) -> str | None:
        """A text short enough for an index: cut at 512 bytes of UTF-8, between characters."""
        if value is None:
            return None
        if not isinstance(value, str):
            self.lossy = True
            return None
        if self.clean and len(value) * 4 <= INDEXED_BYTES:
            return value
        stored = self.text(value)
        if len(stored) * 4 > INDEXED_BYTES and len(stored.encode()) > INDEXED_BYTES:
            self.lossy = True
            return stored.encode()[:INDEXED_BYTES].decode(errors="ignore")
        return stored

    def json(self, value: Any) -> str | None:
        """JSON text that JSONB and SQLite take alike; None for None."""
        if value is None:
            return None
        try:
            stored = compact(value, plain=self.plain)
        except ValueError:
            self.lossy = True
            storable = self._storable(value)
            return None if storable is None else compact(storable, plain=False)
        if self.clean or not ("\\u0000" in stored or _UNSTORABLE.search(stored)):
            return stored
        written = compact(self._storable(value), plain=False)
        self.lossy |= written != stored
        return written

    def _storable(self, value: Any) -> Any:
        if isinstance(value, str):
            return _UNSTORABLE.sub("\ufffd", value)
        if isinstance(value, dict):
            return {self._storable(key): self._storable(element) for key, element in value.items()}
        if isinstance(value, list):
            return [self._storable(element) for element in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value


def integer(value: Any) -> int | None:
    """A 64-bit integer, from a JSON integer, an integral float or digits; None for everything else."""
    if type(value) is int:
        return value if value in _INT64 else None
    if (isinstance(value, float) and value.is_integer()) or (isinstance(value, str) and _INTEGER.fullmatch(value)):
        value = int(value)
    return value if type(value) is int and value in _INT64 else None


def number(value: Any) -> float | None:
    """A finite double that equals the JSON number or the digits given; None for everything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):  # the send call of 2014 took latitudes as texts
        return float(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53:
        return float(value)
    return None
