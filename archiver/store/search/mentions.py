"""Where texts and ids of some messages stand elsewhere: forwarded, quoted, edited under another id, in `ext`.

All texts of an app are read: an index knows no `ext`, and a thousand searches would take longer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import messages
from archiver.store.search.index import bodies_of, read_texts, revisions_of
from archiver.store.search.text import normal, searchable

LEAST = 6
"""Normalised texts that are shorter say nothing of anybody: half an archive has them."""
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
    """The other messages of an app that mention these; reads all of the app's messages twice."""
    of_these = messages.c.app_id == app_id
    asked = set(msg_ids)
    texts = (text for msg_id, text in _texts(tx, of_these, ext=False) if msg_id in asked)
    needles = Needles(texts, asked)
    mentions: dict[str, str] = {}
    for msg_id, text in _texts(tx, of_these, ext=True):
        if msg_id not in asked and (why := needles.why(text)) is not None:
            mentions.setdefault(msg_id, why)
    return [Mention(app_id, msg_id, why) for msg_id, why in sorted(mentions.items())]


def _texts(tx: Tx, of_these: sa.ColumnElement[bool], *, ext: bool) -> Iterator[tuple[str, str]]:
    """Ids and normalised texts of what is not withheld: bodies, revisions, and `ext` where that is asked for."""
    for query in (bodies_of(), revisions_of()):
        for row in read_texts(tx, query.where(of_these)):
            yield row[1], row[5]
    if ext:
        m = messages.c
        query = sa.select(m.msg_id, sa.cast(m.ext, sa.Text)).where(of_these, m.ext.is_not(None), m.withheld.is_(None))
        rows: Any = tx.conn.execute(query.execution_options(yield_per=5_000))
        for msg_id, text in rows:
            yield msg_id, searchable(None, None, None, text)
