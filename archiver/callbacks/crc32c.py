"""CRC-32C (Castagnoli), by the library that the extra `callbacks` brings: the standard library has another polynomial.

Loaded when it is needed, as `run` and `pull` import this room whether or not callbacks are configured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from archiver.errors import UsageError


@cache
def _value() -> Callable[[bytes], int]:
    try:
        from google_crc32c import value
    except ImportError:
        hint = "pip install google-crc32c"
        raise UsageError("callbacks need the package google-crc32c", hint=hint) from None
    checksum: Callable[[bytes], int] = value
    return checksum


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720, as a number of 32 bits. Raises UsageError where the library is not installed."""
    return _value()(data)
