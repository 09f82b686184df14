"""The record's way into SQL: each record of a page becomes new, known, changed or quarantined, in one transaction.

The first copy of a message is never altered; other content under the same id is a revision. Rows are written in key
order, or two writers deadlock. Keys are looked up first and what is new is then appended by COPY, without a staging
table; another writer's same row, found by its unique violation, only costs the savepoint and one more look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archiver.model import DAY_MS, Message, Reject
from archiver.store.engine import Tx, among, is_data_error, is_duplicate
from archiver.store.schema import attachments, iso, message_bodies, message_revisions, messages, revision_bodies

_ATTACHMENT = ("app_id", "msg_id", "position", "kind", "url", "declared_length", "expires_at")
_ATTACHMENT_KEPT_MS = 7 * DAY_MS  # by default, says the provider's page on file storage
_RACES = 10
_Row = TypeVar("_Row")


class Origin(NamedTuple):
    """Where records come from: whose they are, which page brought them, and when."""

    app_id: int
    page_id: int
    archived_ms: int


class Stored(NamedTuple):
    """What became of the readable records of a page; `refused` are those that the database would not take."""

    new: list[Message]
    changed: list[Message]
    known: int
    refused: list[Reject]

    @property
    def bodies(self) -> int:
        return sum(len(message.bodies) for message in self.new)


def insert(tx: Tx, origin: Origin, batch: Sequence[Message]) -> Stored:
    """Store what is new of a batch, note what differs from what is stored, and count the rest as known."""
    first: dict[str, Message] = {}
    again = [message for message in batch if first.setdefault(message.msg_id, message) is not message]
    refused: list[Message] = []
    new, digests = _insert_new(tx, origin, [first[msg_id] for msg_id in sorted(first)], refused)
    digests.update((message.msg_id, message.digest) for message in new)
    stored_now = {message.msg_id for message in new}
    seen = [message for message in first.values() if message.msg_id not in stored_now] + again
    refused += [message for message in again if message.msg_id not in digests]
    differing = [message for message in seen if digests.get(message.msg_id, message.digest) != message.digest]
    changed = _insert_revisions(tx, origin, differing, refused)
    known = len(batch) - len(new) - len(changed) - len(refused)
    rejects = [Reject(message.raw, "the database refused it", message.position) for message in refused]
    return Stored(new, changed, known, rejects)


def _insert_new(
    tx: Tx, origin: Origin, sorted_batch: list[Message], refused: list[Message]
) -> tuple[list[Message], dict[str, bytes]]:
    """Append what the archive does not have; also gives the digests of what it has."""
    for _ in range(_RACES):
        digests = _digests(tx, origin.app_id, [message.msg_id for message in sorted_batch])
        fresh = [message for message in sorted_batch if message.msg_id not in digests]
        tried: list[Message] = []
        try:
            return _append(tx, partial(_append_rows, tx, origin), fresh, tried), digests
        except DBAPIError as error:
            if not is_duplicate(error):
                raise
        finally:
            refused[:] = tried
    raise AssertionError("other writers stored rows of this page again and again between look and write")


def _digests(tx: Tx, app_id: int, msg_ids: list[str]) -> dict[str, bytes]:
    if not msg_ids:
        return {}
    found = tx.conn.execute(_digests_of(tx.postgres), {"of_app": app_id, "msg_ids": json.dumps(msg_ids)})
    return {row.msg_id: bytes(row.digest) for row in found}


@cache
def _digests_of(postgres: bool) -> sa.Select[tuple[str, bytes]]:
    m = messages.c
    return sa.select(m.msg_id, m.digest).where(
        m.app_id == sa.bindparam("of_app"), among(m.msg_id, "msg_ids", postgres=postgres)
    )


def _append(tx: Tx, write: Callable[[list[_Row]], None], fresh: list[_Row], refused: list[_Row]) -> list[_Row]:
    """Append rows under a savepoint; a row the database refuses is found by halving, so that its neighbours stay."""
    if not fresh:
        return []
    try:
        with tx.savepoint():
            write(fresh)
    except DBAPIError as error:
        if not is_data_error(error):
            raise
        if len(fresh) == 1:
            refused += fresh
            return []
        middle = len(fresh) // 2
        return _append(tx, write, fresh[:middle], refused) + _append(tx, write, fresh[middle:], refused)
    return fresh


def _append_rows(tx: Tx, origin: Origin, fresh: list[Message]) -> None:
    app_id, page_id, archived_ms = origin
    archived_at = iso(archived_ms)
    # In the order of the tables' columns.
    rows = [
        (
            app_id,
            m.msg_id,
            m.timestamp_ms,
            iso(m.timestamp_ms),
            m.sender,
            m.recipient,
            m.conversation,
            m.chat_type,
            m.direction,
            m.ext,
            m.raw,
            m.digest,
            m.lossy,
            page_id,
            m.position,
            archived_at,
        )
        for m in fresh
    ]
    tx.append(messages, messages.columns.keys(), rows)
    bodies = [(app_id, m.msg_id, at, *body) for m in fresh for at, body in enumerate(m.bodies)]
    if bodies:
        tx.append(message_bodies, message_bodies.columns.keys(), bodies)
    files = [
        (app_id, m.msg_id, at, kind, url, length, _expiry(m, archived_ms))
        for m in fresh
        for at, body in enumerate(m.bodies)
        for kind, url, length in (("file", body.url, body.file_length), ("thumbnail", body.thumb_url, None))
        if url
    ]
    if files:
        tx.append(attachments, _ATTACHMENT, files)


def _expiry(message: Message, archived_ms: int) -> str | None:
    """Until when the provider keeps its files; they were there before we were, whatever an odd stamp says."""
    stamp_ms = message.timestamp_ms
    return iso((stamp_ms if 0 <= stamp_ms <= archived_ms else archived_ms) + _ATTACHMENT_KEPT_MS)


def _insert_revisions(tx: Tx, origin: Origin, differing: list[Message], refused: list[Message]) -> list[Message]:
    """Keep content that a known id did not have before, once per content; what was seen before is known."""
    if not differing:
        return []
    r = message_revisions.c
    query = sa.select(r.msg_id, r.revision, r.digest).where(
        r.app_id == origin.app_id, among(r.msg_id, "msg_ids", postgres=tx.postgres)
    )
    msg_ids = json.dumps(sorted({message.msg_id for message in differing}))
    contents: dict[str, set[bytes]] = {}
    last: dict[str, int] = {}
    for row in tx.conn.execute(query, {"msg_ids": msg_ids}):
        contents.setdefault(row.msg_id, set()).add(bytes(row.digest))
        last[row.msg_id] = max(last.get(row.msg_id, 0), row.revision)
    fresh: list[tuple[int, Message]] = []
    for m in sorted(differing, key=lambda message: message.msg_id):
        known = contents.setdefault(m.msg_id, set())
        if m.digest in known:
            continue
        known.add(m.digest)
        last[m.msg_id] = revision = last.get(m.msg_id, 0) + 1
        fresh.append((revision, m))
    tried: list[tuple[int, Message]] = []
    changed = _append(tx, partial(_append_revisions, tx, origin), fresh, tried)
    refused += [m for _, m in tried]
    return [m for _, m in changed]


def _append_revisions(tx: Tx, origin: Origin, fresh: list[tuple[int, Message]]) -> None:
    app_id, page_id, archived_ms = origin
    seen_at = iso(archived_ms)
    rows = [
        (app_id, m.msg_id, revision, m.timestamp_ms, m.raw, m.digest, seen_at, page_id, m.position)
        for revision, m in fresh
    ]
    tx.append(message_revisions, message_revisions.columns.keys(), rows)
    bodies = [(app_id, m.msg_id, revision, at, *body) for revision, m in fresh for at, body in enumerate(m.bodies)]
    if bodies:
        tx.append(revision_bodies, revision_bodies.columns.keys(), bodies)
