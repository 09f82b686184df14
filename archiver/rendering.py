"""A body in words, and the rule that no file secret leaves the archive: said once, for terminals, exports and pages."""

from __future__ import annotations

import json
from typing import NamedTuple

from archiver.model import Body

SECRET_KEYS = frozenset({"secret", "thumb_secret"})
"""Whoever has a file's secret may fetch it from the provider. Two SQL functions hide the same keys (migrations/)."""


class Words(NamedTuple):
    """What a body says: `kind` is None where it is a plain text."""

    kind: str | None
    parts: tuple[str, ...]


def words(body: Body) -> Words:
    """The texts of a body, its place, length and size, in this order; not escaped for any output."""
    parts = [text for text in (body.text, body.filename, body.addr) if text]
    if body.lat is not None and body.lng is not None:
        parts.append(f"({body.lat:g}, {body.lng:g})")
    if body.duration is not None:
        parts.append(f"{body.duration:g} s")
    if body.file_length is not None:
        parts.append(f"{body.file_length:,} bytes")
    if (body.type == "custom" or not parts) and (extra := without_secrets(body.extra)):
        parts.append(extra)
    return Words(None if body.type == "txt" else body.type, tuple(parts))


def without_secrets(extra: str | None) -> str | None:
    """JSON text without the secrets of files, however deep they lie: a secret that is no text has no column."""
    if extra is None or ("secret" not in extra and "\\" not in extra):
        return extra
    whole = json.loads(extra)
    left = [whole]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            for key in SECRET_KEYS & value.keys():
                del value[key]
            left += value.values()
        elif isinstance(value, list):
            left += value
    return None if whole == {} else json.dumps(whole, ensure_ascii=False)
