"""Puts this provider's ways of reading together from an app's settings."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from archiver.config import App
from archiver.errors import ConfigurationError
from archiver.http import download
from archiver.model import Message, Page, Pass, Reject, Source
from archiver.sources.easemob.auth import Tokens
from archiver.sources.easemob.cursor import CursorSource, read_page
from archiver.sources.easemob.decode import decode
from archiver.sources.easemob.hourly import ANSWERS, HourAnswer, HourlySource, read_answer
from archiver.sources.easemob.slices import Slice, split_objects


def build(app: App, tokens: Tokens) -> Source:
    """The source that an app's settings ask for."""
    if app.source != "cursor":
        raise ConfigurationError(f'{app.name}: source = "{app.source}" cannot be read by this version')

    def fetch_page(query: dict[str, str]) -> tuple[Page, str | None]:
        return tokens.fetch_as(read_page, "GET", "/chatmessages", params=query)

    passes = (Pass(1, app.settle_ms), *(Pass(number, lag_ms) for number, lag_ms in enumerate(app.audits_ms, 2)))
    return CursorSource(app.name, passes, app.retention_ms, app.page_size, app.dialect == "lower_only", fetch_page)


def build_hourly(app: App, tokens: Tokens, *, stop: Event, clock_ms: Callable[[], int]) -> HourlySource:
    """The source for an app's hourly files; pass 0 is the early look, where one is wanted."""

    def fetch_link(hour: str) -> HourAnswer:
        return tokens.fetch_as(read_answer, "GET", f"/chatmessages/{hour}", expect=ANSWERS)

    early = () if app.early_ms is None else (Pass(0, app.early_ms),)
    audits = (Pass(number, lag_ms) for number, lag_ms in enumerate(app.audits_ms, 2))
    return HourlySource(
        app.name,
        (*early, Pass(1, app.settle_ms), *audits),
        app.retention_ms,
        app.page_size,
        app.hour_utc_offset_ms,
        fetch_link,
        lambda link, into, progress: download(link, into, stop=stop, progress=progress),
        clock_ms,
    )


def decode_stored(raw: bytes, position: int) -> Message | Reject:
    """Read a record's stored bytes again, for `quarantine requeue`."""
    try:
        pieces = list(split_objects(raw.decode()))
    except ValueError:
        pieces = []
    if len(pieces) != 1:
        return Reject(raw, "not one JSON value in UTF-8", position)
    return decode(Slice(raw.decode(), pieces[0].value, pieces[0].problem), position)
