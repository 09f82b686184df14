"""Finds what was said: by the index, and by reading what the index lacks, so that one that lags loses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store import filters, terms
from archiver.store.engine import Tx
from archiver.store.filters import Filter
from archiver.store.indexing import QUEUED, SEARCH_INDEX, bodies_of, revisions_of, searchable
from archiver.store.schema import apps, iso, message_bodies, message_revisions, messages, revision_bodies, search_texts

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
    found = {*_indexed(tx, query, wanted, most), *_waiting(tx, query, wanted)}
    return sorted(found, key=Place.order)[:most]


def holding(tx: Tx, query: str, wanted: Filter) -> sa.ColumnElement[bool]:
    """The condition on `messages` for those that hold a normalised text, in any body or revision."""
    found: dict[int, set[str]] = {}
    for place in find(tx, query, wanted, None):
        found.setdefault(place.app_id, set()).add(place.msg_id)
    each = (sa.and_(m.app_id == app_id, tx.among(m.msg_id, sorted(ids))) for app_id, ids in found.items())
    return sa.or_(sa.false(), *each)


def _indexed(tx: Tx, query: str, wanted: Filter, most: int | None) -> Iterator[Place]:
    position_of = sa.func.strpos if tx.postgres else sa.func.instr
    before = search_texts.alias("before")
    again = sa.select(before.c.part).where(
        *(before.c[name] == t[name] for name in ("app_id", "msg_id", "revision", "position")),
        before.c.part < t.part,
        position_of(before.c.text, query) > 0,
    )
    found = sa.select(t.timestamp_ms, t.app_id, t.msg_id, t.revision, t.position).where(
        _matches(tx, query),
        position_of(t.text, query) > 0,
        sa.or_(t.part == 0, ~again.correlate(search_texts).exists()),  # the parts of a long text overlap
    )
    found = _filtered(tx, found, wanted)
    order = (t.timestamp_ms.desc(), t.app_id, t.msg_id, t.revision, t.position)
    yield from map(Place._make, tx.conn.execute(found.order_by(*order).limit(most)).all())


def _matches(tx: Tx, query: str) -> sa.ColumnElement[bool]:
    if tx.postgres:
        vector = sa.func.array_to_tsvector(sa.func.archive_bigrams(t.text))
        return vector.bool_op("@@")(sa.func.archive_query(query))
    pairs, beginnings = terms.asked(query)
    words = [_quoted(pair) for pair in pairs] + [f"{_quoted(beginning)} *" for beginning in beginnings]
    return t.number.in_(sa.select(SEARCH_INDEX.c.rowid).where(SEARCH_INDEX.c.search_index.op("MATCH")(" ".join(words))))


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _filtered(tx: Tx, query: sa.Select[Any], wanted: Filter) -> sa.Select[Any]:
    if wanted == Filter():
        return query
    query = query.join_from(search_texts, messages, sa.and_(t.app_id == m.app_id, t.msg_id == m.msg_id))
    query = query.where(*filters.of_envelopes(tx, wanted))
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


def _waiting(tx: Tx, query: str, wanted: Filter) -> Iterator[Place]:
    """The same of what waits for the index, read as it is."""
    # As values, so that it is planned by what is in it: mostly nothing.
    waiting = list(tx.conn.scalars(QUEUED.distinct()))
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


def _read_from(view: str, revision: sa.ColumnElement[int]) -> tuple[sa.Select[Any], Any]:
    names = [name for name in Hit._fields if name not in ("revision", "sent_at", "extra")]
    told = sa.table(view, *(sa.column(name) for name in (*names, "revision", "extra")))
    app, msg_id, *others = (told.c[name] for name in names)
    query = sa.select(app, msg_id, revision, sa.null(), *others, sa.cast(told.c.extra, sa.Text))
    return query, told.c


_FIRST, v = _read_from("messages_readable", sa.literal_column("0"))
_LATER, rv = _read_from("revisions_readable", sa.column("revision"))
_NAMES = sa.select(apps.c.id, apps.c.name)


def hits(tx: Tx, places: Sequence[Place]) -> list[Hit]:
    """What was found at these places, in their order."""
    if not places:
        return []
    names = {row.id: row.name for row in tx.conn.execute(_NAMES)}
    found: dict[tuple[str, str, int, int], Hit] = {}
    for query, columns, revised in ((_FIRST, v, False), (_LATER, rv, True)):
        msg_ids = sorted({place.msg_id for place in places if bool(place.revision) == revised})
        if msg_ids:
            of_these = tx.among(columns.msg_id, msg_ids), columns.app.in_(names.values())
            hits = map(Hit._make, tx.conn.execute(query.where(*of_these)))
            found.update(((hit.app, hit.msg_id, hit.revision, hit.body_position), hit) for hit in hits)
    chosen = [(place, found[names[place.app_id], place.msg_id, place.revision, place.position]) for place in places]
    return [hit._replace(sent_at=iso(place.timestamp_ms)) for place, hit in chosen]
