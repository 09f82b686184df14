"""Cursors as Usergrid writes them: base64 of "<slice hash>:" and base64 of the index position of the last row returned.

A cursor means "behind this row of this slice". One that belongs to another slice, or that cannot be read, is ignored
without a word, and the first page is served again: the trap that clients fall into.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import NamedTuple

_INTEGER, _UUID = b"\x80i", b"\x80u"
_KIND_OF_VALUE = 3


class Position(NamedTuple):
    """A place in an index: behind the row with this timestamp and uuid. `timestamp_ms` is None in the uuid index."""

    timestamp_ms: int | None
    uuid: int


def encode(slice_hash: int, position: Position, nonce: int = 0) -> str:
    """A cursor; `nonce` makes it look different without meaning anything else."""
    parts = _part(_UUID, position.uuid.to_bytes(16, "big"))
    if position.timestamp_ms is not None:
        second = (position.uuid ^ ((nonce + 1) << 96)) & (2**128 - 1)
        parts = (
            _integer(_KIND_OF_VALUE)
            + _integer(position.timestamp_ms)
            + parts
            + _part(_UUID, second.to_bytes(16, "big"))
        )
    elif nonce:
        parts += _integer(nonce)
    return _base64(str(slice_hash).encode() + b":" + _base64(parts).encode())


def decode(text: str, slice_hash: int) -> Position | None:
    """The position that a cursor means in this slice; None where it means nothing there."""
    for one in text.split("|"):
        hashed, colon, inner = _unbase64(one).partition(b":")
        if not colon or hashed != str(slice_hash).encode():
            continue
        try:
            numbers, uuids = _components(_unbase64(inner.decode("ascii", "replace")))
        except (ValueError, struct.error):
            return None
        if uuids:
            return Position(numbers[1] if len(numbers) > 1 else None, uuids[0])
    return None


def _components(data: bytes) -> tuple[list[int], list[int]]:
    """The integers and the uuids of a Cassandra DynamicComposite, in their order."""
    numbers, uuids = [], []
    while data:
        kind, (length,) = data[:2], struct.unpack(">H", data[2:4])
        value, data = data[4 : 4 + length], data[5 + length :]
        if kind == _INTEGER:
            numbers.append(int.from_bytes(value, "big", signed=True))
        else:
            uuids.append(int.from_bytes(value, "big"))
    return numbers, uuids


def _integer(value: int) -> bytes:
    return _part(_INTEGER, value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True))


def _part(kind: bytes, value: bytes) -> bytes:
    return kind + struct.pack(">H", len(value)) + value + b"\0"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
