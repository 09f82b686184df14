"""The spool: segments of received callbacks, from `incoming/` by way of `ready/` to `taken/<owner>/`.

A record is length, CRC-32C, alias, time of receipt and body. Only a name tells where a segment stands, so that every
step is one rename on one disk, and the receiver and the ingest share nothing else.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from archiver import host
from archiver.callbacks.crc32c import crc32c

INCOMING, READY, TAKEN = "incoming", "ready", "taken"
_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<qB")
_LARGEST = 2**21
"""No record is longer: a length beyond it is damage, and must not be allocated."""


class Received(NamedTuple):
    """One callback as it came: `received_ms` by the receiver's clock, `body` verbatim."""

    alias: str
    received_ms: int
    body: bytes


def encoded(received: Received) -> bytes:
    """A record as it stands in a segment."""
    alias = received.alias.encode("ascii")
    payload = _HEAD.pack(received.received_ms, len(alias)) + alias + received.body
    length = struct.pack("<I", len(payload))
    return length + struct.pack("<I", crc32c(length + payload)) + payload


def records(path: Path) -> Iterator[tuple[Received, int]]:
    """The records of a segment up to the first bad one, and at which byte every one ends."""
    end = 0
    with path.open("rb") as file:
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(frame)
            if not _HEAD.size < length <= _LARGEST:
                return
            payload = file.read(length)
            if len(payload) != length or crc32c(frame[:4] + payload) != checksum:
                return
            received_ms, alias_size = _HEAD.unpack_from(payload)
            body = _HEAD.size + alias_size
            end += _FRAME.size + length
            yield Received(payload[_HEAD.size : body].decode("ascii", "replace"), received_ms, payload[body:]), end


def make(spool: Path) -> None:
    """Make the folders of a spool, for this account alone. Raises OSError."""
    for folder in (spool, spool / INCOMING, spool / READY, spool / TAKEN):
        host.make_folder(folder, parents=True, exist_ok=True)


def recover(spool: Path) -> int:
    """Close the segments that a receiver left open: cut at the first bad record, and moved. Gives how many bytes were
    cut off. Only for who holds the spool's lock. Raises OSError."""
    lost = 0
    for segment in sorted((spool / INCOMING).iterdir()):
        end = max((end for _, end in records(segment)), default=0)
        lost += segment.stat().st_size - end
        if end == 0:
            segment.unlink()
            continue
        os.truncate(segment, end)
        publish(spool, segment)
    host.sync_folder(spool / INCOMING)
    return lost


def publish(spool: Path, segment: Path) -> None:
    """Hand a finished segment to the ingest: its bytes are on the disk before its new name is."""
    descriptor = os.open(segment, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    segment.rename(spool / READY / segment.name)
    host.sync_folder(spool / READY)


class Backlog(NamedTuple):
    """What waits in a spool: bytes, segments, and when the oldest was begun (ms); None where nothing waits."""

    bytes: int
    segments: int
    oldest_ms: int | None


def backlog(spool: Path) -> Backlog:
    """What waits to be read in; a folder that is not there has nothing."""
    sizes, begun = 0, []
    for path in (*_files(spool / INCOMING), *_files(spool / READY), *spool.glob(f"{TAKEN}/*/*.segment")):
        try:
            sizes += path.stat().st_size
        except FileNotFoundError:
            continue  # read in meanwhile
        begun.append(begun_ms(path))
    return Backlog(sizes, len(begun), min(begun, default=None))


def begun_ms(segment: Path) -> int:
    """When a segment was begun, by its name."""
    text = segment.name.partition("-")[0]
    return int(text) if text.isdigit() else 0


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.segment"))
    except OSError:
        return []
