"""Other contents of messages that are known: kept once per content, beside a first copy that is never altered."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from archiver.model import Body
from archiver.store.appending import Arrived, Provenance, append_missing, delete
from archiver.store.engine import Tx, among
from archiver.store.schema import message_revisions, revision_bodies


def body_columns(body: Body, json_of: Callable[[str], Any]) -> tuple[Any, ...]:
    return body if body.extra is None else (*body[:-1], json_of(body.extra))


def insert(tx: Tx, origin: Provenance, differing: list[Arrived]) -> tuple[list[Arrived], list[Arrived]]:
    """Keep content that a known id did not have before, once per content; what was seen before is known.

    Gives what was kept, and what the database refused.
    """
    if not differing:
        return [], []
    fresh: list[_Revised] = []

    def missing(_: list[_Revised]) -> list[_Revised]:  # whose contents are known by now
        fresh[:] = _unknown_revisions(tx, origin, differing)
        return list(fresh)

    write = partial(_append_revisions, tx, origin)
    take_back = None if origin.of_stored_pages else partial(_take_back_revisions, tx, origin)
    taken = sorted(append_missing(tx, missing, write, take_back))
    kept = {id(revised) for _, revised in taken}
    return [revised for _, revised in taken], [revised for _, revised in fresh if id(revised) not in kept]


def _unknown_revisions(tx: Tx, origin: Provenance, differing: list[Arrived]) -> list[_Revised]:
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


_Revised = tuple[tuple[str, int], Arrived]
"""A message, under its id and the number of its revision."""


REVISION_COLUMNS = ("app_id", "msg_id", "revision", "timestamp_ms", "raw", "digest", "seen_at", "page_id", "position")
REVISION_BODY_COLUMNS = ("app_id", "msg_id", "revision", "position", *Body._fields)


def _append_revisions(tx: Tx, origin: Provenance, fresh: list[_Revised]) -> None:
    (app_id, archived_ms, _), (instant, json_of) = origin, tx.given
    seen_at = instant(archived_ms)
    rows = [
        (app_id, *key, message.timestamp_ms, message.raw, message.digest, seen_at, page_id, message.position)
        for key, (_, page_id, message) in fresh
    ]
    tx.append(message_revisions, REVISION_COLUMNS, rows)
    bodies = (
        (app_id, *key, at, *body_columns(body, json_of))
        for key, (_, _, message) in fresh
        for at, body in enumerate(message.bodies)
    )
    tx.append(revision_bodies, REVISION_BODY_COLUMNS, bodies)


def _take_back_revisions(tx: Tx, origin: Provenance, fresh: list[_Revised]) -> None:
    keys = [{"app_id": origin.app_id, "msg_id": msg_id, "revision": revision} for (msg_id, revision), _ in fresh]
    delete(tx, (revision_bodies, message_revisions), keys)
