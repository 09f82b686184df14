"""Columns and bodies against the bytes, decoded again: a better decoder is no tampering, and no silence either."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from archiver.model import Body, Message, Reject
from archiver.store.schema import LAST_MS, iso
from archiver.store.sealed_pages import MESSAGE, StoredRecord

Decode = Callable[[bytes, int], Message | Reject]
_EXT, _EXTRA = MESSAGE.index("ext"), Body._fields.index("extra")


def problem(decode: Decode, stored: StoredRecord, bodies: Sequence[Sequence[Any]]) -> str | None:
    """Which column is not what the bytes say; None where all of them are."""
    message = decode(stored.raw, stored.position)
    if isinstance(message, Reject):
        return "raw cannot be read"
    if message.msg_id != stored.msg_id:
        return "msg_id is not the record's"
    if stored.revision:
        expected: tuple[Any, ...] = (message.timestamp_ms, message.digest)
        found = (stored.columns[0], bytes(stored.columns[2]))
        names: tuple[str, ...] = ("timestamp_ms", "digest")
    else:
        names = (*MESSAGE, "digest", "lossy")
        expected, found = _expected(message, as_text=isinstance(stored.columns[1], str)), tuple(stored.columns)
    if expected != found:
        for name, value, there in zip(names, expected, found, strict=True):
            if value != there and not (name == "ext" and _same_json(value, there)):
                return f"{name} is not the record's"
    return _bodies_problem(message.bodies, bodies)


def _expected(message: Message, *, as_text: bool) -> tuple[Any, ...]:
    stamp_ms = message.timestamp_ms
    return (
        stamp_ms,
        None if not 0 <= stamp_ms <= LAST_MS else iso(stamp_ms) if as_text else stamp_ms,
        message.sender,
        message.recipient,
        message.conversation,
        message.chat_type,
        message.direction,
        message.ext,
        message.digest,
        message.lossy,
    )


def _bodies_problem(bodies: Sequence[Body], rows: Sequence[Sequence[Any]]) -> str | None:
    if len(bodies) != len(rows):
        return f"{len(rows)} bodies, and the record has {len(bodies)}"
    for at, (body, row) in enumerate(zip(bodies, rows, strict=True)):
        if row[0] != at:
            return f"the position of body {at} is {row[0]}"
        if tuple(row[1:]) == body:
            continue
        for name, value, there in zip(Body._fields, body, row[1:], strict=True):
            if value != there and not (name == "extra" and _same_json(value, there)):
                return f"{name} of body {at} is not the record's"
    return None


def _same_json(one: Any, other: Any) -> bool:
    """Whether two texts are the same JSON: PostgreSQL respells spaces, order and numbers."""
    return one is not None and other is not None and _agreed(one) == _agreed(other)


def _agreed(text: str) -> str:
    content = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=str)
    return json.dumps(content, sort_keys=True)


def _number(text: str) -> str:
    return f"{Decimal(text).normalize():e}"
