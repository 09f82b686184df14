"""Which texts of the index hold what is searched: the statements, as both databases and a cluster take them.

A cluster reads search_texts on every machine: what a body says elsewhere is looked up by the whole key, on the same
machine, and never for rows that were collected from all machines before.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import message_bodies, messages, revision_bodies, search_texts
from archiver.store.search import index
from archiver.store.search.index import SEARCH_INDEX
from archiver.store.search.text import other


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


Texts = sa.ColumnCollection[str, sa.ColumnElement[Any]]
"""The columns of search_texts, or of some of its rows."""


_OF_A_BODY = ("app_id", "msg_id", "revision", "position")


def _ordered(texts: Texts, *, postgres: bool) -> sa.Select[Any]:
    """The places of texts, at most :most, the latest first."""
    msg_id = sa.collate(texts.msg_id, "C") if postgres else texts.msg_id  # as Python sorts, in any locale
    order = (texts.timestamp_ms.desc(), texts.app_id, msg_id, texts.revision, texts.position)
    places = sa.select(*(texts[name] for name in Place._fields)).order_by(*order)
    return places.limit(sa.bindparam("most", type_=sa.BigInteger))


def _holding(texts: Texts, *, postgres: bool, others: int) -> sa.Select[Any]:
    """Which of these texts hold :query and the other terms, at most :most, the latest first."""
    also = [_also(texts, other(number), postgres=postgres) for number in range(others)]
    return _ordered(texts, postgres=postgres).where(_holds(texts, "query", postgres=postgres), *also)


def _holds(texts: Texts, name: str, *, postgres: bool) -> sa.ColumnElement[bool]:
    position_of = sa.func.strpos if postgres else sa.func.instr
    return position_of(texts.text, sa.bindparam(name, type_=sa.Text)) > 0


def _also(texts: Texts, name: str, *, postgres: bool) -> sa.ColumnElement[bool]:
    """Whether the same body holds this term, in this part of its text or, where it is long, in another one."""
    part = search_texts.alias(f"part_{name}")
    same = (part.c[key] == texts[key] for key in _OF_A_BODY)
    elsewhere = sa.select(part.c.part).where(*same, _holds(part.c, name, postgres=postgres))
    return sa.or_(_holds(texts, name, postgres=postgres), elsewhere.correlate_except(part).exists())


def _holding_here(latest: sa.CTE, others: int) -> sa.Select[Any]:
    """As `_holding`, where all parts of each body are among these texts. Of two parts, one is not the first."""
    texts = latest.c
    place = sa.tuple_(*(texts[name] for name in _OF_A_BODY))
    query = _ordered(texts, postgres=True).where(_holds(texts, "query", postgres=True))
    for name in map(other, range(others)):
        part = latest.alias(f"part_{name}")
        elsewhere = sa.select(*(part.c[key] for key in _OF_A_BODY)).where(_holds(part.c, name, postgres=True))
        query = query.where(
            sa.or_(
                _holds(texts, name, postgres=True),
                sa.and_(texts.part > 0, place.in_(elsewhere)),
                place.in_(elsewhere.where(part.c.part > 0)),
            )
        )
    return query


@cache  # to make a statement takes longer than to run it
def by_index(postgres: bool, others: int) -> sa.Select[Any]:
    if postgres:
        vector = sa.func.array_to_tsvector(sa.func.archive_bigrams(search_texts.c.text))
        matches = vector.bool_op("@@")(sa.func.archive_query(sa.bindparam("query", type_=sa.Text)))
    else:
        numbers = sa.func.json_each(sa.bindparam("numbers", type_=sa.Text)).table_valued("value")
        matches = search_texts.c.number.in_(sa.select(numbers.c.value))
    return _holding(search_texts.c, postgres=postgres, others=others).where(matches)


LATEST_NUMBERS = (
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
def by_time(postgres: bool, others: int) -> tuple[sa.Select[Any], Texts]:
    """Among the latest :texts between :first and :last, and what has the stamp of the last of these.

    A message's texts have one stamp, so all parts of a body are among them: on PostgreSQL none is looked up elsewhere,
    which a cluster would refuse for rows that were collected from all machines.
    """
    first, last, texts = (sa.bindparam(name, type_=sa.BigInteger) for name in ("first", "last", "texts"))
    by = search_texts.c.timestamp_ms if postgres else search_texts.c.number
    latest = sa.select(search_texts).where(by.between(first, last)).order_by(by.desc())
    if postgres:
        some = latest.fetch(texts, with_ties=True).cte("latest")
        return _holding_here(some, others), some.c
    edge = latest.with_only_columns(index.first_of_same(search_texts.c.number)).offset(texts).limit(1).scalar_subquery()
    in_time = search_texts.c.number.between(sa.func.coalesce(edge, first), last)
    return _holding(search_texts.c, postgres=False, others=others).where(in_time), search_texts.c


def filtered(tx: Tx, query: sa.Select[Any], texts: Texts, criteria: Filter) -> sa.Select[Any]:
    if criteria.sender or criteria.recipient or criteria.conversation:
        same = messages.c.app_id == texts.app_id, messages.c.msg_id == texts.msg_id
        of_these = sa.select(messages.c.page_id).where(*same, *filters.of_envelopes(tx, criteria))
        query = query.where(of_these.correlate_except(messages).exists())
    if criteria.app is not None:  # + 0: or SQLite takes the index that begins with app_id
        query = query.where((texts.app_id + 0).in_(filters.app_ids(tx, criteria.app)))
    if limits := filters.stamps(criteria):
        query = query.where(texts.timestamp_ms.between(*limits))
    return query.where(_typed(texts, criteria)) if criteria.types else query


def _typed(texts: Texts, criteria: Filter) -> sa.ColumnElement[bool]:
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
