"""Puts this provider's ways of reading together from an app's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import IO

from archiver.config import App, Attachments
from archiver.http import Adapter, Downloaded, SignedLink
from archiver.http.download import Progress
from archiver.model import Message, Page, Pass, Pointer, Reject, Source
from archiver.sources.easemob import cursor, hour_files, hours
from archiver.sources.easemob.auth import Tokens
from archiver.sources.easemob.chatfiles import Chatfiles, Ours, find_chatfile, ours
from archiver.sources.easemob.cursor import CursorSource, read_page
from archiver.sources.easemob.decode import decode
from archiver.sources.easemob.hourly import ANSWERS, HourAnswer, HourlySource, read_answer
from archiver.sources.easemob.portions import in_portions
from archiver.sources.easemob.slices import read_whole

Download = Callable[[SignedLink, IO[bytes], Progress], Downloaded]
"""Fetches a file by its signed link, with nothing else sent along."""


def build(
    app: App,
    tokens: Tokens,
    *,
    download: Download,
    clock_ms: Callable[[], int],
    within_s: Callable[[], float | None],
) -> Source:
    """The source that an app's settings ask for. `within_s`: how long the next request may take, with repetitions."""
    later = tuple(Pass(number, lag_ms) for number, lag_ms in enumerate(app.audits_ms, 2))
    passes = (Pass(1, app.settle_ms), *later)
    if app.source == "cursor":
        return _cursor(app, tokens, passes, within_s)
    if app.early_ms is not None:
        passes = (Pass(0, app.early_ms), *passes)

    def fetch_link(hour: str) -> HourAnswer:
        return tokens.fetch_as(read_answer, "GET", f"/chatmessages/{hour}", expect=ANSWERS, within_s=within_s())

    return HourlySource(
        app.name, passes, app.retention_ms, app.page_size, app.hour_utc_offset_ms, fetch_link, download, clock_ms
    )


def first_contact(app: App, start_ms: int, now_ms: int) -> int:
    """Where the source of an app would begin, without a way to its provider; see `Source.first_contact`."""
    if app.source == "cursor":
        return cursor.first_contact(start_ms, now_ms, app.retention_ms)
    return hours.first_contact(start_ms, now_ms, app.retention_ms, zone_ms(app) or 0)


def zone_ms(app: App) -> int | None:
    """How far east of UTC the zone lies whose hours name an app's files; None where there are none."""
    if app.source == "cursor":
        return None
    offset_ms: int = getattr(app, "hour_utc_offset_ms", 0)  # where nothing is known of the zone, its hours are whole
    return offset_ms


def _cursor(app: App, tokens: Tokens, passes: tuple[Pass, ...], within_s: Callable[[], float | None]) -> Source:
    def fetch_page(query: dict[str, str]) -> tuple[Page, str | None]:
        return tokens.fetch_as(read_page, "GET", "/chatmessages", params=query, within_s=within_s())

    lower_only = app.dialect == "lower_only"
    return CursorSource(app.name, passes, app.retention_ms, app.page_size, lower_only, in_portions(fetch_page))


def build_files(
    app: App,
    settings: Attachments,
    tokens: Tokens,
    stop: Event,
    *,
    rest: Callable[[float], None],
    adapter: Callable[[], Adapter],
) -> Chatfiles:
    """What fetches an app's attachments."""
    return Chatfiles(
        base_url=app.base_url + app.prefix,
        ours=_ours(app, settings),
        tokens=tokens,
        stop=stop,
        redirects=frozenset(settings.redirect_hosts),
        foreign=frozenset(settings.foreign_hosts),
        direct=adapter,
        rest=rest,
    )


def is_ours(app: App, settings: Attachments, url: str) -> bool:
    """Whether a url in a message names a file of the provider's."""
    return find_chatfile(Pointer(url), _ours(app, settings)) is not None


def _ours(app: App, settings: Attachments) -> Ours:
    return ours(app.base_url, [app.prefix, f"/{app.org}/{app.app}"], settings.file_hosts)


def salvage(raw: bytes) -> Iterator[Message]:
    """What can be read of a damaged file's stored bytes."""
    return hour_files.salvage(raw)


def decode_stored(raw: bytes, position: int) -> Message | Reject:
    """Read a record's stored bytes again, for `quarantine requeue`."""
    try:
        piece = read_whole(raw.strip(b" \t\r\n"))
    except ValueError:
        piece = None
    if piece is None:
        return Reject(raw, "not one JSON value in UTF-8", position)
    return decode(piece._replace(raw=raw), position)
