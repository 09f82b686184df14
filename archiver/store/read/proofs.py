"""What proofs are made of: records at their places, pages with their seals and entries, and checkpoints outside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from archiver.store import sealed_pages
from archiver.store.checkpoints import ANCHORED
from archiver.store.engine import Tx
from archiver.store.read.days import Conditions, Day, keys_of_day
from archiver.store.schema import anchorings, apps, checkpoints, ledger, message_revisions, messages, seals
from archiver.store.seals import Leaf

_MOST_ANCHORS = 1_000
m, r = messages.c, message_revisions.c


class RecordPlace(NamedTuple):
    """A record, by the message it is of, and where it was stored. `revision` is 0 for the first copy."""

    app: str
    msg_id: str
    revision: int
    page_id: int
    position: int


class SealedPage(NamedTuple):
    """The seal of a page, and its entry: the place in the ledger, None as long as it has none, and the line."""

    seq: int | None
    entry: str | None
    leaves: int
    root: bytes
    seeds: bytes | None


class AnchoredNote(NamedTuple):
    """A checkpoint that a sink has. `proof`: the answer of a time-stamping authority."""

    origin: str
    size: int
    note: str
    sink: str
    at_ms: int
    proof: bytes | None


def of_day(tx: Tx, day: Day, conditions: Conditions) -> Iterator[list[RecordPlace]]:
    """The records of a day in the order of `messages.batches`: every message, then its revisions."""
    for keys in keys_of_day(tx, day, conditions, by_conversation=False):
        yield of_messages(tx, day.app_id, day.app, [key[0] for key in keys])


def of_messages(tx: Tx, app_id: int, app: str, msg_ids: Sequence[str]) -> list[RecordPlace]:
    """The records of some messages, in their order."""
    by_id: dict[str, list[RecordPlace]] = defaultdict(list)
    first = sa.select(m.msg_id, sa.literal(0), m.page_id, m.position)
    later = sa.select(r.msg_id, r.revision, r.page_id, r.position).order_by(r.revision)
    for query, columns in ((first, m), (later, r)):
        for row in tx.conn.execute(query.where(columns.app_id == app_id, tx.among(columns.msg_id, list(msg_ids)))):
            by_id[row[0]].append(RecordPlace(app, *row))
    return [place for msg_id in msg_ids for place in by_id[msg_id]]


def apps_with(tx: Tx, msg_id: str, app: str | None) -> list[tuple[int, str]]:
    """Ids and names of the apps that have a message of this id. `app`: "org#app", or its second half."""
    query = sa.select(m.app_id, apps.c.name).join(apps, apps.c.id == m.app_id)
    query = query.where(m.msg_id == msg_id, m.withheld.is_(None))
    if app is not None:
        query = query.where(sa.or_(apps.c.name == app, apps.c.name.endswith(f"#{app}", autoescape=True)))
    return [(row[0], row[1]) for row in tx.conn.execute(query.order_by(apps.c.name))]


def conversation(tx: Tx, app_id: int, msg_id: str) -> str | None:
    """The conversation of a message, None for one that nobody could read it of."""
    query = sa.select(m.conversation).where(m.app_id == app_id, m.msg_id == msg_id)
    text: str | None = tx.conn.execute(query).scalar_one()
    return text


def raw(tx: Tx, app_id: int, place: RecordPlace) -> bytes:
    """The record at a place, byte for byte."""
    query = sa.select(m.raw).where(m.app_id == app_id, m.msg_id == place.msg_id)
    if place.revision:
        same = (r.app_id == app_id, r.msg_id == place.msg_id, r.revision == place.revision)
        query = sa.select(r.raw).where(*same)
    return bytes(tx.conn.execute(query).scalar_one())


def seals_of_page(tx: Tx, page_id: int) -> list[SealedPage]:
    """The seals of a page; there should be one."""
    query = (
        sa.select(ledger.c.seq, ledger.c.entry, seals.c.leaves, seals.c.root, seals.c.seeds)
        .select_from(seals.outerjoin(ledger, ledger.c.seal_id == seals.c.id))
        .where(seals.c.page_id == page_id)
        .order_by(seals.c.id)
    )
    return [
        SealedPage(row[0], row[1], row[2], bytes(row[3]), row[4] and bytes(row[4])) for row in tx.conn.execute(query)
    ]


def leaves_of_page(tx: Tx, page_id: int) -> list[Leaf]:
    """What a page stored, in the order of its seal's leaves."""
    stored = sealed_pages.stored(tx, page_id - 1, page_id, columns=False).get(page_id, [])
    return sealed_pages.leaves(stored, sealed_pages.kept(tx, page_id - 1, page_id))


def starts_and_claims(tx: Tx, size: int) -> list[int]:
    """Places of what tells which keys are valid, and of the newest claims, below a size of the ledger."""
    rare = sa.text("kind IN ('claim', 'start')")
    kind, seq = ledger.c.kind, ledger.c.seq
    starts = tx.conn.scalars(sa.select(seq).where(rare, kind == "start", seq < size))
    claims = sa.select(seq).where(rare, kind == "claim", seq < size).order_by(seq.desc()).limit(_MOST_ANCHORS)
    return [*starts, *tx.conn.scalars(claims)]


def line(tx: Tx, seq: int) -> str:
    """The entry at a place."""
    return str(tx.conn.execute(sa.select(ledger.c.entry).where(ledger.c.seq == seq)).scalar_one())


def anchored(tx: Tx) -> Iterator[AnchoredNote]:
    """The checkpoints that sinks have: of those without a token the newest ones alone."""
    a, c = anchorings.c, checkpoints.c
    same = sa.and_(a.origin == c.origin, a.size == c.size)
    query = sa.select(a.origin, a.size, c.note, a.sink, a.at, a.proof).join(checkpoints, same)
    query = query.where(a.outcome == ANCHORED).order_by(a.id.desc())
    for condition in (a.proof.is_not(None), a.proof.is_(None)):
        for row in tx.conn.execute(query.where(condition).limit(_MOST_ANCHORS)):
            yield AnchoredNote(*row[:5], row[5] and bytes(row[5]))
