"""Values as JSON text: `canonical` for digests, `compact` for columns, `lenient` for what is handed out.

They are what the standard library writes. What is plain (texts, whole numbers, true, false, null, and lists and objects
of them), msgspec writes to the same bytes in a fifth of the time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any

import msgspec

canonical_of_plain = msgspec.json.Encoder(order="sorted").encode
compact_of_plain = msgspec.json.Encoder().encode


def canonical(value: Any, *, plain: bool) -> bytes:
    """One text for one content, whatever the order of its keys; half a surrogate pair stays an escape."""
    return canonical_of_plain(value) if plain else _canonical(value).encode(errors="backslashreplace")


def compact(value: Any, *, plain: bool) -> str:
    """As short as it can be. Raises ValueError for NaN and the infinities."""
    return compact_of_plain(value).decode() if plain else _compact(value)


def _writer(*, sort_keys: bool, allow_nan: bool) -> Callable[[Any], str]:
    """The library's `dumps` builds an encoder for every call, which takes longer than to encode a chat message."""
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without the C half
        plain = json.JSONEncoder(ensure_ascii=False, sort_keys=sort_keys, allow_nan=allow_nan, separators=(",", ":"))
        return plain.encode
    # In the order of JSONEncoder.iterencode; no record of circles, which parsed values cannot have.
    chunks = make(None, None, encoder.encode_basestring, None, ":", ",", sort_keys, False, allow_nan)
    return lambda value: "".join(chunks(value, 0))


_canonical = _writer(sort_keys=True, allow_nan=True)
_compact = _writer(sort_keys=False, allow_nan=False)
lenient = _writer(sort_keys=False, allow_nan=True)
