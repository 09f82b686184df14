"""Stored contents that a look has shown: pictures in their place, everything else to be saved, never to be run.

The address names the look and the SHA-256 of the content, nothing that a user wrote.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote

from flask import Response
from werkzeug.exceptions import NotFound

from archiver.attachments.media import HEAD_BYTES, media_type
from archiver.blobs import Blobs
from archiver.page.context import find_viewing, note, page
from archiver.page.headers import POLICY
from archiver.page.viewings import LookAnswer, ShownFile, Viewing
from archiver.page.wording import PICTURES, shown


def show_picture(look_id: str, sha256: str) -> Response:
    """A picture in its place, by its first bytes. With its look once; again, it is a look of its own."""
    viewing, file = _file(look_id, sha256)
    kind, pieces = _content(sha256)
    if kind not in PICTURES:
        raise NotFound
    if not page().viewings.picture(viewing, sha256):
        _note(file)
    response = Response(pieces, content_type=kind)
    response.headers["Content-Security-Policy"] = f"{POLICY}; sandbox"
    return response


def download(look_id: str, sha256: str) -> Response:
    """A content to be saved, under the name that a user gave it, as far as a name can hold it."""
    _, file = _file(look_id, sha256)
    _, pieces = _content(sha256)
    _note(file)
    response = Response(pieces, content_type="application/octet-stream")
    response.headers["Content-Security-Policy"] = f"{POLICY}; sandbox"
    response.headers["Content-Disposition"] = disposition(file.filename, sha256)
    return response


def disposition(filename: str | None, sha256: str) -> str:
    """An ASCII name, and the whole one as RFC 8187 writes it; no part of a path, and no control."""
    name = re.sub(r"[/\\:*?\"<>|]", "_", shown(filename or "")).strip(". ")[:120] or sha256
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _file(look_id: str, sha256: str) -> tuple[Viewing, ShownFile]:
    viewing = find_viewing(look_id)
    file = viewing.files.get(sha256)
    if file is None:
        raise NotFound
    return viewing, file


def _note(file: ShownFile) -> None:
    answer = LookAnswer(None, 1, ((file.app, file.conversation),))
    note(str(uuid.uuid4()), "file", {"sha256": file.sha256}, answer)


def _content(sha256: str) -> tuple[str, Iterator[bytes]]:
    """What it is, and its bytes. Raises ArchiverError where the store lacks it."""
    blobs = _blobs()
    if blobs is None:
        raise NotFound
    pieces = blobs.pieces(sha256)
    first = next(pieces, b"")
    return media_type(first[:HEAD_BYTES]), chain((first,), pieces)


def _blobs() -> Blobs | None:
    opener = page().open_blobs
    return None if opener is None else opener()
