"""Sink `s3`: a note is an object named by its size in 20 digits, written once; the bucket should have object lock."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from hashlib import sha256

from archiver import notes
from archiver.blobs import Objects
from archiver.errors import ArchiveIncomplete, TryAgainLater


def put(url: str, endpoint: str | None, note: bytes) -> None:
    """Create the note's object. Raises ArchiveIncomplete where the bucket holds another note of this size."""
    objects, name = Objects(url, endpoint), _name(note)
    objects.create(name, note)
    stored = objects.get(name)
    if stored is None:
        raise TryAgainLater("the bucket does not give back what was written")
    if _text(stored) != _text(note):
        raise ArchiveIncomplete(f"the bucket holds another note of this size: {name}")


_ERASURES = "erasures.jsonl."


def note(url: str, endpoint: str | None, lines: bytes) -> None:
    """Create an object with lines on erasures; the same lines are one object, however often they come."""
    objects, name = Objects(url, endpoint), f"{_ERASURES}{sha256(lines).hexdigest()[:32]}"
    objects.create(name, lines)
    if objects.get(name) != lines:
        raise TryAgainLater("the bucket does not give back what was written")


def noted(url: str, endpoint: str | None) -> Iterator[bytes]:
    """All lines on erasures, an object at a time."""
    objects = Objects(url, endpoint)
    for name in objects.names_after(_ERASURES):
        if name.startswith(_ERASURES) and (lines := objects.get(name)):
            yield lines


def newer(url: str, endpoint: str | None, size: int) -> Iterator[bytes]:
    """The notes of greater sizes, in order of size."""
    objects = Objects(url, endpoint)
    for name in objects.names_after(f"{size:020}.z"):  # after every epoch's name of this size
        if re.fullmatch(r"[0-9]{20}(\.[0-9]+)?", name) and (stored := objects.get(name)):
            yield stored


def probe(url: str, endpoint: str | None) -> Iterator[str]:
    """What these credentials could do to notes that are there; a probe of ours may stay."""
    objects = Objects(url, endpoint)
    first, second = (f"probe-{uuid.uuid4().hex}" for _ in range(2))
    objects.create(first, b"a probe of `archiver doctor`\n")
    objects.create(second, b"a probe of `archiver doctor`\n")
    if objects.get(first) is None:
        raise TryAgainLater("the bucket does not give back what was written")
    if objects.may_replace(first):
        yield "may be overwritten with these credentials: use a bucket with object lock"
    if objects.may_delete(second):
        yield "may be deleted with these credentials: use a bucket with object lock"


def _name(note: bytes) -> str:
    """Later epochs have a suffix: after a restore, a size may come twice."""
    signed = notes.parse(note).note
    epoch = re.search(r"#([0-9]+)$", signed.origin)
    return f"{signed.size:020}" + (f".{epoch[1]}" if epoch else "")


def _text(note: bytes) -> bytes:
    """Without the signature lines, which change when keys do."""
    return note.partition(b"\n\n")[0]
