"""Entries of the ledger: one line of canonical JSON each, signed. Pure, apart from the signature's own library.

Canonical: ASCII, no spaces, keys sorted, integers below 2**53, no floats. A program that reads the line with any JSON
library and writes it again in that way gets the same bytes, and those are what the signature and the leaf cover.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from archiver import signing
from archiver.signing import key_id

__all__ = ["LONGEST", "EntryRefused", "canonical", "check", "key_id", "read", "signed"]

LONGEST = 65_535
"""Bytes of an entry, at most."""
_HEADER = b"archiver-entry-v1\n"
_LARGEST = 2**53


class EntryRefused(ValueError):
    """A line that is no entry, or that no known key has signed; the text says why and quotes nothing of the line."""


def canonical(value: object) -> bytes:
    """The one spelling of a JSON value. Raises ValueError for what other JSON libraries might read differently."""
    _check(value)
    return json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode("ascii")


def _check(value: object) -> None:
    match value:
        case None | bool() | str():
            pass
        case int():
            if not -_LARGEST < value < _LARGEST:
                raise ValueError("canonical JSON has integers below 2**53 alone")
        case list() | tuple():
            for item in value:
                _check(item)
        case dict():
            for key, item in value.items():
                if not (isinstance(key, str) and key.isascii()):
                    raise ValueError("canonical JSON has keys in ASCII alone")
                _check(item)
        case _:
            raise ValueError(f"canonical JSON has no {type(value).__name__}")


def signed(entry: Mapping[str, Any], name: str, sign: Callable[[bytes], bytes], by: str) -> bytes:
    """The finished line, without an end-of-line.

    `name` is the configured name of the ledger in every epoch, `by` the `key_id` of the key that `sign` uses.
    """
    whole = {**entry, "by": by}
    signature = sign(_message(whole, name))
    line = canonical({**whole, "sig": base64.b64encode(signature).decode("ascii")})
    if len(line) > LONGEST:
        raise ValueError(f"an entry has at most {LONGEST} bytes, not {len(line)}")
    return line


def check(line: bytes, name: str, keys: Mapping[str, bytes]) -> dict[str, Any]:
    """The entry in this line, `by` and `sig` included. Raises EntryRefused.

    `keys`: the public keys that are valid here, by `key_id`.
    """
    entry = read(line)
    public = keys.get(entry["by"])
    if public is None:
        raise EntryRefused("the entry names a key that is not valid here")
    try:
        signature = base64.b64decode(entry["sig"], validate=True)
    except (binascii.Error, ValueError):
        raise EntryRefused("the entry's signature is not base64") from None
    unsigned = {key: value for key, value in entry.items() if key != "sig"}
    if not signing.verify(public, _message(unsigned, name), signature):
        raise EntryRefused("the entry's signature is wrong")
    return entry


def read(line: bytes) -> dict[str, Any]:
    """The entry in this line whatever its signature is worth. Raises EntryRefused for what is not canonical."""
    if len(line) > LONGEST:
        raise EntryRefused(f"the entry has more than {LONGEST} bytes")
    try:
        entry = json.loads(line)
        same = canonical(entry) == line
    except (ValueError, RecursionError):
        same = False
    if not same or not isinstance(entry, dict):
        raise EntryRefused("the entry is not a canonical JSON object")
    for key in ("kind", "by", "sig"):
        if not isinstance(entry.get(key), str):
            raise EntryRefused(f"the entry has no {key}")
    return entry


def _message(unsigned: Mapping[str, Any], name: str) -> bytes:
    return _HEADER + name.encode() + b"\n" + canonical(dict(unsigned))
