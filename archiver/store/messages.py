"""The record's way into SQL: every record of some pages becomes new, known, changed or quarantined, in one transaction.

The first copy of a message is never altered; other content under the same id is a revision. Rows are written in key
order, or two writers deadlock. Keys are looked up first and what is new is then appended by COPY, without a staging
table; another writer's same row, noticed by the unique violation, only costs the savepoint and one more look.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS, Body, Message, Reject
from archiver.store import floors, revisions
from archiver.store.appending import Arrived, Provenance, append_missing, delete
from archiver.store.engine import Tx, among
from archiver.store.revisions import body_columns
from archiver.store.schema import WITHHELD_ERASED, attachments, message_bodies, messages

_ATTACHMENT_COLUMNS = ("app_id", "msg_id", "position", "kind", "url", "declared_length", "expires_at")
_ATTACHMENT_KEPT_MS = 7 * DAY_MS  # by default, says the provider's page on file storage
ERASED = b""
"""In place of the digest of a message that was erased: whatever comes under its id is known."""
_EMPTY_BESIDE_TEXT = Body(text="").count(None)


class Batch(NamedTuple):
    """What one page brought, in its order."""

    page_id: int
    messages: Sequence[Message]


class InsertResult(NamedTuple):
    """What became of the readable records of a page; `refused` are those that the database would not take."""

    new: Sequence[Message]
    changed: list[Message]
    known: int
    refused: list[Reject]
    expired: int = 0
    """Of the known those that are stamped below the floor of their app, and not there."""
    deleted: int = 0
    """Of the known those that have expired or were erased: no hash without salt may speak of them."""

    @property
    def bodies(self) -> int:
        return sum([len(message.bodies) for message in self.new])


def insert(tx: Tx, origin: Provenance, batches: Sequence[Batch]) -> list[InsertResult]:
    """Store what is new of some pages, note what differs from what is stored, and count the rest as known.

    The pages are stored as one, as a look and a write cost the same for many as for one. What has expired, and what was
    erased, is known whatever it says now.
    """
    kept, expired = _without_expired(tx, origin.app_id, batches)
    if not expired:
        return _insert(tx, origin, batches)
    return [
        result._replace(
            known=result.known + expired[batch.page_id],
            expired=expired[batch.page_id],
            deleted=result.deleted + expired[batch.page_id],
        )
        for batch, result in zip(kept, _insert(tx, origin, kept), strict=True)
    ]


def _without_expired(tx: Tx, app_id: int, batches: Sequence[Batch]) -> tuple[Sequence[Batch], Counter[int]]:
    """Pages without what is stamped below the floor of the app and not there, and how much that was, by page.

    So is what a tombstone names that has no row here.
    """
    expired: Counter[int] = Counter()
    below: set[str] = set()
    if (floor_ms := floors.of_app(tx, app_id)) is not None:
        below = {message.msg_id for batch in batches for message in batch.messages if message.timestamp_ms < floor_ms}
        below -= _digests(tx, app_id, sorted(below)).keys()
    gone = floors.gone_by_name(tx, app_id, [message.msg_id for batch in batches for message in batch.messages])
    if not below and not gone:
        return batches, expired
    kept = []
    for batch in batches:
        left = [one for one in batch.messages if one.msg_id not in gone and not _is_below(one, floor_ms, below)]
        expired[batch.page_id] = len(batch.messages) - len(left)
        kept.append(batch._replace(messages=left))
    return kept, expired


def _is_below(message: Message, floor_ms: int | None, below: set[str]) -> bool:
    return floor_ms is not None and message.timestamp_ms < floor_ms and message.msg_id in below


def _insert(tx: Tx, origin: Provenance, batches: Sequence[Batch]) -> list[InsertResult]:
    first: dict[str, Arrived] = {}
    for page_id, arrived in batches:
        for message in arrived:
            msg_id = message.msg_id
            if msg_id not in first:
                first[msg_id] = msg_id, page_id, message
    new, digests = _insert_new(tx, origin, first)
    if len(new) == sum(len(batch.messages) for batch in batches):  # nothing is known, and no id came twice
        return [InsertResult(batch.messages, [], 0, []) for batch in batches]
    digests.update((msg_id, message.digest) for msg_id, _, message in new)
    left = {msg_id for msg_id, _, _ in new}
    parts = [_part(batch, left) for batch in batches]
    differing: list[Arrived] = []
    refused: list[Arrived] = []
    for batch, (_, again) in zip(batches, parts, strict=True):
        for message in again:
            known = digests.get(message.msg_id)
            if known not in (message.digest, ERASED):
                (refused if known is None else differing).append((message.msg_id, batch.page_id, message))
    changed, unstorable = revisions.insert(tx, origin, differing)
    return [
        _stored(batch, mine, changed, refused + unstorable)._replace(deleted=_erased(again, digests))
        for batch, (mine, again) in zip(batches, parts, strict=True)
    ]


def _erased(again: Sequence[Message], digests: dict[str, bytes]) -> int:
    return sum(digests.get(message.msg_id) == ERASED for message in again) if ERASED in digests.values() else 0


def _part(batch: Batch, left: set[str]) -> tuple[Sequence[Message], Sequence[Message]]:
    """A page's messages: those by which an id in `left` came first, which leaves it with them, and all others."""
    if not left:
        return [], batch.messages
    mine, again = [], []
    for message in batch.messages:
        if message.msg_id in left:
            left.remove(message.msg_id)
            mine.append(message)
        else:
            again.append(message)
    return mine, again


def _stored(batch: Batch, new: Sequence[Message], changed: list[Arrived], refused: list[Arrived]) -> InsertResult:
    changes = [message for _, page_id, message in changed if page_id == batch.page_id]
    unstorable = [message for _, page_id, message in refused if page_id == batch.page_id]
    rejects = [Reject(message.raw, "the database refused it", message.position) for message in unstorable]
    return InsertResult(new, changes, len(batch.messages) - len(new) - len(changes) - len(unstorable), rejects)


def _insert_new(tx: Tx, origin: Provenance, arrived: dict[str, Arrived]) -> tuple[list[Arrived], dict[str, bytes]]:
    """Append what the archive does not have; also gives the digests of what it has."""
    digests: dict[str, bytes] = {}

    def missing(mine: list[Arrived]) -> list[Arrived]:
        ours = {msg_id for msg_id, _, _ in mine}
        left = [msg_id for msg_id in arrived if msg_id not in ours]
        digests.update(_digests(tx, origin.app_id, left))
        return sorted(arrived[msg_id] for msg_id in left if msg_id not in digests)

    write = partial(_append_rows, tx, origin)
    take_back = None if origin.of_stored_pages else partial(_take_back_rows, tx, origin)
    return sorted(append_missing(tx, missing, write, take_back)), digests


def _digests(tx: Tx, app_id: int, msg_ids: list[str]) -> dict[str, bytes]:
    if not msg_ids:
        return {}
    rows = tx.conn.execute(_digests_of(tx.postgres), {"of_app": app_id, "msg_ids": json.dumps(msg_ids)})
    return {msg_id: ERASED if withheld == WITHHELD_ERASED else digest for msg_id, digest, withheld in rows.all()}


@cache
def _digests_of(postgres: bool) -> sa.Select[str, bytes, int | None]:
    return sa.select(messages.c.msg_id, messages.c.digest, messages.c.withheld).where(
        messages.c.app_id == sa.bindparam("of_app"), among(messages.c.msg_id, "msg_ids", postgres=postgres)
    )


MESSAGE_COLUMNS = (
    "app_id",
    "msg_id",
    "timestamp_ms",
    "sent_at",
    "sender",
    "recipient",
    "conversation",
    "chat_type",
    "direction",
    "ext",
    "raw",
    "digest",
    "lossy",
    "page_id",
    "position",
    "archived_at",
)
"""What `_append_rows` fills, in its order."""


def _append_rows(tx: Tx, origin: Provenance, fresh: list[Arrived]) -> None:
    (app_id, archived_ms, _), (instant, json_of) = origin, tx.given
    archived_at = instant(archived_ms)
    # Made as they are written, since thousands of them would lie around.
    rows = (
        (
            app_id,
            msg_id,
            stamp_ms,
            instant(stamp_ms),
            sender,
            recipient,
            conversation,
            chat_type,
            direction,
            None if ext is None else json_of(ext),
            raw,
            digest,
            lossy,
            page_id,
            position,
            archived_at,
        )
        for msg_id, page_id, (
            _,
            stamp_ms,
            sender,
            recipient,
            conversation,
            chat_type,
            direction,
            _,
            ext,
            raw,
            digest,
            lossy,
            position,
        ) in fresh
    )
    tx.append(messages, MESSAGE_COLUMNS, rows)
    others: list[tuple[str, int, Body, Message]] = []
    tx.append(message_bodies, BODY_COLUMNS, _body_rows(app_id, fresh, json_of, others))
    files = (
        (app_id, msg_id, at, kind, url, length, instant(_expiry_ms(message, archived_ms)))
        for msg_id, at, body, message in others
        for kind, url, length in (("file", body.url, body.file_length), ("thumbnail", body.thumb_url, None))
        if url
    )
    tx.append(attachments, _ATTACHMENT_COLUMNS, files)


def _take_back_rows(tx: Tx, origin: Provenance, fresh: list[Arrived]) -> None:
    keys = [{"app_id": origin.app_id, "msg_id": msg_id} for msg_id, _, _ in fresh]
    delete(tx, (attachments, message_bodies, messages), keys)


BODY_COLUMNS = ("app_id", "msg_id", "position", *Body._fields)
"""What `_body_rows` fills; its rows may end behind the text."""


def _body_rows(
    app_id: int, fresh: list[Arrived], json_of: Callable[[str], Any], others: list[tuple[str, int, Body, Message]]
) -> Iterator[tuple[Any, ...]]:
    """Rows of all bodies; those that are more than a text, which few are, are put into `others`."""
    for msg_id, _, message in fresh:
        for at, body in enumerate(message.bodies):
            if body.count(None) == _EMPTY_BESIDE_TEXT and body.text is not None:
                yield app_id, msg_id, at, body.type, body.text
            else:
                others.append((msg_id, at, body, message))
                yield app_id, msg_id, at, *body_columns(body, json_of)


def _expiry_ms(message: Message, archived_ms: int) -> int:
    """Until when the provider keeps its files; they were there before we were, whatever a strange stamp says."""
    stamp_ms = message.timestamp_ms
    return (stamp_ms if 0 <= stamp_ms <= archived_ms else archived_ms) + _ATTACHMENT_KEPT_MS
