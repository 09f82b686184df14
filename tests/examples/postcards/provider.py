"""A provider of postcards, which lists all cards of a span of time in one answer: the worked example of a provider."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from archiver.config import App, Attachments
from archiver.errors import AnswerUnusable, UsageError
from archiver.http import Client
from archiver.http.response import Answer
from archiver.model import Body, Message, Page, Pass, Reject, Step, Window


def decode(raw: bytes, position: int) -> Message | Reject:
    """A card is {"id": text, "at": ms, "from": text, "to": text, "text": text}."""
    try:
        card = json.loads(raw)
        people, stamp_ms = (str(card["from"]), str(card["to"])), int(card["at"])
        body, msg_id = Body(type="txt", text=str(card["text"])), str(card["id"])
    except (ValueError, KeyError, TypeError):
        return Reject(raw, "not a card", position)
    content = json.dumps([stamp_ms, people, body.text]).encode()
    return Message(
        *(msg_id, stamp_ms, *people, "|".join(sorted(people)), "chat", None, (body,), None, raw),
        *(hashlib.sha256(content).digest(), False, position),
    )


def salvage(raw: bytes) -> Iterator[Message]:
    """There are no files."""
    return iter(())


def first_contact(app: App, start_ms: int, now_ms: int) -> int:
    return start_ms


def zone_ms(app: App) -> int | None:
    return None


def is_ours(app: App, settings: Attachments, url: str) -> bool:
    return False


def foreign_reason(host: str) -> str:
    return "cards have no files"


def _read(answer: Answer) -> Page:
    try:
        lines = answer.body.splitlines()
    except ValueError:
        raise AnswerUnusable("no lines") from None
    records = [decode(line, at) for at, line in enumerate(lines)]
    return Page(
        tuple(record for record in records if isinstance(record, Message)),
        tuple(record for record in records if isinstance(record, Reject)),
        answer.date_ms,
        hashlib.sha256(b"".join(lines)).hexdigest(),
    )


@dataclass(frozen=True)
class Cards:
    """Reads one app."""

    app: str
    passes: tuple[Pass, ...]
    client: Client
    kind: str = "cursor"
    retention_ms: int | None = None
    hour_offset_ms: int | None = None

    def first_contact(self, start_ms: int, now_ms: int) -> int:
        return start_ms

    def _list(self, window: Window) -> Page:
        span = {"from": str(window.lo_ms), "to": str(window.hi_ms)}
        return self.client.fetch_as(_read, "GET", "/cards", params=span)

    def fetch_now(self) -> int:
        now_ms = self._list(Window(1, 2)).server_ms
        if now_ms is None:
            raise AnswerUnusable("the answer does not tell the server's time")
        return now_ms

    def walk(
        self, window: Window, *, resume_ms: int | None, order_trusted: bool, progress: Callable[[int], None]
    ) -> Iterator[Step]:
        """Whole in one answer, so that no order and no cursor has to be trusted."""
        yield Step(self._list(window), None, ordered=True, end="exhausted")


@dataclass(frozen=True)
class Postcards:
    """The connection to one app."""

    source: Cards
    pin: Callable[[str], None]

    def sign_in(self) -> None:
        self.pin("postcards")

    def files(self, *_: Any, **__: Any) -> Any:
        raise UsageError("cards have no files")

    send_user = send_group = fetch_presence = files


def connect(app: App, client: Client, *, pin: Callable[[str], None], **_: Any) -> Postcards:
    return Postcards(Cards(app.name, (Pass(1, app.settle_ms),), client), pin)
