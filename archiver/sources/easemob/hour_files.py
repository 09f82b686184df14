"""A downloaded hourly file to pages of records, in bounded memory whatever its size.

The provider documents gzip with one JSON object a line. Whether the bytes arrive packed, in one member or several,
with a byte order mark, CR LF, blank lines or without any newline is not documented, or was seen: all are read. A packed
file ends with a trailer, so one cut short is noticed although its HTTP length fits; but one of several members that was
cut between two ends with a trailer as well, and only the frame of the answer tells.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from json.decoder import JSONDecoder
from typing import IO, NamedTuple, Protocol

from archiver.errors import AnswerUnusable, WalkFailed
from archiver.model import Message, Page, Reject
from archiver.sources.easemob.decode import decode_piece, decode_usual, page_of
from archiver.sources.easemob.slices import Slice, read_whole, split_objects

INFLATED_LIMIT, LINE_LIMIT = 64 << 30, 24 << 20

KEPT_BYTES, _SALVAGED = 16 << 20, 64 << 20
"""Of a damaged file so much is kept, and so much text is read from it at most."""

_MAGIC, _LAYERS = b"\x1f\x8b", 3
_BLOCK, _GLUED, _PAGE_BYTES, _REPORT_EVERY = 1 << 18, 1 << 20, 8 << 20, 64 << 20
_MOST_PIECES = 50_000
_BODY_COSTS = 64
"""At least, in memory, however few bytes it takes in the text."""
_SPACE = b" \t\r\n"
_raw_decode = JSONDecoder().raw_decode
_begins_object = re.compile(rb"[ \t\r\n]*+\{").match
_next_object = re.compile(r"[ \t\r\n]*+(?=\{)").match


class Unreadable(NamedTuple):
    """Bytes that are no record, as received, and why."""

    raw: bytes
    problem: str


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def seek(self, at: int, /) -> int: ...


def verify(
    file: IO[bytes], *, framed: bool, limit: int = INFLATED_LIMIT, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Read a file to its trailer before any record of it is believed. AnswerUnusable; WalkFailed beyond the limit.

    The text is thrown away, and inflated again to be read: that costs 1.5 s a GB, as much as writing a second temporary
    file and reading that, and needs no room for a text ten times as large as the file. `framed`: see `Downloaded`;
    without that a file of one member may still be the first of several, and who asked has to ask again.
    """
    size = reported = 0
    try:
        stream, packed = _open(file)
        begins = stream.read(4).removeprefix(codecs.BOM_UTF8)[:1]
        stream.seek(0)
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > limit:
                raise WalkFailed(f"the file inflates to more than {limit} bytes")
            if size - reported >= _REPORT_EVERY:
                progress(size - reported)
                reported = size
    except EOFError:
        raise AnswerUnusable("the file was cut off") from None
    except (zlib.error, gzip.BadGzipFile):
        raise AnswerUnusable("the file is damaged") from None
    if not packed and not (framed and begins == b"{"):  # a gateway's page instead of the file, or half of a text
        raise AnswerUnusable("the file is neither packed nor plainly whole")
    if packed and not framed and _has_several(file, progress):
        raise AnswerUnusable("the file has several members, and the answer did not say where its end is")


def _has_several(file: IO[bytes], progress: Callable[[int], None]) -> bool:
    """Whether something comes behind the first member of a verified file; zeros there are padding."""
    file.seek(0)
    inflater, size = zlib.decompressobj(wbits=31), 0
    while not inflater.eof and (piece := inflater.unconsumed_tail or file.read(_BLOCK)):
        size += len(inflater.decompress(piece, _BLOCK))
        if size >= _REPORT_EVERY:
            progress(size)
            size = 0
    rest = inflater.unused_data or file.read(_BLOCK)
    while rest and not rest.strip(b"\0"):
        rest = file.read(_BLOCK)
    return bool(rest)


def read_pages(
    file: IO[bytes], *, page_size: int, server_ms: int | None, line_limit: int = LINE_LIMIT
) -> Iterator[Page]:
    """The records of a verified file, in pages of at most `page_size`, or fewer where they are large.

    Raises WalkFailed for a line beyond the limit, and AnswerUnusable where an unpacked file proves to be cut or none.
    """
    stream, packed = _open(file)
    batch = _Batch(server_ms, believed=packed)
    for line in _lines(stream, packed, line_limit):
        usual = decode_usual(line, len(batch.records)) if line[:1] == b"{" and line[-1:] == b"}" else None
        for piece in _pieces(line) if usual is None else (usual,):
            batch.add(piece)
            if len(batch.records) == page_size or batch.size >= _PAGE_BYTES:
                yield batch.page()
    if batch.records:
        yield batch.page()


def salvage(data: bytes) -> Iterator[Message]:
    """The records of a damaged file that can be read, up to a bound; what follows a tear cannot.

    A record that is cut is no JSON, so every one that is read is whole.
    """
    text = _inflated(data).removeprefix(codecs.BOM_UTF8)
    position = 0
    for line in text.split(b"\n"):
        for piece in _pieces(line.strip(_SPACE)) if line.strip(_SPACE) else ():
            record = decode_piece(piece, position) if isinstance(piece, Slice) else None
            if isinstance(record, Message):
                position += 1
                yield record


def _inflated(data: bytes) -> bytes:
    """The text of all members, of the last one up to a tear; what stands behind them is left out.

    A member that is damaged within gives nothing: nobody knows where a bit was changed, and what it changed.
    """
    if not _begins_object(data.removeprefix(codecs.BOM_UTF8)):
        data = data[max(data.find(_MAGIC + b"\x08"), 0) :]  # what a gateway has put before it: a mark, a line, a length
    for _ in range(_LAYERS):
        if not data.startswith(_MAGIC):
            break
        text = bytearray()
        while data.startswith(_MAGIC) and len(text) < _SALVAGED:
            inflater = zlib.decompressobj(wbits=31)
            try:
                text += inflater.decompress(data, _SALVAGED - len(text))
            except zlib.error:
                break
            data = inflater.unused_data if inflater.eof else b""
        data = bytes(text)
    return data


class _Batch:
    """The records of the next page. `believed`: a trailer, or a record before, has shown that the file is one."""

    def __init__(self, server_ms: int | None, *, believed: bool) -> None:
        self.records: list[Message | Reject] = []
        self.size = 0
        self._server_ms, self._believed = server_ms, believed

    def add(self, piece: Message | Slice | Unreadable) -> None:
        match piece:
            case Message():
                record: Message | Reject = piece
            case Slice():
                record = decode_piece(piece, len(self.records))
            case Unreadable():
                record = Reject(*piece, len(self.records))
        self.records.append(record)
        self.size += len(record.raw)
        self.size += _BODY_COSTS * len(record.bodies) if isinstance(record, Message) else 0

    def page(self) -> Page:
        page = page_of(self.records, self._server_ms)
        if not page.messages and not self._believed:
            raise AnswerUnusable("the file is not packed, and no record in it can be read")
        self.records, self.size, self._believed = [], 0, True
        return page


def _open(file: IO[bytes]) -> tuple[_Stream, bool]:
    """The text of a file, and whether it was packed: its first bytes decide, whatever a header said of them."""
    file.seek(0)
    stream: _Stream = file
    packed = False
    for _ in range(_LAYERS):  # several where a gateway packs what is packed
        head = stream.read(2)
        stream.seek(0)
        if head != _MAGIC:
            break
        stream, packed = gzip.GzipFile(fileobj=stream, mode="rb"), True
    return stream, packed


def _pieces(line: bytes) -> Iterator[Slice | Unreadable]:
    """All records of a line in their order."""
    try:
        whole = read_whole(line)
    except UnicodeDecodeError:
        yield Unreadable(line, "not UTF-8")
        return
    if whole is not None and not whole.problem:
        yield whole
    else:
        yield from _irregular_line(line.decode())


def _irregular_line(text: str) -> Iterator[Slice | Unreadable]:
    """Several records, or something that is none. What cannot be read is one piece, unless records stand beside it."""
    while text:
        pieces, rest = _objects(text)
        if not (any(not piece.problem for piece in pieces) or (len(pieces) == 1 and not rest.strip())):
            if text.strip():
                yield Unreadable(text.encode(), "not valid JSON")
            return
        yield from pieces
        if len(pieces) < _MOST_PIECES:
            if rest.strip():
                yield Unreadable(rest.encode(), "not valid JSON")
            return
        text = rest


def _objects(text: str) -> tuple[list[Slice], str]:
    """The objects that a text begins with, up to a bounded number, and the rest of it."""
    pieces: list[Slice] = []
    at = 0
    try:
        for piece in islice(split_objects(text), _MOST_PIECES):
            if not piece.raw.startswith(b"{"):
                break
            pieces.append(piece)
            record = piece.raw.decode()
            at = text.index(record, at) + len(record)
    except ValueError:
        pass  # the rest has no end
    return pieces, text[at:]


def _lines(stream: _Stream, packed: bool, limit: int) -> Iterator[bytes]:
    """The lines of a text without their ends, and without the empty ones.

    A text without newlines comes in runs of whole objects, so that not its size is limited but that of a record.
    """
    rest, look_at = bytearray(), _GLUED
    block = stream.read(_BLOCK).removeprefix(codecs.BOM_UTF8)
    while block:
        first, *others = block.split(b"\n")
        rest += first
        if others:
            others.insert(0, bytes(rest))
            rest, look_at = bytearray(others.pop()), _GLUED
            for line in others:
                if line and (line := line.removesuffix(b"\r")):
                    yield line
        elif len(rest) >= look_at:
            if size := _whole_objects(rest):
                yield bytes(rest[:size])
                del rest[:size]
            look_at = max(_GLUED, 2 * len(rest))  # looking too often would read one long record many times
        if len(rest) > limit:
            raise WalkFailed(f"a record of the file is larger than {limit} bytes")
        block = stream.read(_BLOCK)
    if not packed and _whole_objects(rest) < len(rest.rstrip(_SPACE)):
        raise AnswerUnusable("the file ends within a record")
    yield bytes(rest.removesuffix(b"\r"))


def _whole_objects(data: bytes | bytearray) -> int:
    """How many bytes of JSON objects, one behind the other, `data` begins with."""
    at = 0
    if not _begins_object(data):
        return 0
    try:
        text, _ = codecs.utf_8_decode(data, "strict", False)  # it may end within a character
        while match := _next_object(text, at):
            at = _raw_decode(text, match.end())[1]
    except UnicodeDecodeError:
        return 0
    except (ValueError, RecursionError):
        pass
    return len(text[:at].encode())
