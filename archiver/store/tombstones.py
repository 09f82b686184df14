"""What stands in the place of records that are gone, and the leaves of a page's seal with it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from archiver import merkle, salts
from archiver.store.engine import Tx
from archiver.store.schema import tombstones
from archiver.store.seals import Leaf, SealMade


class TombstoneRow(NamedTuple):
    """What stands for records of a page that are gone. `leaf`: None for a whole page."""

    page_id: int
    kind: str
    position: int | None
    leaf: bytes | None
    messages: int
    revisions: int
    at_ms: int


def read(tx: Tx, lo: int, hi: int) -> dict[int, dict[int | None, TombstoneRow]]:
    """The tombstones of pages in a range of ids, `hi` included, by page and by place; None: of the whole page."""
    t = tombstones.c
    query = sa.select(t.page_id, t.kind, t.position, t.leaf, t.messages, t.revisions, t["at"]).where(
        t.page_id > lo, t.page_id <= hi
    )
    rows: dict[int, dict[int | None, TombstoneRow]] = {}
    for row in tx.conn.execute(query.order_by(t.id.desc())):  # of an erased record that has expired, the erasure
        leaf = None if row[3] is None else bytes(row[3])
        rows.setdefault(row[0], {})[row[2]] = TombstoneRow(*row[:3], leaf, *row[4:])
    return rows


def leaves_of(gone: Mapping[int | None, TombstoneRow]) -> dict[int, bytes]:
    """The leaves that are kept of a page, by their places."""
    return {place: stone.leaf for place, stone in gone.items() if place is not None and stone.leaf is not None}


def leaf_hashes(
    seeds: bytes | None, count: int, there: Sequence[Leaf], gone: Mapping[int | None, TombstoneRow]
) -> list[bytes] | None:
    """The hashes of a seal's leaves in order: of what is there under its salts, and of what is gone as it is kept.

    None where these are not as many as were sealed. Raises ValueError where a salt is missing.
    """
    salted = salts.salts(salts.unpack(seeds or b""), count)
    kept_leaves = leaves_of(gone)
    contents = {leaf[0]: leaf for leaf in there}
    places = sorted({*contents, *kept_leaves})
    if len(places) != count or len(contents) != len(there):
        return None
    return [
        kept_leaves.get(place) or salts.leaf(salt, contents[place][1], place, bytes(contents[place][2]))
        for salt, place in zip(salted, places, strict=True)
    ]


def seal_beside(there: Sequence[Leaf], gone: Mapping[int, bytes]) -> SealMade:
    """Commit to what is left of a page that was not sealed before, and to the leaves that stand for what is gone."""
    contents = {leaf[0]: leaf for leaf in there}
    places = sorted(contents.keys() | gone)
    seeds: salts.Seeds = [(0, 0, secrets.token_bytes(merkle.HASH_BYTES))]
    salted = salts.salts(seeds, len(places))
    hashes = [
        gone.get(place) or salts.leaf(salt, contents[place][1], place, bytes(contents[place][2]))
        for salt, place in zip(salted, places, strict=True)
    ]
    for at, place in enumerate(places):
        if place in gone:
            seeds = salts.puncture(seeds, at, len(places))
    return SealMade(len(places), merkle.root(hashes), salts.pack(seeds))


def of_seal(tx: Tx, seal_id: int) -> dict[int, bytes]:
    """The leaves that are kept of a seal over rows of another table, by their places."""
    t = tombstones.c
    query = sa.select(t.position, t.leaf).where(t.seal_id == seal_id, t.page_id.is_(None))
    return {row[0]: bytes(row[1]) for row in tx.conn.execute(query)}
