"""JSON Lines: one message a line, everything that is known about it, and its record verbatim in `raw`.

`raw` is a text, so that it is exact to the byte whatever its layout: what stands in it, encoded as UTF-8, is what the
provider sent. Where the bytes are no UTF-8, `raw_base64` has them instead.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import IO, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from archiver.export import Writer
from archiver.jsontext import lenient
from archiver.model import Archived, Body, File, Revision
from archiver.rendering import canonical_json

_Text = str | None
_Json = Raw | None
"""What msgspec would write in another way than the standard library: fractions, and the JSON of others."""


class _Body(msgspec.Struct, omit_defaults=True, gc=False):
    """Only what is there; `extra` as the JSON that it is."""

    type: _Text = None
    text: _Text = None
    url: _Text = None
    filename: _Text = None
    secret: _Text = None
    file_length: int | None = None
    duration: _Json = None
    width: int | None = None
    height: int | None = None
    thumb_url: _Text = None
    thumb_secret: _Text = None
    lat: _Json = None
    lng: _Json = None
    addr: _Text = None
    extra: _Json = None


class _Revision(msgspec.Struct, gc=False):
    revision: int
    timestamp_ms: int
    seen_at: _Text
    digest: str
    raw: _Text
    raw_base64: str | UnsetType = UNSET


class _Line(msgspec.Struct, gc=False):
    app: str
    msg_id: str
    timestamp_ms: int
    sent_at: _Text
    sender: _Text
    recipient: _Text
    conversation: _Text
    chat_type: _Text
    direction: _Text
    bodies: list[_Body]
    ext: _Json
    raw: _Text
    raw_base64: str | UnsetType
    digest: str
    lossy: bool
    page_id: int
    position: int
    archived_at: _Text
    lateness_ms: int | None
    revisions: list[_Revision]
    attachments: list[Any]


_TEXT_ALONE = (None,) * (len(Body._fields) - 2)
_encode_lines = msgspec.json.Encoder().encode_lines


class Lines(Writer):
    """A file of lines."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, batch: Sequence[Archived]) -> None:
        self._file.write(_encode_lines([_line(archived) for archived in batch]))

    def close(self) -> dict[str, Any]:
        return {}


def _line(archived: Archived) -> _Line:
    app, message, sent_at, archived_at, page_id, lateness_ms, revisions, files, _ = archived
    # By place: a name looked up in a tuple costs as much as a field of the line.
    msg_id, timestamp_ms, sender, recipient, conversation, chat_type, direction, bodies = message[:8]
    ext, raw, digest, lossy, position = message[8:]
    text, raw_base64 = _verbatim(raw)
    return _Line(
        app,
        msg_id,
        timestamp_ms,
        sent_at,
        sender,
        recipient,
        conversation,
        chat_type,
        direction,
        [_body(body) for body in bodies],
        None if ext is None else _json(ext),
        text,
        raw_base64,
        digest.hex(),
        lossy,
        page_id,
        position,
        archived_at,
        lateness_ms,
        [_revision(revision) for revision in revisions] if revisions else [],
        [_file(file) for file in files] if files else [],
    )


def _body(body: Body) -> _Body:
    if body[2:] == _TEXT_ALONE:
        return _Body(body.type, body.text)
    kind, text, url, name, secret, length, duration, width, height, thumb, thumb_secret, lat, lng, addr, extra = body
    size = length, _number(duration), width, height
    place = _number(lat), _number(lng), addr
    return _Body(kind, text, url, name, secret, *size, thumb, thumb_secret, *place, _json(extra))


def _number(value: float | None) -> Raw | None:
    return None if value is None else Raw(lenient(value).encode())


def _json(text: str | None) -> Raw | None:
    return None if text is None else Raw(canonical_json(text))


def _revision(revision: Revision) -> _Revision:
    number, timestamp_ms, seen_at, digest, raw, _ = revision
    return _Revision(number, timestamp_ms, seen_at, digest.hex(), *_verbatim(raw))


def _file(file: File) -> dict[str, Any]:
    return file._asdict()


def _verbatim(raw: bytes) -> tuple[str | None, str | UnsetType]:
    try:
        return raw.decode(), UNSET
    except UnicodeDecodeError:
        return None, base64.b64encode(raw).decode("ascii")
