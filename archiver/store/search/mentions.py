"""Where texts and ids of some messages stand elsewhere: forwarded, quoted, edited under another id, in `ext`.

A few texts are searched by the index, which reads what it lacks itself; for many, all texts of the app are read, as
thousands of searches would take longer. `ext`, which no index knows, is read in any case.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.read.filters import Filter
from archiver.store.schema import apps, messages
from archiver.store.search.index import bodies_of, read_texts, revisions_of
from archiver.store.search.query import find_places
from archiver.store.search.text import LONGEST_QUERY, Terms, normal, searchable

LEAST = 6
"""Normalised texts that are shorter say nothing of anybody: half an archive has them."""
MOST_SEARCHED = 200
"""For more texts and ids than these, reading an app is quicker than searching."""
_AT_ONCE = 1_000
_TOKEN = re.compile(r"[\w-]+")


class Mention(NamedTuple):
    """A message that has the text of another one, or its id."""

    app_id: int
    msg_id: str
    why: str
    """`text` or `id`."""


class Needles:
    """Texts and ids, to be looked for in many texts at once."""

    def __init__(self, texts: Iterable[str], ids: Iterable[str]) -> None:
        self._ids = {normal(one) for one in ids}
        self._others = [one for one in self._ids if not _TOKEN.fullmatch(one)]
        self._texts: dict[str, set[str]] = defaultdict(set)
        for text in texts:
            for line in text.split("\n"):
                if len(line) >= LEAST:
                    self._texts[line[:LEAST]].add(line)

    def queries(self) -> list[str]:
        """What an index is asked for, so that nothing is missed: every text or its beginning, and every id."""
        beginnings = {line[:LONGEST_QUERY].strip(" ") for lines in self._texts.values() for line in lines}
        return sorted({one[:LONGEST_QUERY] for one in (*beginnings, *self._ids) if one})

    def why(self, text: str) -> str | None:
        """Whether a normalised text has one of the texts, or one of the ids as a word of it."""
        starts = self._texts
        if starts:
            for at in range(len(text) - LEAST + 1):
                start = text[at : at + LEAST]
                if start in starts and any(text.startswith(line, at) for line in starts[start]):
                    return "text"
        is_named = not self._ids.isdisjoint(_TOKEN.findall(text)) or any(one in text for one in self._others)
        return "id" if is_named else None


def find(tx: Tx, app_id: int, msg_ids: Collection[str]) -> list[Mention]:
    """The other messages of an app that mention these."""
    asked = set(msg_ids)
    texts = {text for some in _in_parts(asked) for _, text in _texts(tx, _these(tx, app_id, some))}
    needles = Needles(texts, asked)
    mentions: dict[str, str] = {}
    for msg_id, text in _candidates(tx, app_id, needles):
        if msg_id not in asked and msg_id not in mentions and (why := needles.why(text)) is not None:
            mentions[msg_id] = why
    return [Mention(app_id, msg_id, why) for msg_id, why in sorted(mentions.items())]


def _candidates(tx: Tx, app_id: int, needles: Needles) -> Iterator[tuple[str, str]]:
    """Texts that may have one of these: all that have are among them."""
    queries = needles.queries()
    of_app = messages.c.app_id == app_id
    if len(queries) > MOST_SEARCHED:
        yield from _texts(tx, of_app)
    else:
        name: str = tx.conn.execute(sa.select(apps.c.name).where(apps.c.id == app_id)).scalar_one()
        holding = {
            place.msg_id for query in queries for place in find_places(tx, Terms(query), Filter(app=name), None)
        }  # fmt: skip
        for some in _in_parts(holding):
            yield from _texts(tx, _these(tx, app_id, some))
    yield from _exts(tx, of_app)


def _in_parts(msg_ids: Collection[str]) -> Iterator[list[str]]:
    ids = sorted(msg_ids)
    return (ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE))


def _these(tx: Tx, app_id: int, msg_ids: list[str]) -> sa.ColumnElement[bool]:
    return sa.and_(messages.c.app_id == app_id, tx.among(messages.c.msg_id, msg_ids))


def _texts(tx: Tx, of_these: sa.ColumnElement[bool]) -> Iterator[tuple[str, str]]:
    """Ids and normalised texts of what is not withheld: bodies and revisions."""
    for query in (bodies_of(), revisions_of()):
        for row in read_texts(tx, query.where(of_these)):
            yield row[1], row[5]


def _exts(tx: Tx, of_these: sa.ColumnElement[bool]) -> Iterator[tuple[str, str]]:
    m = messages.c
    query = sa.select(m.msg_id, sa.cast(m.ext, sa.Text)).where(of_these, m.ext.is_not(None), m.withheld.is_(None))
    rows: Any = tx.conn.execute(query.execution_options(yield_per=5_000))
    for msg_id, text in rows:
        yield msg_id, searchable(None, None, None, text)
