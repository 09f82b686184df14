"""Finds what was said: by the index, and by reading what the index lacks, so that one that lags loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store import filters, terms
from archiver.store.engine import Tx, among
from archiver.store.filters import Filter
from archiver.store.indexing import QUEUED, SEARCH_INDEX, bodies_of, revisions_of, searchable
from archiver.store.schema import apps, iso, message_bodies, message_revisions, messages, revision_bodies, search_texts

_ALL, _ALWAYS = 2**62, (-(2**63), 2**63 - 1)
_READ_FIRST, _READ_AT_MOST = 1_000, 40_000
"""So many of the latest texts are read before the index is asked, and where these promise enough, at most so many."""
_ROOM = "SET LOCAL work_mem = '64MB'"
"""PostgreSQL's own 4 MB hold the places of 50,000 pages; beyond, it makes the pairs of all that is in a page anew."""

m, b, r, rb, t = messages.c, message_bodies.c, message_revisions.c, revision_bodies.c, search_texts.c


class Place(NamedTuple):
    """Where a text was found, in the order in which hits are told: the latest first."""

    timestamp_ms: int
    app_id: int
    msg_id: str
    revision: int
    """0: the message as it was first archived."""
    position: int

    def order(self) -> tuple[int, int, str, int, int]:
        return (-self.timestamp_ms, self.app_id, self.msg_id, self.revision, self.position)


class Hit(NamedTuple):
    """A body in which a text was found, with its message; the names are those of the view messages_readable."""

    app: str
    msg_id: str
    revision: int
    sent_at: str | None
    sender: str | None
    recipient: str | None
    conversation: str | None
    chat_type: str | None
    body_position: int
    body_type: str
    text: str | None
    filename: str | None
    addr: str | None
    extra: str | None
    """JSON text, without the secrets of files."""


def find(tx: Tx, query: str, wanted: Filter, most: int | None) -> list[Place]:
    """Where a normalised text is found, the latest first, at most `most` places."""
    told = _newest(tx, query, wanted, most) if most else None
    found = {*(_indexed(tx, query, wanted, most) if told is None else told), *_waiting(tx, query, wanted)}
    return sorted(found, key=Place.order)[:most]


def holding(tx: Tx, query: str, wanted: Filter) -> sa.ColumnElement[bool]:
    """The condition on `messages` for those that hold a normalised text, in any body or revision."""
    found: dict[int, set[str]] = {}
    for place in find(tx, query, wanted, None):
        found.setdefault(place.app_id, set()).add(place.msg_id)
    each = (sa.and_(m.app_id == app_id, tx.among(m.msg_id, sorted(ids))) for app_id, ids in found.items())
    return sa.or_(sa.false(), *each)


def _indexed(tx: Tx, query: str, wanted: Filter, most: int | None) -> list[Place]:
    pairs, beginnings = terms.asked(query)
    words = [_quoted(pair) for pair in pairs] + [f"{_quoted(beginning)} *" for beginning in beginnings]
    found = _filtered(tx, _by_index(tx.postgres), wanted)
    asked = {} if tx.postgres else {"words": " ".join(words)}
    if tx.postgres:
        tx.conn.exec_driver_sql(_ROOM)
    return _places(tx, found, {"query": query, "most": _ALL if most is None else most, **asked})


def _newest(tx: Tx, query: str, wanted: Filter, most: int) -> list[Place] | None:
    """The same by reading the latest texts, where many of them hold it; None where the index is the better way.

    What the index says of a frequent word must all be read, for the sake of the latest hundred.
    """
    if wanted.sender or wanted.recipient or wanted.conversation:
        return None
    first_ms, last_ms = filters.range_ms(wanted) or _ALWAYS
    walk = _filtered(tx, _by_time(tx.postgres), wanted)
    values = {"query": query, "most": most, "first_ms": first_ms, "last_ms": last_ms}
    found = _places(tx, walk, {**values, "texts": _READ_FIRST})
    if 0 < len(found) < most:
        promising = _READ_FIRST * most * 3 // (2 * len(found))
        if promising <= _READ_AT_MOST:
            found = _places(tx, walk, {**values, "texts": promising})
    return found if len(found) == most else None


def _places(tx: Tx, found: sa.Select[Any], values: Mapping[str, Any]) -> list[Place]:
    return list(map(Place._make, tx.conn.execute(found, values).all()))


def _holding(postgres: bool) -> sa.Select[Any]:
    """Which texts hold :query, at most :most, the latest first."""
    position_of, query = sa.func.strpos if postgres else sa.func.instr, sa.bindparam("query", type_=sa.Text)
    before = search_texts.alias("before")
    again = sa.select(before.c.part).where(
        *(before.c[name] == t[name] for name in ("app_id", "msg_id", "revision", "position")),
        before.c.part < t.part,
        position_of(before.c.text, query) > 0,
    )
    once = sa.or_(t.part == 0, ~again.correlate(search_texts).exists())  # the parts of a long text overlap
    msg_id = sa.collate(t.msg_id, "C") if postgres else t.msg_id  # as Python sorts, whatever the server's locale
    order = (t.timestamp_ms.desc(), t.app_id, msg_id, t.revision, t.position)
    found = sa.select(t.timestamp_ms, t.app_id, t.msg_id, t.revision, t.position).order_by(*order)
    return found.where(position_of(t.text, query) > 0, once).limit(sa.bindparam("most", type_=sa.BigInteger))


@cache  # to make a statement takes longer than to run it
def _by_index(postgres: bool) -> sa.Select[Any]:
    if postgres:
        vector = sa.func.array_to_tsvector(sa.func.archive_bigrams(t.text))
        matches = vector.bool_op("@@")(sa.func.archive_query(sa.bindparam("query", type_=sa.Text)))
    else:
        asked = SEARCH_INDEX.c.search_index.op("MATCH")(sa.bindparam("words", type_=sa.Text))
        matches = t.number.in_(sa.select(SEARCH_INDEX.c.rowid).where(asked))
    return _holding(postgres).where(matches)


@cache
def _by_time(postgres: bool) -> sa.Select[Any]:
    """Among the latest :texts, and what has the stamp of the last of these."""
    first_ms, last_ms, texts = (sa.bindparam(name, type_=sa.BigInteger) for name in ("first_ms", "last_ms", "texts"))
    newer = search_texts.alias("newer").c.timestamp_ms
    edge = sa.select(newer).where(newer.between(first_ms, last_ms)).order_by(newer.desc()).offset(texts).limit(1)
    return _holding(postgres).where(t.timestamp_ms.between(sa.func.coalesce(edge.scalar_subquery(), first_ms), last_ms))


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _filtered(tx: Tx, query: sa.Select[Any], wanted: Filter) -> sa.Select[Any]:
    if wanted.sender or wanted.recipient or wanted.conversation:
        query = query.join_from(search_texts, messages, sa.and_(t.app_id == m.app_id, t.msg_id == m.msg_id))
        query = query.where(*filters.of_envelopes(tx, wanted))
    if wanted.app is not None:
        query = query.where(t.app_id.in_(filters.app_ids(tx, wanted.app)))
    if limits := filters.range_ms(wanted):
        query = query.where(t.timestamp_ms.between(*limits))
    return query.where(_typed(wanted)) if wanted.types else query


def _typed(wanted: Filter) -> sa.ColumnElement[bool]:
    """The type of the very body that was found, whether of the first copy or of a revision."""
    keys = ("app_id", "msg_id", "position")
    first = sa.select(b.type).where(*(b[name] == t[name] for name in keys), b.type.in_(wanted.types))
    later = sa.select(rb.type).where(
        *(rb[name] == t[name] for name in keys), rb.revision == t.revision, rb.type.in_(wanted.types)
    )
    return sa.or_(
        sa.and_(t.revision == 0, first.correlate(search_texts).exists()), later.correlate(search_texts).exists()
    )


_WAITING = QUEUED.distinct()


def _waiting(tx: Tx, query: str, wanted: Filter) -> Iterator[Place]:
    """The same of what waits for the index, read as it is."""
    # As values, so that it is planned by what is in it: mostly nothing.
    waiting = list(tx.conn.scalars(_WAITING))
    if not waiting:
        return
    conditions = filters.of_envelopes(tx, wanted)
    for bodies, page_id, kind in ((bodies_of(), m.page_id, b.type), (revisions_of(), r.page_id, rb.type)):
        of_these = bodies.where(page_id.in_(waiting), *conditions)
        if wanted.types:
            of_these = of_these.where(kind.in_(wanted.types))
        for app_id, msg_id, revision, position, timestamp_ms, text in searchable(tx, of_these):
            if query in text:
                yield Place(timestamp_ms, app_id, msg_id, revision, position)


_SHOWN = [name for name in Hit._fields if name not in ("revision", "sent_at", "extra")]
_VIEWS: tuple[tuple[str, sa.ColumnElement[int]], ...] = (
    ("messages_readable", sa.literal_column("0")),
    ("revisions_readable", sa.column("revision")),
)


@cache
def _shown(view: str, revision: sa.ColumnElement[int], postgres: bool) -> sa.Select[Any]:
    told = sa.table(view, *(sa.column(name) for name in (*_SHOWN, "extra")))
    app, msg_id, *others = (told.c[name] for name in _SHOWN)
    found = sa.select(apps.c.id, app, msg_id, revision, sa.null(), *others, sa.cast(told.c.extra, sa.Text))
    these = apps.c.id.in_(sa.bindparam("app_ids", expanding=True)), among(msg_id, "msg_ids", postgres=postgres)
    return found.join_from(told, apps, apps.c.name == app).where(*these)


def hits(tx: Tx, places: Sequence[Place]) -> list[Hit]:
    """What was found at these places, in their order."""
    found: dict[tuple[int, str, int, int], Hit] = {}
    for revised, view in enumerate(_VIEWS):
        of_these = [place for place in places if bool(place.revision) == bool(revised)]
        if of_these:
            msg_ids = json.dumps(sorted({place.msg_id for place in of_these}))
            asked = {"app_ids": sorted({place.app_id for place in of_these}), "msg_ids": msg_ids}
            for app_id, *told in tx.conn.execute(_shown(*view, tx.postgres), asked).all():
                hit = Hit._make(told)
                found[app_id, hit.msg_id, hit.revision, hit.body_position] = hit
    chosen = [(place, found[place.app_id, place.msg_id, place.revision, place.position]) for place in places]
    return [hit._replace(sent_at=iso(place.timestamp_ms)) for place, hit in chosen]
