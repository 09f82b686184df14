"""Cuts an answer into its envelope and the verbatim text of every record, without serialising anything again.

The standard library decides what is valid JSON. What it cannot bear (100,000 levels, millions of values in a few
megabytes, an error in all of a million records) is measured first, by a scanner that knows only strings and brackets:
it finds every record's end in one pass, so that one record can neither take its neighbours with it nor eat the memory.

What is plain, as nearly everything is, msgspec reads in half of the time, and to the same values; at the first thing
it refuses, the library is asked.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from json.decoder import JSONDecoder, scanstring  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import msgspec

from archiver.errors import AnswerTooLarge, AnswerUnusable
from archiver.model import Json

DEEPEST, MOST_VALUES = 256, 400_000
"""A record beyond these is not read but quarantined. The depth is our own, not the interpreter's, which depends on who
calls; databases bear more. A value costs a hundred bytes once it is read, however few it takes in the text."""

_MOST_RECORDS, _MOST_IN_PAGE, _LARGE = 100_000, 500_000, 1 << 20
_SHALLOW = 2 * DEEPEST  # a level takes two characters at least
_OPENING = ("{", "[", '"')
_decode = JSONDecoder().raw_decode


def _refuse(number: str) -> None:
    raise ValueError(number)


def quick_reader(of_type: Any = Any) -> Callable[[bytes], Any]:
    """Reads plain JSON to such a value; what is of other types, or not plain, is a ValueError.

    Fractions are left to the library, whose way of writing them will not change: digests are made of it.
    """
    return msgspec.json.Decoder(of_type, float_hook=_refuse).decode


_quick = quick_reader()
_quick_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_space = re.compile(r"[ \t\n\r]*+").match
# A string (group 1: the quote that ends it), what lies between (2), or brackets; possessive, or the way back through a
# text of 20 MB would cost gigabytes.
_tokens = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|((?:[^"\[\]{}]++|\[\]|\{\})++)|[\[{]++|[\]}]++', re.DOTALL
).finditer
_STRING, _BETWEEN = 1, 2
_scalar = re.compile(r"[^\s,\]}]++")


class Slice(NamedTuple):
    """One record: its bytes as received, and what the standard library makes of it (or why it makes nothing)."""

    raw: bytes
    value: Any
    problem: str = ""
    plain: bool = False
    """It is JSON by the letter: no NaN, no infinity, no half of a surrogate pair; and all its numbers are whole."""


@cache
def _quick_list(key: str) -> Callable[[bytes], Any]:
    """Reads the elements of the list under `key`, as they stand, and passes over all else."""
    listed = msgspec.defstruct("_Listed", [("elements", list[msgspec.Raw])], rename={"elements": key})
    return msgspec.json.Decoder(listed).decode


Piece = bytes | Slice
"""A record, or only its bytes: one JSON value, with no space around it."""


def read_text(body: bytes) -> str:
    """The body as text. JSON is UTF-8 whatever the `charset` of the answer says; a byte order mark is dropped."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AnswerUnusable("the answer is not UTF-8") from None


def split_envelope(body: bytes, key: str) -> tuple[Json, Sequence[Piece] | None]:
    """Split the answer `{..., key: [record, ...], ...}`; the pieces are None where `key` is missing or no list.

    Raises AnswerUnusable unless the whole body is one JSON object with `key` at most once, and AnswerTooLarge where
    it holds more than is read at once. Whether a record that comes as its bytes is UTF-8, `read_piece` tells.
    """
    rest, elements = _without_list(body, key)
    envelope, slices = _split_text(read_text(rest), key)
    if slices == []:
        return envelope, list(map(bytes, elements))
    # What was emptied stood elsewhere, or nothing was.
    return (envelope, slices) if rest is body else _split_text(read_text(body), key)


def _split_text(text: str, key: str) -> tuple[Json, list[Slice] | None]:
    try:
        envelope, slices, at = _members(_Reader(text), key)
    except (ValueError, IndexError, RecursionError):
        raise AnswerUnusable("the answer is not the JSON object that was asked for") from None
    if _space(text, at).end() != len(text):  # type: ignore[union-attr]
        raise AnswerUnusable("the answer goes on behind its end")
    return envelope, slices


def _without_list(body: bytes, key: str) -> tuple[bytes, list[msgspec.Raw]]:
    """The answer with an empty list under `key`, and what is in that list, where msgspec takes all of it."""
    if len(body) > _LARGE:
        return body, []
    try:
        elements = _quick_list(key)(body).elements
        if len(elements) > _MOST_RECORDS:
            raise AnswerTooLarge("the answer holds more than is read at once")
        # As servers write it; if not, where it ends takes a second look at all of it.
        rest = _emptied(body, key, b"[%b]" % b",".join(elements))
        rest = rest or _emptied(body, key, bytes(_quick_members(body)[key]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        rest = None
    return (body, []) if rest is None else (rest, elements)


def _emptied(body: bytes, key: str, listed: bytes) -> bytes | None:
    """The answer with an empty list in place of `listed`; None where that does not stand behind `key`."""
    for match in re.finditer(rb'"%b"[ \t\n\r]*+:[ \t\n\r]*+' % key.encode(), body):
        at = match.end()
        if body.startswith(listed, at):  # if it is not the one, the one is read where it stands
            return b"%b[]%b" % (body[:at], body[at + len(listed) :])
    return None


def split_objects(text: str) -> Iterator[Slice]:
    """The records of a line, or of several lines: JSON values one behind the other, whatever lies between them."""
    reader = _Reader(text)
    at = _space(text, 0).end()  # type: ignore[union-attr]
    while at < len(text):
        piece, at = reader.read(at)
        yield piece
        at = _space(text, at).end()  # type: ignore[union-attr]


def read_whole(raw: bytes) -> Slice | None:
    """The one object that all these bytes are; None where they are something else. Raises UnicodeDecodeError."""
    if raw.startswith(b"{") and raw.endswith(b"}") and (piece := _read_quickly(raw)):
        return piece
    text = raw.decode()
    try:
        piece, end = _Reader(text).read(0)
    except ValueError:
        return None
    return piece if end == len(text) else None


def read_piece(raw: bytes) -> Slice:
    """The value that all these bytes are. Raises AnswerUnusable where they are not UTF-8."""
    return _read_quickly(raw) or _Reader(read_text(raw)).read(0)[0]


def is_shallow(raw: bytes) -> bool:
    """It can hold no level that is not read."""
    return len(raw) <= _SHALLOW or raw.count(b"[") + raw.count(b"{") <= DEEPEST


def _read_quickly(raw: bytes) -> Slice | None:
    """One value without space around it; None where it is not plain."""
    if len(raw) > _LARGE or not is_shallow(raw):
        return None
    try:
        return Slice(raw, _quick(raw), plain=True)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class _Reader:
    """Reads the values of one text. `values`: how many they were, as far as they were counted."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values = 0
        self._careful = len(text) > _LARGE

    def read(self, at: int) -> tuple[Slice, int]:
        """One value and its end. Raises ValueError where none begins, or none ends."""
        text = self.text
        if not self._careful and text[at : at + 1] in _OPENING:
            try:
                value, end = _decode(text, at)
            except (ValueError, RecursionError):
                # Every error of the library looks through all that lies before it; so from now on it sees one record.
                self._careful = True
            else:
                if end - at <= _SHALLOW or text.count("[", at, end) + text.count("{", at, end) <= DEEPEST:
                    return Slice(text[at:end].encode(), value), end
        end, values, depth = _measure(text, at)
        if depth > DEEPEST:
            return Slice(_encoded(text, at, end), None, "nested too deep"), end
        if values > MOST_VALUES:
            return Slice(_encoded(text, at, end), None, "more values than are read"), end
        self.values += values
        return _read_measured(text[at:end]), end


def _encoded(text: str, at: int, end: int) -> bytes:
    """As `text[at:end].encode()`, without a copy of that text, which may be nearly all of a large answer."""
    pieces = range(at, end, _LARGE)
    size = sum(len(text[begin : min(begin + _LARGE, end)].encode()) for begin in pieces)
    encoded = io.BytesIO()
    encoded.seek(size - 1)
    encoded.write(b"0")  # all of its room at once
    encoded.seek(0)
    for begin in pieces:
        encoded.write(text[begin : min(begin + _LARGE, end)].encode())
    return encoded.getvalue()


def _read_measured(piece: str) -> Slice:
    raw = piece.encode()
    try:
        value, end = _decode(piece)
    except json.JSONDecodeError:
        return Slice(raw, None, "not valid JSON")
    except ValueError:  # CPython refuses integers of more than 4,300 digits
        return Slice(raw, None, "a number too long to read")
    return Slice(raw, value) if end == len(piece) else Slice(raw, None, "not valid JSON")


def _measure(text: str, at: int) -> tuple[int, int, int]:
    """Where a value ends, how many values it holds, and how deep. Raises ValueError where it does not end."""
    if text[at : at + 1] not in _OPENING:
        scalar = _scalar.match(text, at)
        if scalar is None:
            raise ValueError("value")
        return scalar.end(), 1, 0
    depth = deepest = values = 0 if text[at] == '"' else 1
    for token in _tokens(text, at + depth):
        start, end = token.span()
        if token.lastindex == _STRING:
            if not token[_STRING]:
                break
            if depth == 0:
                return end, values, 0
        elif token.lastindex == _BETWEEN:
            values += text.count(",", start, end)
        elif text[start] in "[{":
            depth += end - start
            values += end - start
            deepest = max(deepest, depth)
        elif end - start >= depth:
            return start + depth, values, deepest
        else:
            depth -= end - start
    raise ValueError("unfinished")


def _members(reader: _Reader, key: str) -> tuple[Json, list[Slice] | None, int]:
    """The members of the object that is the text, those of the list under `key` apart, and where it ends."""
    text = reader.text
    envelope: Json = {}
    slices: list[Slice] | None = None
    at = _expect(text, 0, "{")
    if text.startswith("}", at):
        return envelope, None, at + 1
    while True:
        name, at = _name(text, at)
        if name == key and text.startswith("[", at):
            if slices is not None:
                raise AnswerUnusable(f"the answer has two lists named {key}")
            slices, at = _elements(reader, at)
        else:
            piece, at = reader.read(at)
            if piece.problem:
                raise ValueError(name)
            envelope[name] = piece.value
        at = _space(text, at).end()  # type: ignore[union-attr]
        if text.startswith("}", at):
            return envelope, slices, at + 1
        at = _expect(text, at, ",")


def _expect(text: str, at: int, mark: str) -> int:
    at = _space(text, at).end()  # type: ignore[union-attr]
    if not text.startswith(mark, at):
        raise ValueError(mark)
    return _space(text, at + 1).end()  # type: ignore[union-attr]


def _name(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        raise ValueError("name")
    name, at = scanstring(text, at + 1)
    return name, _expect(text, at, ":")


def _elements(reader: _Reader, at: int) -> tuple[list[Slice], int]:
    text = reader.text
    slices: list[Slice] = []
    at = _space(text, at + 1).end()  # type: ignore[union-attr]
    if text.startswith("]", at):
        return slices, at + 1
    while True:
        piece, at = reader.read(at)
        slices.append(piece)
        if len(slices) > _MOST_RECORDS or reader.values > _MOST_IN_PAGE:
            raise AnswerTooLarge("the answer holds more than is read at once")
        if text.startswith(",{", at):  # as servers send it, with nothing between two records
            at += 1
            continue
        at = _space(text, at).end()  # type: ignore[union-attr]
        if text.startswith("]", at):
            return slices, at + 1
        at = _expect(text, at, ",")
