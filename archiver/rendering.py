"""A body in words, and the rule that no file secret leaves the archive: said once, for terminals, exports and pages."""

from __future__ import annotations

import json
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from archiver.jsontext import canonical_of_plain, lenient
from archiver.model import Body

SECRET_KEYS = frozenset({"secret", "thumb_secret"})
"""Whoever has a file's secret may fetch it from the provider. Two SQL functions hide the same keys (migrations/)."""


_KEY = itemgetter(0)
KINDS = {
    "en": {
        "txt": "text",
        "img": "picture",
        "audio": "voice",
        "video": "video",
        "file": "file",
        "loc": "location",
        "cmd": "command",
        "custom": "custom",
        "combine": "forwarded chat",
        "unknown": "unknown",
    },
    "zh": {
        "txt": "文本",
        "img": "图片",
        "audio": "语音",
        "video": "视频",
        "file": "文件",
        "loc": "位置",
        "cmd": "透传",
        "custom": "自定义",
        "combine": "合并转发",
        "unknown": "未知",
    },
}
"""What the provider's body types are called."""
_UNITS = {"en": ("s", "bytes"), "zh": ("秒", "字节")}


class Words(NamedTuple):
    """What a body says: `kind` is None where it is a plain text."""

    kind: str | None
    parts: tuple[str, ...]


def kind(body_type: str, language: str | None = None) -> str:
    """The name of a body type in a language; a type that nobody knows is called as it is."""
    return KINDS.get(language or "", {}).get(body_type, body_type)


def words(body: Body, language: str | None = None) -> Words:
    """The texts of a body, its place, length and size, in this order; not escaped for any output. Without a language
    the type is the provider's."""
    second, byte = _UNITS[language or "en"]
    parts = [text for text in (body.text, body.filename, body.addr) if text]
    if body.lat is not None and body.lng is not None:
        parts.append(f"({body.lat:g}, {body.lng:g})")
    if body.duration is not None:
        parts.append(f"{body.duration:g} {second}")
    if body.file_length is not None:
        parts.append(f"{body.file_length:,} {byte}")
    if (body.type == "custom" or not parts) and (extra := without_secrets(body.extra)):
        parts.append(extra)
    return Words(None if body.type == "txt" else kind(body.type, language), tuple(parts))


def without_secrets(extra: str | None) -> str | None:
    """Canonical JSON without the secrets of files, however deep they lie: a secret that is no text has no column."""
    if extra is None:
        return None
    if "secret" not in extra and "\\u" not in extra:  # no key can be one of them, not even one written as escapes
        return None if (plain := canonical(extra)) == "{}" else plain
    whole = parsed(extra)
    left = [whole]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            for key in SECRET_KEYS & value.keys():
                del value[key]
            left += value.values()
        elif isinstance(value, list):
            left += value
    return None if whole == {} else lenient(whole)


def canonical(text: str | None) -> str | None:
    """JSON text in the one spelling that both databases' texts lead to; see `parsed`."""
    return None if text is None else canonical_json(text).decode()


def canonical_json(text: str) -> bytes:
    """The same as UTF-8. Without fractions msgspec leads to the same bytes in a fifth of the time."""
    try:
        return canonical_of_plain(_decode_plain(text))
    except (_FractionFound, msgspec.DecodeError, RecursionError):
        return lenient(parsed(text)).encode()


def parsed(text: str) -> Any:
    """The value of JSON text as the archive has it, keys sorted and numbers alike.

    PostgreSQL's jsonb orders keys its own way, writes 1e+22 out in digits and knows no negative zero; SQLite keeps
    what was written. An export must not show which of the two it came from.
    """
    return _decode(text)


def _sorted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(sorted(pairs, key=_KEY))


def _number(text: str) -> int | float:
    number = float(text) + 0.0
    return int(Decimal(text)) if "e" in text and number.is_integer() else number


class _FractionFound(Exception):
    """What msgspec would write in another way than the standard library."""


def _fraction(_: str) -> Any:
    raise _FractionFound


_decode = json.JSONDecoder(object_pairs_hook=_sorted, parse_float=_number).decode
_decode_plain = msgspec.json.Decoder(float_hook=_fraction).decode
