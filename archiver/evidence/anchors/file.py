"""Sink `file`: notes appended to a file, on a mount that another host serves."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from archiver import host, notes
from archiver.errors import ArchiverError, ConfigurationError, TryAgainLater

_PIECE = 1 << 16
_LONGEST = 1 << 12
"""More than a note with a few signatures has."""
_LAST_LINE = re.compile(rb"\n\xe2\x80\x94 [^\n]*\n(?=\n)")


def put(path: str, note: bytes) -> None:
    """Append a note, safe from a power cut of the host that serves the mount when this returns."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # The empty line ends what a writer that was cut off has left.
            if os.write(descriptor, b"\n" + note) != len(note) + 1:
                raise TryAgainLater("the file took a part of the note only: its disk is full")
            os.fsync(descriptor)
            end = os.fstat(descriptor).st_size
            written = os.pread(descriptor, len(note) + _LONGEST, max(0, end - len(note) - _LONGEST))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _translated(error) from None
    if note not in written:
        raise TryAgainLater("the file does not give back what was written")


def note(path: str, lines: bytes) -> None:
    """Append lines on erasures to a file beside the notes, safe from a power cut when this returns."""
    try:
        descriptor = os.open(_erasures(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if os.write(descriptor, lines) != len(lines):
                raise TryAgainLater("the file took a part of the lines only: its disk is full")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _translated(error) from None


def noted(path: str) -> Iterator[bytes]:
    """All lines on erasures, some at a time; none where there is no such file."""
    try:
        with _erasures(path).open("rb") as file:
            while some := b"".join(file.readlines(_PIECE)):
                yield some
    except FileNotFoundError:
        return
    except OSError as error:
        raise _translated(error) from None


def _erasures(path: str) -> Path:
    return Path(path).with_name("erasures.jsonl")


def newer(path: str, size: int) -> Iterator[bytes]:
    """The notes after the last one of this size or a smaller one, oldest first; all where there is no such one."""
    try:
        with Path(path).open("rb") as file:
            file.seek(_beginning(file.fileno(), size))
            rest = b""
            while piece := file.read(_PIECE):
                rest += piece
                whole, rest = _split(rest)
                yield from _notes(whole, size)
            yield from _notes(rest, size)
    except FileNotFoundError:
        if not Path(path).parent.is_dir():
            raise TryAgainLater(f"there is no folder {Path(path).parent}; is it mounted?") from None
    except OSError as error:
        raise _translated(error) from None


def _beginning(descriptor: int, size: int) -> int:
    """From where on to read: not far before the last note of this size or a smaller one."""
    place = os.fstat(descriptor).st_size
    while place > 0:
        place = max(0, place - _PIECE)
        piece = os.pread(descriptor, _PIECE + _LONGEST, place)
        if any(one.note.size <= size for one in notes.find(piece.decode(errors="replace"))):
            break
    return place


def _split(data: bytes) -> tuple[bytes, bytes]:
    """What holds whole notes alone, and the rest. A note ends with the signature line that an empty line follows."""
    end = max((match.end() for match in _LAST_LINE.finditer(data)), default=0)
    return data[:end], data[max(end, len(data) - _PIECE - _LONGEST) :]


def _notes(data: bytes, size: int) -> Iterator[bytes]:
    yield from (one.data for one in notes.find(data.decode(errors="replace")) if one.note.size > size)


def probe(path: str) -> Iterator[str]:
    """What this account could do to notes that are there. The file itself is opened, never changed.

    Where there is none yet, a file of ours stands in for it.
    """
    file = Path(path)
    if file.exists():
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            yield "may be overwritten and deleted by this account: chattr +a it on the host that serves it, or use WORM"
        return
    ours = file.with_name(f"{file.name}.probe")
    try:
        ours.write_bytes(b"a probe of `archiver doctor`\n")
    except OSError as error:
        raise _translated(error) from None
    with suppress(OSError), ours.open("r+b") as opened:
        opened.write(b"X")
        yield "may be overwritten by this account: chattr +a it on the host that serves it, or use WORM"
    with suppress(OSError):
        ours.unlink()
        yield "may be deleted by this account: chattr +a it on the host that serves it, or use WORM"


def _translated(error: OSError) -> ArchiverError:
    text = f"the file cannot be used: {error.strerror}"
    if error.errno is None or host.passes(error.errno):
        return TryAgainLater(text)
    return ConfigurationError(text, hint="a path on a mount that is there, in which this account may append and read")
