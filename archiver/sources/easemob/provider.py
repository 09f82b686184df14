"""What this provider offers to the rest of the program; see `archiver.sources.Provider`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Event

from archiver.config import App, Attachments
from archiver.http import Adapter, Client
from archiver.model import Message, Page, Pass, Pointer, Reject, Source
from archiver.sources import Download
from archiver.sources.easemob import cursor, hour_files, hours, messages, presence
from archiver.sources.easemob.auth import Tokens
from archiver.sources.easemob.chatfiles import Chatfiles, Ours, find_chatfile, foreign_reason, ours
from archiver.sources.easemob.cursor import CursorSource, read_page
from archiver.sources.easemob.decode import decode_piece, decode_usual
from archiver.sources.easemob.events import read_event
from archiver.sources.easemob.hourly import ANSWERS, HourAnswer, HourlySource, read_answer
from archiver.sources.easemob.portions import in_portions
from archiver.sources.easemob.slices import read_whole

__all__ = ["connect", "decode", "first_contact", "foreign_reason", "is_ours", "read_event", "salvage", "zone_ms"]


@dataclass(frozen=True, slots=True)
class EasemobApp:
    """An open way to one app; see `archiver.sources.Connection`."""

    app: App
    tokens: Tokens
    source: Source

    def sign_in(self) -> None:
        """Ask for a token, unless there is one."""
        self.tokens.borrow()

    def files(
        self, settings: Attachments, stop: Event, *, rest: Callable[[float], None], adapter: Callable[[], Adapter]
    ) -> Chatfiles:
        """What fetches the app's attachments."""
        return Chatfiles(
            base_url=self.app.base_url + self.app.prefix,
            ours=_ours(self.app, settings),
            tokens=self.tokens,
            stop=stop,
            redirects=frozenset(settings.redirect_hosts),
            foreign=frozenset(settings.foreign_hosts),
            direct=adapter,
            rest=rest,
        )

    def send_user(self, user: str, text: str) -> str | None:
        """Send a text to one user, in the form that the app's settings name."""
        return messages.send_user(self.tokens, user, text, form=self.app.send_api)

    def send_group(self, group: str, text: str) -> str | None:
        """Send a text to one group, in the form that the app's settings name."""
        return messages.send_group(self.tokens, group, text, form=self.app.send_api)

    def fetch_presence(self, users: Iterable[str]) -> list[tuple[str, str]]:
        """Every user with "online" or "offline"."""
        return [(user, str(state)) for user, state in presence.fetch_presence(self.tokens, users)]


def connect(
    app: App,
    client: Client,
    *,
    pin: Callable[[str], None],
    download: Download,
    clock_ms: Callable[[], int],
    within_s: Callable[[], float | None],
) -> EasemobApp:
    """The way to an app; see `archiver.sources.Provider`."""
    tokens = Tokens(client, app.prefix, app.client_id, app.client_secret, pin=pin)
    return EasemobApp(app, tokens, _source(app, tokens, download, clock_ms, within_s))


def _source(
    app: App,
    tokens: Tokens,
    download: Download,
    clock_ms: Callable[[], int],
    within_s: Callable[[], float | None],
) -> Source:
    later = tuple(Pass(pass_no, lag_ms) for pass_no, lag_ms in enumerate(app.audits_ms, 2))
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


def is_ours(app: App, settings: Attachments, url: str) -> bool:
    """Whether a url in a message names a file of the provider's."""
    return find_chatfile(Pointer(url), _ours(app, settings)) is not None


def _ours(app: App, settings: Attachments) -> Ours:
    return ours(app.base_url, [app.prefix, f"/{app.org}/{app.app}"], settings.file_hosts)


def salvage(raw: bytes) -> Iterator[Message]:
    """What can be read of a damaged file's stored bytes."""
    return hour_files.salvage(raw)


def decode(raw: bytes, position: int) -> Message | Reject:
    """Read a record's stored bytes again, for `quarantine requeue`, revisions and verification."""
    if raw[:1] == b"{" and raw[-1:] == b"}" and (usual := decode_usual(raw, position)) is not None:
        return usual
    try:
        piece = read_whole(raw.strip(b" \t\r\n"))
    except ValueError:
        piece = None
    if piece is None:
        return Reject(raw, "not one JSON value in UTF-8", position)
    return decode_piece(piece._replace(raw=raw), position)
