"""The values that cross the rooms of the house: frozen, without I/O, without a provider's or a database's words.

All instants are integer milliseconds since 1970-01-01T00:00:00Z, and all ranges are half-open: `[lo_ms, hi_ms)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000


class Window(NamedTuple):
    """A range of server time, in ms; the unit of progress, retry, audit and proof."""

    lo_ms: int
    hi_ms: int


class Body(NamedTuple):
    """One element of a record's `bodies`: what has a column, and everything else in `extra`.

    `duration` is in seconds, `file_length` in bytes, `width` and `height` in pixels, `lat` and `lng` in degrees.
    `extra` is JSON text, or None.
    """

    type: str = "unknown"
    text: str | None = None
    url: str | None = None
    filename: str | None = None
    secret: str | None = None
    file_length: int | None = None
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    thumb_url: str | None = None
    thumb_secret: str | None = None
    lat: float | None = None
    lng: float | None = None
    addr: str | None = None
    extra: str | None = None


class Message(NamedTuple):
    """A record that could be read. `raw` is the record's bytes as received; every other field is derived from it.

    `digest` is the SHA-256 over the content, whatever the key order (docs/glossary.md). `ext` is JSON text, or None.
    `lossy` says that a readable field holds a substitute for something that no database column can hold.
    """

    msg_id: str
    timestamp_ms: int
    sender: str | None
    recipient: str | None
    conversation: str | None
    chat_type: str | None
    direction: str | None
    bodies: tuple[Body, ...]
    ext: str | None
    raw: bytes
    digest: bytes
    lossy: bool
    position: int
    """Its place in the page, counted from 0 over all records, readable or not."""


class Event(NamedTuple):
    """What a callback reports; every field is as its sender wrote it, and its body is covered by no signature.

    `kind`: message, recall, edit, group, moderation, reaction, thread, ack or other. `signed`: signed, unsigned or
    wrong; whether it is a replay is not to be seen from one event. `target_msg_id`: the message it is about. `at_ms`:
    by the provider's clock. `signature` and `stamp_ms`: what the signature is known by. `apart`: chatroom or cmd, of a
    message that is counted apart.
    """

    kind: str
    signed: str
    call_id: str | None = None
    msg_id: str | None = None
    target_msg_id: str | None = None
    at_ms: int | None = None
    actor: str | None = None
    conversation: str | None = None
    text: str | None = None
    apart: str | None = None
    signature: str | None = None
    stamp_ms: int | None = None


class Revision(NamedTuple):
    """Other content that was seen under the id of an archived message."""

    revision: int
    timestamp_ms: int
    seen_at: str | None
    digest: bytes
    raw: bytes
    bodies: tuple[Body, ...] = ()
    """Only where it is read for people; see `store.read.messages.readable`."""


class File(NamedTuple):
    """What an archived message points to, and what became of it. `kind`: "file" or "thumbnail"."""

    position: int
    kind: str
    state: str
    reason: str | None
    sha256: str | None
    size: int | None
    media_type: str | None


class Marks(NamedTuple):
    """What signed callbacks report of a message: the earliest recall (ISO 8601) and by whom, and how many edits."""

    recalled_at: str | None = None
    recalled_by: str | None = None
    edits: int = 0


class Archived(NamedTuple):
    """A message as the archive has it, with what is known about it. Its instants are ISO 8601, as people read them."""

    app: str
    message: Message
    sent_at: str | None
    archived_at: str | None
    page_id: int
    lateness_ms: int | None
    """How late it came into a range that was closed already; None where it did not."""
    revisions: tuple[Revision, ...]
    files: tuple[File, ...]
    marks: Marks = Marks()


class Reject(NamedTuple):
    """A record that could not be read: its bytes as received, and why, in words without any of its text."""

    raw: bytes
    reason: str
    position: int


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the provider, or one bounded batch of a file.

    `server_ms` is the server's time when the request was taken up; None where the answer does not tell.
    `sha256` is the hex digest over the raw bytes of its records, in their order.
    """

    messages: tuple[Message, ...]
    rejects: tuple[Reject, ...]
    server_ms: int | None
    sha256: str

    @property
    def received(self) -> int:
        return len(self.messages) + len(self.rejects)

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return sum(len(message.raw) for message in self.messages) + sum(len(reject.raw) for reject in self.rejects)


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of records: every one has exactly one of four fates."""

    new: int = 0
    known: int = 0
    changed: int = 0
    quarantined: int = 0
    bodies: int = 0
    late: int = 0
    worst_lateness_ms: int | None = None
    outside: int = 0
    """Records stamped outside the window whose walk brought them; they are true all the same."""
    expired: int = 0
    """Of the known those that have expired, and were not stored again."""

    @property
    def received(self) -> int:
        return self.new + self.known + self.changed + self.quarantined

    def __add__(self, other: Tally) -> Tally:
        lateness = [ms for ms in (self.worst_lateness_ms, other.worst_lateness_ms) if ms is not None]
        return Tally(
            self.new + other.new,
            self.known + other.known,
            self.changed + other.changed,
            self.quarantined + other.quarantined,
            self.bodies + other.bodies,
            self.late + other.late,
            max(lateness, default=None),
            self.outside + other.outside,
            self.expired + other.expired,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One page of a walk, with what the walk knows after it. A walk that ends without an error came to its end.

    `progress_ms`: every row of the window stamped before it has been seen; None while the server's order cannot be
    trusted, as `ordered` says. `end`: "" while more may come; "exhausted" when the provider had no more; "by_order"
    when rows beyond the window proved the rest to lie behind it; "partial" when the walk stopped at `progress_ms`
    because it had grown long. `file_sha256`: the hex digest of the file the page was read from, as it was downloaded.
    """

    page: Page
    progress_ms: int | None
    ordered: bool
    end: str = ""
    file_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """One look at a range of time, at a fixed lag behind its end: 1 moves the watermark, 2 and up are audits."""

    pass_no: int
    lag_ms: int


class Setup(NamedTuple):
    """What planning and closing go by: the passes under the archive's numbers, the hours, and how long rows are kept.

    `expired_ms`: what ends before this is kept by the provider no longer; None: all is.
    """

    passes: tuple[Pass, ...]
    hour_offset_ms: int | None
    expired_ms: int | None = None


class Source(Protocol):
    """What a provider's way of reading messages offers to `pull`."""

    @property
    def app(self) -> str:
        """ "org#app"."""

    @property
    def kind(self) -> str:
        """The name of this way of reading: "cursor" or "hourly"."""

    @property
    def passes(self) -> tuple[Pass, ...]:
        """Pass 1 first, then the audits with growing lags."""

    @property
    def retention_ms(self) -> int | None:
        """How long the provider keeps what is read here; None: for ever."""

    @property
    def hour_offset_ms(self) -> int | None:
        """Windows are the whole hours of the zone that is so far east of UTC; None: any window will do."""

    def first_contact(self, start_ms: int, now_ms: int) -> int:
        """From where on this source can be archived when it is asked for the first time at `now_ms`."""

    def fetch_now(self) -> int:
        """Ask the provider for its time, in ms."""

    def walk(
        self, window: Window, *, resume_ms: int | None, order_trusted: bool, progress: Callable[[int], None]
    ) -> Iterator[Step]:
        """Read one window, page by page, to its end or to an error.

        With `resume_ms` the walk begins there, inclusive; give it only where order is trusted. Where a page takes
        long, `progress` is called with the number of bytes since its last call; it may raise to end the walk.
        Raises WalkFailed, HourMissing, ProviderUnavailable, QuotaExceeded, CredentialsRefused, Stopped.
        """


class Pointer(NamedTuple):
    """Where a message says that a file is. All of it is a user's text: data, never an address or a path to use."""

    url: str
    secret: str | None = None


class Fetched(NamedTuple):
    """What became of one attempt to fetch a file.

    `state`: "stored" when all of it came; "gone", "refused" and "foreign" for good; "failed" when it may come later.
    `framed`: the answer said where the file ends. `served_as`: the media type that the server claims. `status`: of the
    answer by HTTP; None where there was none.
    """

    state: str
    reason: str | None = None
    size: int = 0
    sha256: str = ""
    framed: bool = True
    served_as: str = ""
    retry_after_s: float | None = None
    status: int | None = None


Json = dict[str, Any]
