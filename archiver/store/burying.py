"""Tombstones for records that go: one for a page of which nothing stays, else one a leaf, with its hash.

The salts of leaves that go are destroyed, so that no guess of a text can be tested; those of their neighbours stay, and
so does the root. Hashes without salt are emptied.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver import salts
from archiver.errors import ArchiveIncomplete
from archiver.store import burying_rows, removing, sealed_pages
from archiver.store import tombstones as tombs
from archiver.store.burying_rows import SealedRow
from archiver.store.engine import Tx
from archiver.store.schema import attachments, message_revisions, messages, pages, quarantine, seals, tombstones
from archiver.store.seals import key_text


class GoingRecord(NamedTuple):
    """A record that goes, at its place in a page, and how many rows it stands for."""

    page_id: int
    position: int
    messages: int
    bodies: int
    revisions: int
    msg_id: str | None = None
    """Of a message that its stamp does not tell as expired when it is offered again: its tombstone names it."""


class Burial(NamedTuple):
    """For which app, and by which request."""

    app_id: int
    request_id: int


Stone = dict[str, Any]


def bury(tx: Tx, burial: Burial, places: Sequence[GoingRecord], msg_ids: Sequence[str]) -> None:
    """Put tombstones in the place of records that have expired, and of what is sealed of their attachments."""
    by_page: dict[int, list[GoingRecord]] = defaultdict(list)
    for place in places:
        by_page[place.page_id].append(place)
    rows = _rows_on(tx, list(by_page))
    stones: list[Stone] = []
    for page_id, going in sorted(by_page.items()):
        positions = {place.position for place in going}
        if rows.get(page_id, set()) <= positions and not any(place.msg_id for place in going):
            stones.append(_stone(page_id, going))
            _forget_seeds(tx, page_id)
        else:
            leaves = leaves_at(tx, page_id, positions)
            stones += [stone_of(place, leaves) for place in going]
    stones += _attachment_stones(tx, burial.app_id, msg_ids)
    add(tx, "expired", burial, stones)
    _blank(tx, {page_id: {place.position for place in going} for page_id, going in by_page.items()})


def add(tx: Tx, kind: str, burial: Burial, stones: Sequence[Stone]) -> None:
    """Add tombstones in one statement: triggers prepare for a deletion once a statement."""
    common = (kind, burial.app_id, burial.request_id, tx.given.instant(tx.now_ms()))
    rows = [(*common, *(stone.get(name) for name in _OF_A_STONE)) for stone in stones]
    tx.append(tombstones, ("kind", "app_id", "request_id", "at", *_OF_A_STONE), rows)


_OF_A_STONE = ("msg_id", "page_id", "seal_id", "position", "leaf", "messages", "bodies", "revisions")
_NO_PLACE: Stone = {"msg_id": None, "page_id": None, "seal_id": None, "position": None, "leaf": None}


def _stone(page_id: int, going: Iterable[GoingRecord]) -> Stone:
    counts = [sum(column) for column in zip(*(place[2:5] for place in going), strict=True)]
    return _NO_PLACE | {"page_id": page_id} | dict(zip(("messages", "bodies", "revisions"), counts, strict=True))


def stone_of(place: GoingRecord, leaves: dict[int, tuple[int, bytes]] | None) -> Stone:
    """The tombstone of one leaf; `leaves`: see `leaves_at`."""
    return _stone(place.page_id, [place]) | _leaf(place.position, leaves) | {"msg_id": place.msg_id}


def _leaf(position: int, leaves: dict[int, tuple[int, bytes]] | None) -> Stone:
    if leaves is None:  # nothing was sealed: a later baseline takes this
        return {"position": position, "leaf": secrets.token_bytes(32)}
    seal_id, leaf = leaves[position]
    return {"position": position, "seal_id": seal_id, "leaf": leaf}


def _rows_on(tx: Tx, page_ids: Sequence[int]) -> dict[int, set[int]]:
    """The places of all that pages have, also in quarantine."""
    there: dict[int, set[int]] = defaultdict(set)
    for table in (messages, message_revisions, quarantine):
        query = sa.select(table.c.page_id, table.c.position).where(table.c.page_id.in_(page_ids))
        for page_id, position in tx.conn.execute(query):
            there[page_id].add(position)
    return there


def _forget_seeds(tx: Tx, page_id: int) -> None:
    tx.conn.execute(seals.update().where(seals.c.page_id == page_id).values(seeds=b""))


def leaves_at(tx: Tx, page_id: int, positions: set[int]) -> dict[int, tuple[int, bytes]] | None:
    """The seal and the hash of the leaves at these places, whose salts are destroyed; None where nothing was sealed."""
    query = sa.select(seals.c.id, seals.c.leaves, seals.c.seeds).where(seals.c.page_id == page_id).order_by(seals.c.id)
    sealed = tx.conn.execute(query.limit(1)).first()
    if sealed is None:
        return None
    hashed = page_leaves(tx, page_id, sealed.seeds, sealed.leaves)
    seeds: salts.Seeds = salts.unpack(bytes(sealed.seeds or b""))
    for at, (position, _) in enumerate(hashed):
        if position in positions:
            seeds = salts.puncture(seeds, at, sealed.leaves)
    tx.conn.execute(seals.update().where(seals.c.id == sealed.id).values(seeds=salts.pack(seeds)))
    return {position: (sealed.id, leaf) for position, leaf in hashed}


def page_leaves(tx: Tx, page_id: int, seeds: bytes | None, count: int) -> list[tuple[int, bytes]]:
    """The leaves of a page's seal by their places, in order: of what is there, and of what is gone.

    Raises ArchiveIncomplete where the page is not what was sealed.
    """
    stored = sealed_pages.stored(tx, page_id - 1, page_id, columns=False).get(page_id, [])
    there = sealed_pages.leaves(stored, sealed_pages.kept(tx, page_id - 1, page_id))
    gone = tombs.read(tx, page_id - 1, page_id).get(page_id, {})
    hashes = tombs.leaf_hashes(seeds, count, there, gone)
    if hashes is None:
        raise ArchiveIncomplete(f"page {page_id} is not as it was sealed", hint="archiver evidence verify")
    return list(zip(sorted({leaf[0] for leaf in there} | tombs.leaves_of(gone).keys()), hashes, strict=True))


def _attachment_stones(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> Iterator[Stone]:
    """Tombstones for sealed rows of attachments that go with their messages."""
    a = attachments.c
    query = sa.select(*attachments.primary_key, a.fetched_at).where(
        removing.of_these(tx, attachments, app_id, msg_ids), a.state == "stored"
    )
    going = {key_text(row[:-1]): SealedRow(row[-1] or 0) for row in tx.conn.execute(query)}
    return burying_rows.stones(tx, attachments.name, going)


def _blank(tx: Tx, positions: dict[int, set[int]]) -> None:
    """Empty the hashes of pages, and the bytes of what has left quarantine for a message that goes."""
    tx.conn.execute(pages.update().where(pages.c.id.in_(list(positions)), pages.c.sha256 != "").values(sha256=""))
    q = quarantine.c
    query = sa.select(q.id, q.page_id, q.position).where(q.page_id.in_(list(positions)), q.withheld.is_(None))
    for number, page_id, position in tx.conn.execute(query).all():
        if position in positions[page_id]:
            blank = {"raw": b"", "digest": secrets.token_bytes(32), "reason": "expired", "withheld": 2}
            settled = {
                "resolved_at": sa.func.coalesce(q.resolved_at, sa.bindparam("now", tx.now_ms(), q.resolved_at.type))
            }
            tx.conn.execute(quarantine.update().where(q.id == number).values(blank | settled))
