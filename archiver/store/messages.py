"""The record's way into SQL: every record of some pages becomes new, known, changed or quarantined, in one transaction.

The first copy of a message is never altered; other content under the same id is a revision. Rows are written in key
order, or two writers deadlock. Keys are looked up first and what is new is then appended by COPY, without a staging
table; another writer's same row, noticed by the unique violation, only costs the savepoint and one more look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache, partial
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archiver.errors import DatabaseUnavailable
from archiver.model import DAY_MS, Body, Message, Reject
from archiver.store import troubles
from archiver.store.engine import Tx, among
from archiver.store.schema import attachments, message_bodies, message_revisions, messages, revision_bodies

_ATTACHMENT_COLUMNS = ("app_id", "msg_id", "position", "kind", "url", "declared_length", "expires_at")
_ATTACHMENT_KEPT_MS = 7 * DAY_MS  # by default, says the provider's page on file storage
_RACES = 10
_EMPTY_BESIDE_TEXT = Body(text="").count(None)
_Row = TypeVar("_Row")


class Provenance(NamedTuple):
    """Where records come from: whose they are, and when they came."""

    app_id: int
    archived_ms: int


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

    @property
    def bodies(self) -> int:
        return sum([len(message.bodies) for message in self.new])


_Arrived = tuple[str, int, Message]
"""A message between its id, by which it is sorted, and the page that brought it."""


def insert(tx: Tx, origin: Provenance, batches: Sequence[Batch]) -> list[InsertResult]:
    """Store what is new of some pages, note what differs from what is stored, and count the rest as known.

    The pages are stored as one, as a look and a write cost the same for many as for one.
    """
    first: dict[str, _Arrived] = {}
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
    differing: list[_Arrived] = []
    refused: list[_Arrived] = []
    for batch, (_, again) in zip(batches, parts, strict=True):
        for message in again:
            known = digests.get(message.msg_id)
            if known != message.digest:
                (refused if known is None else differing).append((message.msg_id, batch.page_id, message))
    changed, unstorable = _insert_revisions(tx, origin, differing)
    return [
        _stored(batch, mine, changed, refused + unstorable) for batch, (mine, _) in zip(batches, parts, strict=True)
    ]


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


def _stored(batch: Batch, new: Sequence[Message], changed: list[_Arrived], refused: list[_Arrived]) -> InsertResult:
    changes = [message for _, page_id, message in changed if page_id == batch.page_id]
    unstorable = [message for _, page_id, message in refused if page_id == batch.page_id]
    rejects = [Reject(message.raw, "the database refused it", message.position) for message in unstorable]
    return InsertResult(new, changes, len(batch.messages) - len(new) - len(changes) - len(unstorable), rejects)


def _insert_new(tx: Tx, origin: Provenance, arrived: dict[str, _Arrived]) -> tuple[list[_Arrived], dict[str, bytes]]:
    """Append what the archive does not have; also gives the digests of what it has."""
    digests: dict[str, bytes] = {}

    def missing(mine: list[_Arrived]) -> list[_Arrived]:
        ours = {msg_id for msg_id, _, _ in mine}
        left = [msg_id for msg_id in arrived if msg_id not in ours]
        digests.update(_digests(tx, origin.app_id, left))
        return sorted(arrived[msg_id] for msg_id in left if msg_id not in digests)

    write, take_back = partial(_append_rows, tx, origin), partial(_take_back_rows, tx, origin)
    return sorted(_append_missing(tx, missing, write, take_back)), digests


def _append_missing(
    tx: Tx,
    missing: Callable[[list[_Row]], list[_Row]],
    write: Callable[[list[_Row]], None],
    take_back: Callable[[list[_Row]], None],
) -> list[_Row]:
    """Append what is `missing` beside the rows that this has appended already; gives those rows.

    Where another writer was faster with one of them, what is missing is looked for again. Parts may be there by then,
    as their savepoints are over: they are this transaction's own, and nobody else's.
    """
    mine: list[_Row] = []
    for _ in range(_RACES):
        try:
            _append(tx, missing(mine), write, take_back, mine)
        except DBAPIError as error:
            if not troubles.is_duplicate(error):
                raise
        else:
            return mine
    raise DatabaseUnavailable("other writers stored the same rows again and again between look and write")


def _digests(tx: Tx, app_id: int, msg_ids: list[str]) -> dict[str, bytes]:
    if not msg_ids:
        return {}
    rows = tx.conn.execute(_digests_of(tx.postgres), {"of_app": app_id, "msg_ids": json.dumps(msg_ids)})
    return dict(rows.all())


@cache
def _digests_of(postgres: bool) -> sa.Select[str, bytes]:
    return sa.select(messages.c.msg_id, messages.c.digest).where(
        messages.c.app_id == sa.bindparam("of_app"), among(messages.c.msg_id, "msg_ids", postgres=postgres)
    )


def _append(
    tx: Tx,
    fresh: list[_Row],
    write: Callable[[list[_Row]], None],
    take_back: Callable[[list[_Row]], None],
    taken: list[_Row],
) -> None:
    """Append rows; one that the database refuses is isolated by halving, so that its neighbours stay.

    Those that the database took are added to `taken`. A savepoint undoes what was written before the refusal. SQLite
    would put by every page of an index for it, half as much as it writes in all; so there `take_back` deletes it.
    """
    if not fresh:
        return
    try:
        with tx.savepoint() if tx.postgres else nullcontext():
            write(fresh)
    except DBAPIError as error:
        if not troubles.is_data_error(error):
            raise
        if not tx.postgres:
            take_back(fresh)
        if len(fresh) > 1:
            middle = len(fresh) // 2
            _append(tx, fresh[:middle], write, take_back, taken)
            _append(tx, fresh[middle:], write, take_back, taken)
        return
    taken += fresh


def _delete(tx: Tx, tables: Iterable[sa.Table], keys: list[dict[str, Any]]) -> None:
    for table in tables:
        tx.conn.execute(sa.delete(table).where(*(table.c[name] == sa.bindparam(name) for name in keys[0])), keys)


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


def _append_rows(tx: Tx, origin: Provenance, fresh: list[_Arrived]) -> None:
    (app_id, archived_ms), (instant, json_of) = origin, tx.given
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


def _take_back_rows(tx: Tx, origin: Provenance, fresh: list[_Arrived]) -> None:
    keys = [{"app_id": origin.app_id, "msg_id": msg_id} for msg_id, _, _ in fresh]
    _delete(tx, (attachments, message_bodies, messages), keys)


BODY_COLUMNS = ("app_id", "msg_id", "position", *Body._fields)
"""What `_body_rows` fills; its rows may end behind the text."""


def _body_rows(
    app_id: int, fresh: list[_Arrived], json_of: Callable[[str], Any], others: list[tuple[str, int, Body, Message]]
) -> Iterator[tuple[Any, ...]]:
    """Rows of all bodies; those that are more than a text, which few are, are put into `others`."""
    for msg_id, _, message in fresh:
        for at, body in enumerate(message.bodies):
            if body.count(None) == _EMPTY_BESIDE_TEXT and body.text is not None:
                yield app_id, msg_id, at, body.type, body.text
            else:
                others.append((msg_id, at, body, message))
                yield app_id, msg_id, at, *_columns(body, json_of)


def _columns(body: Body, json_of: Callable[[str], Any]) -> tuple[Any, ...]:
    return body if body.extra is None else (*body[:-1], json_of(body.extra))


def _expiry_ms(message: Message, archived_ms: int) -> int:
    """Until when the provider keeps its files; they were there before we were, whatever a strange stamp says."""
    stamp_ms = message.timestamp_ms
    return (stamp_ms if 0 <= stamp_ms <= archived_ms else archived_ms) + _ATTACHMENT_KEPT_MS


def _insert_revisions(tx: Tx, origin: Provenance, differing: list[_Arrived]) -> tuple[list[_Arrived], list[_Arrived]]:
    """Keep content that a known id did not have before, once per content; what was seen before is known.

    Gives what was kept, and what the database refused.
    """
    if not differing:
        return [], []
    fresh: list[_Revised] = []

    def missing(_: list[_Revised]) -> list[_Revised]:  # whose contents are known by now
        fresh[:] = _unknown_revisions(tx, origin, differing)
        return list(fresh)

    write, take_back = partial(_append_revisions, tx, origin), partial(_take_back_revisions, tx, origin)
    taken = sorted(_append_missing(tx, missing, write, take_back))
    kept = {id(revised) for _, revised in taken}
    return [revised for _, revised in taken], [revised for _, revised in fresh if id(revised) not in kept]


def _unknown_revisions(tx: Tx, origin: Provenance, differing: list[_Arrived]) -> list[_Revised]:
    """Every content that its id did not have before, once, with the number that it gets."""
    contents: dict[str, set[bytes]] = {}
    last: dict[str, int] = {}
    msg_ids = json.dumps(sorted({msg_id for msg_id, _, _ in differing}))
    for row in tx.conn.execute(_revisions_of(tx.postgres), {"of_app": origin.app_id, "msg_ids": msg_ids}):
        contents.setdefault(row.msg_id, set()).add(bytes(row.digest))
        last[row.msg_id] = max(last.get(row.msg_id, 0), row.revision)
    fresh: list[_Revised] = []
    for arrived in sorted(differing, key=itemgetter(0)):
        msg_id, _, message = arrived
        known = contents.setdefault(msg_id, set())
        if message.digest in known:
            continue
        known.add(message.digest)
        last[msg_id] = revision = last.get(msg_id, 0) + 1
        fresh.append(((msg_id, revision), arrived))
    return fresh


@cache
def _revisions_of(postgres: bool) -> sa.Select[str, int, bytes]:
    return sa.select(message_revisions.c.msg_id, message_revisions.c.revision, message_revisions.c.digest).where(
        message_revisions.c.app_id == sa.bindparam("of_app"),
        among(message_revisions.c.msg_id, "msg_ids", postgres=postgres),
    )


_Revised = tuple[tuple[str, int], _Arrived]
"""A message, under its id and the number of its revision."""


REVISION_COLUMNS = ("app_id", "msg_id", "revision", "timestamp_ms", "raw", "digest", "seen_at", "page_id", "position")
REVISION_BODY_COLUMNS = ("app_id", "msg_id", "revision", "position", *Body._fields)


def _append_revisions(tx: Tx, origin: Provenance, fresh: list[_Revised]) -> None:
    (app_id, archived_ms), (instant, json_of) = origin, tx.given
    seen_at = instant(archived_ms)
    rows = [
        (app_id, *key, message.timestamp_ms, message.raw, message.digest, seen_at, page_id, message.position)
        for key, (_, page_id, message) in fresh
    ]
    tx.append(message_revisions, REVISION_COLUMNS, rows)
    bodies = (
        (app_id, *key, at, *_columns(body, json_of))
        for key, (_, _, message) in fresh
        for at, body in enumerate(message.bodies)
    )
    tx.append(revision_bodies, REVISION_BODY_COLUMNS, bodies)


def _take_back_revisions(tx: Tx, origin: Provenance, fresh: list[_Revised]) -> None:
    keys = [{"app_id": origin.app_id, "msg_id": msg_id, "revision": revision} for (msg_id, revision), _ in fresh]
    _delete(tx, (revision_bodies, message_revisions), keys)
