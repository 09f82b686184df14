"""Searches what was said: by the index, and by reading what the index lacks, so that one that lags loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx, among
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import apps, iso, message_bodies, messages, revision_bodies, search_texts
from archiver.store.search import index, statements, waiting
from archiver.store.search.statements import Place, Texts
from archiver.store.search.text import Terms, asked

_ALL, _ALWAYS = 2**62, (-(2**63), 2**63 - 1)
_READ_FIRST, _READ_AT_MOST = 1_000, 40_000
"""So many of the latest texts are read before the index is asked, and where these promise enough, at most so many."""
_ROOM = "SET LOCAL work_mem = '64MB'"
"""PostgreSQL's own 4 MB hold the places of 50,000 pages; beyond, it makes the pairs of all that is in a page anew."""


class Hit(NamedTuple):
    """A body that holds the text, with its message; the names are those of the view messages_readable."""

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


def find_places(tx: Tx, query: Terms, criteria: Filter, most: int | None) -> list[Place]:
    """Where these texts are, the latest first, at most `most` places."""
    newest = _newest(tx, query, criteria, most) if most else None
    places = {
        *(_indexed(tx, query, criteria, most) if newest is None else newest),
        *(place for place in map(Place._make, waiting.find(tx, query, criteria)) if _reaches(place, criteria)),
    }
    return sorted(places, key=Place.order)[:most]


def find_any(tx: Tx, queries: Sequence[str], criteria: Filter, most: int | None) -> list[Place]:
    """Where at least one of these texts is, in the same order."""
    places = {place for query in queries for place in find_places(tx, Terms(query), criteria, most)}
    return sorted(places, key=Place.order)[:most]


def _reaches(place: Place, criteria: Filter) -> bool:
    limits = filters.stamps(criteria)
    return limits is None or limits[0] <= place.timestamp_ms <= limits[1]


def find_further(tx: Tx, queries: Sequence[Terms], criteria: Filter, after: Place | None, most: int) -> list[Place]:
    """Where at least one of these terms is, behind a place: a page of hits, by its last one.

    Hits of one stamp are few, but for those who flood; so a page is asked for with those of the last stamp, and more of
    them until the page is full.
    """
    room, until = most, criteria if after is None else filters.until(criteria, after.timestamp_ms)
    while True:
        by_query = [find_places(tx, query, until, room) for query in queries]
        places = {place for some in by_query for place in some}
        further = [place for place in places if after is None or place.order() > after.order()]
        if len(further) >= most or all(len(some) < room for some in by_query):
            return sorted(further, key=Place.order)[:most]
        room *= 4


def holding(tx: Tx, query: str, criteria: Filter) -> sa.ColumnElement[bool]:
    """The condition on `messages` for those that hold a normalised text, in any body or revision."""
    ids_of: dict[int, set[str]] = {}
    for place in find_places(tx, Terms(query), criteria, None):
        ids_of.setdefault(place.app_id, set()).add(place.msg_id)
    of_apps = (
        sa.and_(messages.c.app_id == app_id, tx.among(messages.c.msg_id, sorted(ids))) for app_id, ids in ids_of.items()
    )
    return sa.or_(sa.false(), *of_apps)


def _indexed(tx: Tx, query: Terms, criteria: Filter, most: int | None) -> list[Place]:
    by_index = statements.filtered(tx, statements.by_index(tx.postgres, len(query.others)), search_texts.c, criteria)
    if tx.postgres:
        tx.conn.exec_driver_sql(_ROOM)
        return _places(tx, by_index, query.bound(), most)
    places: list[Place] = []
    for numbers in _numbers(tx, query.lead, criteria, most):
        places += _places(tx, by_index, {**query.bound(), "numbers": json.dumps(numbers)}, None)
        if most is not None and len(places) >= most:
            break
    return places


def _numbers(tx: Tx, query: str, criteria: Filter, most: int | None) -> Iterator[list[int]]:
    """What SQLite's index says, the latest first, in lists that end where a stamp ends; `most`: so many may do.

    Numbers follow the stamps, so that the latest hundred of a frequent word are as near as those of a rare one.
    """
    pairs, beginnings = asked(query)
    words = " ".join([_quoted(pair) for pair in pairs] + [f"{_quoted(beginning)} *" for beginning in beginnings])
    least, after = _number_range(criteria)
    size = _ALL if beginnings or most is None else 2 * most  # of beginnings, it makes the whole list for any part of it
    while True:
        values = {"words": words, "least": least, "after": after, "size": size}
        numbers = list(tx.conn.scalars(statements.LATEST_NUMBERS, values))
        complete = len(numbers) < size
        if not complete:
            after = index.first_of_same(numbers[-1])
            numbers += tx.conn.scalars(
                statements.LATEST_NUMBERS, {**values, "least": after, "after": numbers[-1], "size": _ALL}
            )
        yield numbers
        if complete:
            return
        size = min(4 * size, _READ_AT_MOST)


def _number_range(criteria: Filter) -> tuple[int, int]:
    """The numbers that texts within this filter's times can have: from the first to before the second."""
    return index.numbers_between(*(filters.stamps(criteria) or _ALWAYS))


def _newest(tx: Tx, query: Terms, criteria: Filter, most: int) -> list[Place] | None:
    """The same by reading the latest texts, where many of them hold it; None where the index is the better way.

    What an index says of a frequent word must all be read for the sake of the latest hundred; but for what SQLite's
    says of pairs.
    """
    if criteria.sender or criteria.recipient or criteria.conversation or not (tx.postgres or asked(query.lead)[1]):
        return None
    # Of stamps, or of numbers.
    first, last = (filters.stamps(criteria) or _ALWAYS) if tx.postgres else _number_range(criteria)
    types = criteria.types if tx.postgres else ()
    walk = statements.filtered(
        tx, *statements.by_time(tx.postgres, len(query.others)), replace(criteria, types=()) if types else criteria
    )
    values = {**query.bound(), "first": first, "last": last}

    def among_latest(texts: int) -> list[Place]:
        some = {**values, "texts": texts}
        return _typed_places(tx, walk, some, types, most) if types else _places(tx, walk, some, most)

    places = among_latest(_READ_FIRST)
    if 0 < len(places) < most:
        promising = _READ_FIRST * most * 3 // (2 * len(places))
        if promising <= _READ_AT_MOST:
            places = among_latest(promising)
    return places if len(places) == most else None


_SEALED = sa.select(messages.c.app_id, messages.c.msg_id).where(sa.text("withheld = 1"))
"""Literally, or the partial index is not seen to fit. What was erased has no texts."""


def _places(tx: Tx, query: sa.Select[Any], values: Mapping[str, Any], most: int | None) -> list[Place]:
    """The places that a query finds; at most so many of them, once each. What is sealed is left out.

    The parts of a long text overlap, and several may hold the same: then so many rows are fewer places.
    """
    sealed = {tuple(row) for row in tx.conn.execute(_SEALED)}  # mostly nothing: asked for once, and not place by place
    if most is None:
        every = map(Place._make, tx.conn.execute(query, {**values, "most": _ALL}).all())
        return [place for place in every if place[1:3] not in sealed]
    size = most
    while True:
        rows = tx.conn.execute(query, {**values, "most": size}).all()
        places = [place for place in dict.fromkeys(map(Place._make, rows)) if place[1:3] not in sealed]
        if len(rows) < size or len(places) >= most:
            return places[:most]
        size *= 2


def _typed_places(
    tx: Tx, query: sa.Select[Any], values: Mapping[str, Any], types: Sequence[str], most: int
) -> list[Place]:
    """The same of bodies of these types, which a statement of its own asks for."""
    size = 2 * most
    places = _places(tx, query, values, size)
    typed = _of_types(tx, places, types)
    while len(typed) < most and len(places) == size:
        size *= 8
        behind, places = len(places), _places(tx, query, values, size)
        typed += _of_types(tx, places[behind:], types)
    return typed[:most]


def _of_types(tx: Tx, places: Sequence[Place], types: Sequence[str]) -> list[Place]:
    """Those places where the very body that holds the text has one of these types."""
    app_ids, msg_ids = {place.app_id for place in places}, sorted({place.msg_id for place in places})
    there = {
        tuple(row)
        for query, columns in _BODIES_AT
        for row in tx.conn.execute(
            query.where(columns.app_id.in_(app_ids), tx.among(columns.msg_id, msg_ids), columns.type.in_(types))
        )
    }
    return [place for place in places if place[1:] in there]


_BODIES_AT: tuple[tuple[sa.Select[Any], Texts], ...] = tuple(
    (sa.select(c.app_id, c.msg_id, revision, c.position), c)
    for c, revision in ((message_bodies.c, sa.literal_column("0")), (revision_bodies.c, revision_bodies.c.revision))
)


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


_SHOWN = [name for name in Hit._fields if name not in ("revision", "sent_at", "extra")]
_VIEWS: tuple[tuple[str, sa.ColumnElement[int]], ...] = (
    ("messages_readable", sa.literal_column("0")),
    ("revisions_readable", sa.column("revision")),
)


@cache
def _shown(view: str, revision: sa.ColumnElement[int], postgres: bool) -> sa.Select[Any]:
    readable = sa.table(view, *(sa.column(name) for name in (*_SHOWN, "extra")))
    app, msg_id, *others = (readable.c[name] for name in _SHOWN)
    shown = sa.select(apps.c.id, app, msg_id, revision, sa.null(), *others, sa.cast(readable.c.extra, sa.Text))
    these = apps.c.id.in_(sa.bindparam("app_ids", expanding=True)), among(msg_id, "msg_ids", postgres=postgres)
    return shown.join_from(readable, apps, apps.c.name == app).where(*these)


def hits_at(tx: Tx, places: Sequence[Place]) -> list[Hit]:
    """The hits at these places, in their order; without those that nobody may read any more."""
    return [hit for hit in placed_hits(tx, places) if hit is not None]


def placed_hits(tx: Tx, places: Sequence[Place]) -> list[Hit | None]:
    """The same, place by place: None where the views hide what the index still knows."""
    hit_at: dict[tuple[int, str, int, int], Hit] = {}
    for revised, view in enumerate(_VIEWS):
        of_these = [place for place in places if bool(place.revision) == bool(revised)]
        if of_these:
            msg_ids = json.dumps(sorted({place.msg_id for place in of_these}))
            bound = {"app_ids": sorted({place.app_id for place in of_these}), "msg_ids": msg_ids}
            for app_id, *values in tx.conn.execute(_shown(*view, tx.postgres), bound).all():
                hit = Hit._make(values)
                hit_at[app_id, hit.msg_id, hit.revision, hit.body_position] = hit
    chosen = [(place, hit_at.get((place.app_id, *place[2:]))) for place in places]
    return [None if hit is None else hit._replace(sent_at=iso(place.timestamp_ms)) for place, hit in chosen]
