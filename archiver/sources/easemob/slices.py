"""Cuts an answer into its envelope and the verbatim text of each record, without serialising anything again.

The standard library decides what is valid JSON. Where one record is beyond it (nested too deep, an integer of five
thousand digits), a scanner that knows only strings and brackets finds the record's end, so that one record cannot
take its neighbours with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import JSONDecoder, scanstring  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from archiver.errors import AnswerUnusable
from archiver.model import Json

_decode = JSONDecoder().raw_decode
_space = re.compile(r"[ \t\n\r]*").match
_structure = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_scalar = re.compile(r"[^\s,\]}]+")


class Slice(NamedTuple):
    """One record: its text as received, and what the standard library makes of it (or why it makes nothing)."""

    text: str
    value: Any
    problem: str = ""


def read_text(body: bytes) -> str:
    """The body as text. JSON is UTF-8 whatever the `charset` of the answer says; a byte order mark is dropped."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AnswerUnusable("the answer is not UTF-8") from None


def split_envelope(body: bytes, key: str) -> tuple[Json, list[Slice] | None]:
    """Split the answer `{..., key: [record, ...], ...}`; the slices are None where `key` is missing or no list.

    Raises AnswerUnusable unless the whole body is one JSON object with `key` at most once.
    """
    text = read_text(body)
    envelope: Json = {}
    slices: list[Slice] | None = None
    try:
        at = _expect(text, 0, "{")
        if text.startswith("}", at):
            return envelope, None
        while True:
            name, at = _name(text, at)
            if name == key and text.startswith("[", at):
                if slices is not None:
                    raise AnswerUnusable(f"the answer has two lists named {key}")
                slices, at = _elements(text, at)
            else:
                envelope[name], at = _decode(text, at)
            at = _space(text, at).end()  # type: ignore[union-attr]
            if text.startswith("}", at):
                break
            at = _expect(text, at, ",")
        if _space(text, at + 1).end() != len(text):  # type: ignore[union-attr]
            raise AnswerUnusable("the answer goes on behind its end")
    except (ValueError, IndexError, RecursionError, StopIteration):
        raise AnswerUnusable("the answer is not the JSON object that was asked for") from None
    return envelope, slices


def split_objects(text: str) -> Iterator[Slice]:
    """The records of a line, or of several lines: JSON values one behind the other, whatever lies between them."""
    at = _space(text, 0).end()  # type: ignore[union-attr]
    while at < len(text):
        piece, at = _one(text, at)
        yield piece
        at = _space(text, at).end()  # type: ignore[union-attr]


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


def _elements(text: str, at: int) -> tuple[list[Slice], int]:
    slices: list[Slice] = []
    at = _space(text, at + 1).end()  # type: ignore[union-attr]
    if text.startswith("]", at):
        return slices, at + 1
    while True:
        piece, at = _one(text, at)
        slices.append(piece)
        at = _space(text, at).end()  # type: ignore[union-attr]
        if text.startswith("]", at):
            return slices, at + 1
        at = _expect(text, at, ",")


def _one(text: str, at: int) -> tuple[Slice, int]:
    try:
        value, end = _decode(text, at)
        return Slice(text[at:end], value), end
    except RecursionError:
        problem = "nested too deep"
    except json.JSONDecodeError:
        problem = "not valid JSON"
    except ValueError:  # CPython refuses integers of more than 4,300 digits
        problem = "a number too long to read"
    end = _end_of_value(text, at)
    return Slice(text[at:end], None, problem), end


def _end_of_value(text: str, at: int) -> int:
    """Where a value ends, by its brackets and strings alone. Raises ValueError where it does not."""
    if text[at] not in '[{"':
        found = _scalar.match(text, at)
        if found is None:
            raise ValueError("value")
        return found.end()
    depth = 0
    for found in _structure.finditer(text, at):
        mark = found.group()
        depth += 1 if mark in "[{" else -1 if mark in "]}" else 0
        if depth == 0:
            return found.end()
    raise ValueError("unfinished")
