"""Puts this provider's ways of reading together from an app's settings."""

from __future__ import annotations

from archiver.config import App
from archiver.errors import ConfigurationError
from archiver.model import Message, Page, Pass, Reject, Source
from archiver.sources.easemob.auth import Tokens
from archiver.sources.easemob.cursor import CursorSource, read_page
from archiver.sources.easemob.decode import decode
from archiver.sources.easemob.slices import Slice, split_objects


def build(app: App, tokens: Tokens) -> Source:
    """The source that an app's settings ask for."""
    if app.source != "cursor":
        raise ConfigurationError(f'{app.name}: source = "{app.source}" cannot be read by this version')

    def fetch_page(query: dict[str, str]) -> tuple[Page, str | None]:
        return tokens.fetch_as(read_page, "GET", "/chatmessages", params=query)

    passes = (Pass(1, app.settle_ms), *(Pass(number, lag_ms) for number, lag_ms in enumerate(app.audits_ms, 2)))
    return CursorSource(app.name, passes, app.retention_ms, app.page_size, app.dialect == "lower_only", fetch_page)


def decode_stored(raw: bytes, position: int) -> Message | Reject:
    """Read a record's stored bytes again, for `quarantine requeue`."""
    try:
        pieces = list(split_objects(raw.decode()))
    except ValueError:
        pieces = []
    if len(pieces) != 1:
        return Reject(raw, "not one JSON value in UTF-8", position)
    return decode(Slice(raw.decode(), pieces[0].value, pieces[0].problem), position)
