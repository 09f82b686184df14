"""The flat row of CSV and Parquet: one a body, a message without bodies has one; neither raw bytes nor file secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archiver.model import Archived, Body, File
from archiver.rendering import canonical, without_secrets

NAMES = (
    *("app", "msg_id", "sent_at", "timestamp_ms", "sender", "recipient", "conversation", "chat_type", "direction"),
    *("body_position", "body_type", "text", "filename", "url", "file_length", "duration", "width", "height"),
    *("lat", "lng", "addr", "extra", "ext", "attachment_state", "attachment_sha256"),
    *("lateness_ms", "revisions", "lossy", "digest", "archived_at"),
)


def rows(archived: Archived) -> Iterator[tuple[Any, ...]]:
    """The rows of one message, in the order of NAMES."""
    m = archived.message
    files = {file.position: file for file in archived.files if file.kind == "file"}
    head = (
        archived.app,
        m.msg_id,
        archived.sent_at,
        m.timestamp_ms,
        m.sender,
        m.recipient,
        m.conversation,
        m.chat_type,
    )
    ext = canonical(m.ext)
    tail = (archived.lateness_ms, len(archived.revisions), m.lossy, m.digest.hex(), archived.archived_at)
    for position, body in enumerate(m.bodies or (None,)):
        at = None if body is None else position
        yield (*head, m.direction, at, *_of_body(body), ext, *_of_file(files.get(position)), *tail)


def _of_body(body: Body | None) -> tuple[Any, ...]:
    if body is None:
        return (None,) * 12
    return (
        *(body.type, body.text, body.filename, body.url, body.file_length, body.duration, body.width, body.height),
        *(body.lat, body.lng, body.addr, without_secrets(body.extra)),
    )


def _of_file(file: File | None) -> tuple[str | None, str | None]:
    return (None, None) if file is None else (file.state, file.sha256)
