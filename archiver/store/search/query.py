"""Searches what was said: by the index, and by reading what the index lacks, so that one that lags loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx, among
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import apps, iso, message_bodies, messages, revision_bodies, search_texts
from archiver.store.search import index, waiting
from archiver.store.search.index import SEARCH_INDEX
from archiver.store.search.text import Terms, asked, other

_ALL, _ALWAYS = 2**62, (-(2**63), 2**63 - 1)
_READ_FIRST, _READ_AT_MOST = 1_000, 40_000
"""So many of the latest texts are read before the index is asked, and where these promise enough, at most so many."""
_ROOM = "SET LOCAL work_mem = '64MB'"
"""PostgreSQL's own 4 MB hold the places of 50,000 pages; beyond, it makes the pairs of all that is in a page anew."""


class Place(NamedTuple):
    """The place of a hit, in the order of hits: the latest first."""

    timestamp_ms: int
    app_id: int
    msg_id: str
    revision: int
    """0: the message as it was first archived."""
    position: int

    def order(self) -> tuple[int, int, str, int, int]:
        return (-self.timestamp_ms, self.app_id, self.msg_id, self.revision, self.position)


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
        *map(Place._make, waiting.find(tx, query, criteria)),
    }
    return sorted(places, key=Place.order)[:most]


def find_any(tx: Tx, queries: Sequence[str], criteria: Filter, most: int | None) -> list[Place]:
    """Where at least one of these texts is, in the same order."""
    places = {place for query in queries for place in find_places(tx, Terms(query), criteria, most)}
    return sorted(places, key=Place.order)[:most]


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
    by_index = _filtered(tx, _by_index(tx.postgres, len(query.others)), search_texts.c, criteria)
    if tx.postgres:
        tx.conn.exec_driver_sql(_ROOM)
        return _places(tx, by_index, {**query.bound(), "most": _ALL if most is None else most})
    places: list[Place] = []
    for numbers in _numbers(tx, query.lead, criteria, most):
        places += _places(tx, by_index, {**query.bound(), "most": _ALL, "numbers": json.dumps(numbers)})
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
        numbers = list(tx.conn.scalars(_LATEST_NUMBERS, values))
        complete = len(numbers) < size
        if not complete:
            after = index.first_of_same(numbers[-1])
            numbers += tx.conn.scalars(_LATEST_NUMBERS, {**values, "least": after, "after": numbers[-1], "size": _ALL})
        yield numbers
        if complete:
            return
        size = min(4 * size, _READ_AT_MOST)


def _number_range(criteria: Filter) -> tuple[int, int]:
    """The numbers that texts within this filter's times can have: from the first to before the second."""
    return index.numbers_between(*(filters.range_ms(criteria) or _ALWAYS))


def _newest(tx: Tx, query: Terms, criteria: Filter, most: int) -> list[Place] | None:
    """The same by reading the latest texts, where many of them hold it; None where the index is the better way.

    What an index says of a frequent word must all be read for the sake of the latest hundred; but for what SQLite's
    says of pairs.
    """
    if criteria.sender or criteria.recipient or criteria.conversation or not (tx.postgres or asked(query.lead)[1]):
        return None
    # Of stamps, or of numbers.
    first, last = (filters.range_ms(criteria) or _ALWAYS) if tx.postgres else _number_range(criteria)
    walk = _filtered(tx, *_by_time(tx.postgres, len(query.others)), criteria)
    values = {**query.bound(), "most": most, "first": first, "last": last}
    places = _places(tx, walk, {**values, "texts": _READ_FIRST})
    if 0 < len(places) < most:
        promising = _READ_FIRST * most * 3 // (2 * len(places))
        if promising <= _READ_AT_MOST:
            places = _places(tx, walk, {**values, "texts": promising})
    return places if len(places) == most else None


def _places(tx: Tx, query: sa.Select[Any], values: Mapping[str, Any]) -> list[Place]:
    return list(map(Place._make, tx.conn.execute(query, values).all()))


_Texts = sa.ColumnCollection[str, sa.ColumnElement[Any]]
"""The columns of search_texts, or of some of its rows."""


def _holding(texts: _Texts, *, postgres: bool, others: int) -> sa.Select[Any]:
    """Which of these texts hold :query and the other terms, at most :most, the latest first."""
    position_of, query = sa.func.strpos if postgres else sa.func.instr, sa.bindparam("query", type_=sa.Text)
    before = search_texts.alias("before")
    again = sa.select(before.c.part).where(
        *(before.c[name] == texts[name] for name in ("app_id", "msg_id", "revision", "position")),
        before.c.part < texts.part,
        position_of(before.c.text, query) > 0,
    )
    once = sa.or_(texts.part == 0, ~again.correlate_except(before).exists())  # the parts of a long text overlap
    msg_id = sa.collate(texts.msg_id, "C") if postgres else texts.msg_id  # as Python sorts, in any locale
    order = (texts.timestamp_ms.desc(), texts.app_id, msg_id, texts.revision, texts.position)
    places = sa.select(*(texts[name] for name in Place._fields)).order_by(*order)
    also = [_also(texts, other(number), postgres=postgres) for number in range(others)]
    holding_all = places.where(position_of(texts.text, query) > 0, once, *also)
    return holding_all.limit(sa.bindparam("most", type_=sa.BigInteger))


def _also(texts: _Texts, name: str, *, postgres: bool) -> sa.ColumnElement[bool]:
    """Whether the same body holds this term, in this part of its text or, where it is long, in another one."""
    position_of, term = sa.func.strpos if postgres else sa.func.instr, sa.bindparam(name, type_=sa.Text)
    part = search_texts.alias(f"part_{name}")
    same = (part.c[key] == texts[key] for key in ("app_id", "msg_id", "revision", "position"))
    elsewhere = sa.select(part.c.part).where(*same, position_of(part.c.text, term) > 0)
    return sa.or_(position_of(texts.text, term) > 0, elsewhere.correlate_except(part).exists())


@cache  # to make a statement takes longer than to run it
def _by_index(postgres: bool, others: int) -> sa.Select[Any]:
    if postgres:
        vector = sa.func.array_to_tsvector(sa.func.archive_bigrams(search_texts.c.text))
        matches = vector.bool_op("@@")(sa.func.archive_query(sa.bindparam("query", type_=sa.Text)))
    else:
        numbers = sa.func.json_each(sa.bindparam("numbers", type_=sa.Text)).table_valued("value")
        matches = search_texts.c.number.in_(sa.select(numbers.c.value))
    return _holding(search_texts.c, postgres=postgres, others=others).where(matches)


_LATEST_NUMBERS = (
    sa.select(SEARCH_INDEX.c.rowid)
    .where(
        SEARCH_INDEX.c.search_index.op("MATCH")(sa.bindparam("words", type_=sa.Text)),
        SEARCH_INDEX.c.rowid >= sa.bindparam("least", type_=sa.BigInteger),
        SEARCH_INDEX.c.rowid < sa.bindparam("after", type_=sa.BigInteger),
    )
    .order_by(SEARCH_INDEX.c.rowid.desc())
    .limit(sa.bindparam("size", type_=sa.BigInteger))
)


@cache
def _by_time(postgres: bool, others: int) -> tuple[sa.Select[Any], _Texts]:
    """Among the latest :texts between :first and :last, and what has the stamp of the last of these."""
    first, last, texts = (sa.bindparam(name, type_=sa.BigInteger) for name in ("first", "last", "texts"))
    by = search_texts.c.timestamp_ms if postgres else search_texts.c.number
    latest = sa.select(search_texts).where(by.between(first, last)).order_by(by.desc())
    if postgres:
        some = latest.fetch(texts, with_ties=True).subquery("latest")
        return _holding(some.c, postgres=True, others=others), some.c
    edge = latest.with_only_columns(index.first_of_same(search_texts.c.number)).offset(texts).limit(1).scalar_subquery()
    in_time = search_texts.c.number.between(sa.func.coalesce(edge, first), last)
    return _holding(search_texts.c, postgres=False, others=others).where(in_time), search_texts.c


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _filtered(tx: Tx, query: sa.Select[Any], texts: _Texts, criteria: Filter) -> sa.Select[Any]:
    if criteria.sender or criteria.recipient or criteria.conversation:
        same = messages.c.app_id == texts.app_id, messages.c.msg_id == texts.msg_id
        of_these = sa.select(messages.c.page_id).where(*same, *filters.of_envelopes(tx, criteria))
        query = query.where(of_these.correlate_except(messages).exists())
    if criteria.app is not None:  # + 0: or SQLite takes the index that begins with app_id
        query = query.where((texts.app_id + 0).in_(filters.app_ids(tx, criteria.app)))
    if limits := filters.range_ms(criteria):
        query = query.where(texts.timestamp_ms.between(*limits))
    return query.where(_typed(texts, criteria)) if criteria.types else query


def _typed(texts: _Texts, criteria: Filter) -> sa.ColumnElement[bool]:
    """The type of the very body that holds the text, whether of the first copy or of a revision."""
    keys = ("app_id", "msg_id", "position")
    first = sa.select(message_bodies.c.type).where(
        *(message_bodies.c[name] == texts[name] for name in keys), message_bodies.c.type.in_(criteria.types)
    )
    later = sa.select(revision_bodies.c.type).where(
        *(revision_bodies.c[name] == texts[name] for name in keys),
        revision_bodies.c.revision == texts.revision,
        revision_bodies.c.type.in_(criteria.types),
    )
    return sa.or_(
        sa.and_(texts.revision == 0, first.correlate_except(message_bodies).exists()),
        later.correlate_except(revision_bodies).exists(),
    )


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
    """The hits at these places, in their order."""
    hit_at: dict[tuple[int, str, int, int], Hit] = {}
    for revised, view in enumerate(_VIEWS):
        of_these = [place for place in places if bool(place.revision) == bool(revised)]
        if of_these:
            msg_ids = json.dumps(sorted({place.msg_id for place in of_these}))
            bound = {"app_ids": sorted({place.app_id for place in of_these}), "msg_ids": msg_ids}
            for app_id, *values in tx.conn.execute(_shown(*view, tx.postgres), bound).all():
                hit = Hit._make(values)
                hit_at[app_id, hit.msg_id, hit.revision, hit.body_position] = hit
    chosen = [(place, hit_at[place.app_id, place.msg_id, place.revision, place.position]) for place in places]
    return [hit._replace(sent_at=iso(place.timestamp_ms)) for place, hit in chosen]
