"""Tombstones for sealed rows of other tables that go, or that are emptied: attachments, events, damaged files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver import salts
from archiver.store import sealed_rows, tombstones
from archiver.store.engine import Tx
from archiver.store.schema import seals
from archiver.store.seals import ROW


class SealedRow(NamedTuple):
    """A row of a sealed table: when it was made at the earliest (ms), and whose message it is about, if anybody's."""

    since_ms: int
    msg_id: str | None = None


Stone = dict[str, Any]


def stones(tx: Tx, table: str, going: Mapping[str, SealedRow]) -> Iterator[Stone]:
    """Tombstones for these rows by their keys, as far as they were sealed; the salts of their leaves are destroyed."""
    if not going:
        return
    sealed, s = sealed_rows.TABLES[table], seals.c
    since_ms = min(row.since_ms for row in going.values())
    query = sa.select(s.id, s.leaves, s.seeds, s["keys"]).where(s.table_name == table, s.made_at >= since_ms)
    rows = sealed_rows.read(tx, sealed, [json.loads(key) for key in going])
    for seal in tx.conn.execute(query).all():
        keys = [json.dumps(key, ensure_ascii=False, separators=(",", ":")) for key in json.loads(seal.keys)]
        places = {at: key for at, key in enumerate(keys) if key in going and key in rows}
        if not places:
            continue
        gone = tombstones.of_seal(tx, seal.id)
        seeds: salts.Seeds = salts.unpack(bytes(seal.seeds or b""))
        salted = salts.salts(seeds, seal.leaves)
        for at, key in places.items():
            if at in gone:
                continue
            leaf = salts.leaf(salted[at], ROW, at, sealed_rows.content(sealed, rows[key]))
            seeds = salts.puncture(seeds, at, seal.leaves)
            place = {"page_id": None, "seal_id": seal.id, "position": at, "leaf": leaf}
            yield {**place, "msg_id": going[key].msg_id, **dict.fromkeys(("messages", "bodies", "revisions"), 0)}
        tx.conn.execute(seals.update().where(s.id == seal.id).values(seeds=salts.pack(seeds)))
