"""Attachments: their bytes, lengths and secrets follow from their uuid, so nothing has to be kept."""

from __future__ import annotations

import base64
import hashlib


def file_secret(uuid: int) -> str:
    """The share-secret of a file."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"secret %d" % uuid).digest()).decode().rstrip("=")


def file_length(url: str) -> int:
    """The number of bytes that the file at this url has."""
    return len(file_content(int(url.rpartition("/")[2].replace("-", ""), 16)))


def file_content(uuid: int) -> bytes:
    """The bytes of a file: 200 to 3,000 of them."""
    block = hashlib.sha256(b"file %d" % uuid).digest()
    return (block * 94)[: 200 + int.from_bytes(block[:2], "big") % 2800]
