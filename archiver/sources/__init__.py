"""The providers, by name: all that the rest of the program knows of them.

Another provider is a folder here and a line in `PROVIDERS`. It keeps its JSON to itself, and knows nothing of the
others or of SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from threading import Event
from typing import IO, Protocol

from archiver import model
from archiver.config import App, Attachments
from archiver.http import Adapter, Client, Downloaded, Progress, SignedLink
from archiver.model import Fetched, Message, Pointer, Reject, Source

Download = Callable[[SignedLink, IO[bytes], Progress], Downloaded]
"""Fetches a file by its signed link, with nothing else sent along."""


class FileFetcher(Protocol):
    """Fetches what messages point to."""

    def fetch(self, pointer: Pointer, into: IO[bytes], progress: Progress) -> Fetched:
        """One attempt. Raises CredentialsRefused, Stopped, and what `progress` and `into` raise."""


class Connection(Protocol):
    """An open way to one app of a provider."""

    @property
    def source(self) -> Source:
        """What reads the app's messages, as its settings ask for."""

    def sign_in(self) -> None:
        """Ask for a token, unless there is one. Raises CredentialsRefused."""

    def files(
        self, settings: Attachments, stop: Event, *, rest: Callable[[float], None], adapter: Callable[[], Adapter]
    ) -> FileFetcher:
        """What fetches the app's attachments; `rest`: the provider asked to be left alone for so many seconds."""

    def send_user(self, user: str, text: str) -> str | None:
        """Send a text to one user, once; the id of the message, where the provider tells it."""

    def send_group(self, group: str, text: str) -> str | None:
        """Send a text to one group; else as `send_user`."""

    def fetch_presence(self, users: Iterable[str]) -> list[tuple[str, str]]:
        """Every user with "online" or "offline"."""


class Provider(Protocol):
    """What a provider's folder offers in its `provider.py`."""

    def connect(
        self,
        app: App,
        client: Client,
        *,
        pin: Callable[[str], None],
        download: Download,
        clock_ms: Callable[[], int],
        within_s: Callable[[], float | None],
    ) -> Connection:
        """The way to an app by an open client.

        `pin` gets the application's id once it is known, and raises WrongApplication; `within_s`: how long the next
        request may take, with repetitions.
        """

    def first_contact(self, app: App, start_ms: int, now_ms: int) -> int:
        """Where the source of an app would begin, without a way to its provider; see `Source.first_contact`."""

    def zone_ms(self, app: App) -> int | None:
        """How far east of UTC the zone lies whose hours name an app's files; None where there are none."""

    def is_ours(self, app: App, settings: Attachments, url: str) -> bool:
        """Whether a url in a message names a file of the provider's."""

    def foreign_reason(self, host: str) -> str:
        """Why a file at this host is not fetched."""

    def decode(self, raw: bytes, position: int) -> Message | Reject:
        """Read a record's stored bytes again."""

    def read_event(self, body: bytes, app: str, secrets: Sequence[bytes]) -> model.Event:
        """What a callback to the URL of an app reports, and whether one of these secrets signed it. Never raises."""

    def salvage(self, raw: bytes) -> Iterator[Message]:
        """What can be read of a damaged file's stored bytes."""


@cache
def _easemob() -> Provider:
    from archiver.sources.easemob import provider

    return provider


PROVIDERS: dict[str, Callable[[], Provider]] = {"easemob": _easemob}
"""Loaded when they are asked for, so that commands that need none start fast."""


def provider_of(app: App) -> Provider:
    """The provider that an app belongs to."""
    return PROVIDERS[app.provider]()


def decode(raw: bytes, position: int) -> Message | Reject:
    """Read a record's stored bytes again. Archives hold the records of one provider so far."""
    return PROVIDERS["easemob"]().decode(raw, position)


def read_event(body: bytes, app: str, secrets: Sequence[bytes]) -> model.Event:
    """What a callback reports; see `Provider.read_event`. Callbacks are those of one provider so far."""
    return PROVIDERS["easemob"]().read_event(body, app, secrets)


def salvage(raw: bytes) -> Iterator[Message]:
    """What can be read of a damaged file's stored bytes; see `decode`."""
    return PROVIDERS["easemob"]().salvage(raw)
