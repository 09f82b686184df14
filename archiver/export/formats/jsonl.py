"""JSON Lines: one message a line, everything that is known about it, and its record verbatim in `raw`.

`raw` is a text, so that it is exact to the byte whatever its layout: what stands in it, encoded as UTF-8, is what the
provider sent. Where the bytes are no UTF-8, `raw_base64` has them instead.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import IO, Any

from archiver.export import Writer
from archiver.model import Archived, Body, File, Revision
from archiver.rendering import parsed


class Lines(Writer):
    """A file of lines."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, batch: Sequence[Archived]) -> None:
        for archived in batch:
            self._file.write(json.dumps(_message(archived), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def close(self) -> dict[str, Any]:
        return {}


def _message(archived: Archived) -> dict[str, Any]:
    m = archived.message
    return {
        "app": archived.app,
        "msg_id": m.msg_id,
        "timestamp_ms": m.timestamp_ms,
        "sent_at": archived.sent_at,
        "sender": m.sender,
        "recipient": m.recipient,
        "conversation": m.conversation,
        "chat_type": m.chat_type,
        "direction": m.direction,
        "bodies": [_body(body) for body in m.bodies],
        "ext": None if m.ext is None else parsed(m.ext),
        **_verbatim(m.raw),
        "digest": m.digest.hex(),
        "lossy": m.lossy,
        "page_id": archived.page_id,
        "position": m.position,
        "archived_at": archived.archived_at,
        "lateness_ms": archived.lateness_ms,
        "revisions": [_revision(revision) for revision in archived.revisions],
        "attachments": [_file(file) for file in archived.files],
    }


def _body(body: Body) -> dict[str, Any]:
    """Only what is there; `extra` as the JSON that it is."""
    fields = {name: value for name, value in body._asdict().items() if value is not None}
    if body.extra is not None:
        fields["extra"] = parsed(body.extra)
    return fields


def _revision(revision: Revision) -> dict[str, Any]:
    fields = {name: value for name, value in revision._asdict().items() if name != "bodies"}
    return fields | {"digest": revision.digest.hex(), "raw": None} | _verbatim(revision.raw)


def _file(file: File) -> dict[str, Any]:
    return file._asdict()


def _verbatim(raw: bytes) -> dict[str, Any]:
    try:
        return {"raw": raw.decode()}
    except UnicodeDecodeError:
        return {"raw": None, "raw_base64": base64.b64encode(raw).decode("ascii")}
