"""Values that were parsed from JSON, as JSON text again: `canonical` for digests, `compact` for columns.

The library's `dumps` builds an encoder for each call, which takes longer than to encode a chat message. Here it is
built once; what it writes is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any


def _writer(*, ascii_only: bool, sort_keys: bool, allow_nan: bool) -> Callable[[Any], str]:
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without the C half
        plain = json.JSONEncoder(
            ensure_ascii=ascii_only, sort_keys=sort_keys, allow_nan=allow_nan, separators=(",", ":")
        )
        return plain.encode
    quoted = encoder.encode_basestring_ascii if ascii_only else encoder.encode_basestring
    # In the order of JSONEncoder.iterencode; no record of circles, which parsed values cannot have.
    chunks = make(None, None, quoted, None, ":", ",", sort_keys, False, allow_nan)
    return lambda value: "".join(chunks(value, 0))


canonical = _writer(ascii_only=True, sort_keys=True, allow_nan=True)
"""One text for one content, whatever the order of its keys."""

compact = _writer(ascii_only=False, sort_keys=False, allow_nan=False)
"""As short as it can be. Raises ValueError for NaN and the infinities."""
