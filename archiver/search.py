"""Keeps the index over what was said, and finds texts with it; what the index lacks is read, so nothing is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from archiver.store.engine import Store
from archiver.store.read.filters import Filter
from archiver.store.search.index import Lag, add_pages, measure_lag
from archiver.store.search.query import Hit, find_places, hits_at
from archiver.store.search.text import query_for

_HITS_AT_ONCE = 200


def index(store: Store, enough: Callable[[], bool] = lambda: False) -> int:
    """Bring the index up to what is archived, a few pages a transaction; gives how many texts were added."""
    added = 0
    while not enough():
        with store.patient.write() as tx:
            batch = add_pages(tx)
        if batch is None:
            break
        added += batch
    return added


def lag(store: Store) -> Lag:
    """What the index has not come to yet."""
    with store.patient.read() as tx:
        return measure_lag(tx)


def find(store: Store, text: str, criteria: Filter, most: int | None = None) -> Iterator[Hit]:
    """What holds a text, the latest first, whatever its case, width and unseen characters.

    Raises UsageError for a text that nothing can match, and for an app that is not in the archive.
    """
    query = query_for(text)
    with store.patient.read() as tx:
        places = find_places(tx, query, criteria, most)
        hits = hits_at(tx, places[:_HITS_AT_ONCE])
    yield from hits
    for at in range(_HITS_AT_ONCE, len(places), _HITS_AT_ONCE):
        with store.patient.read() as tx:
            hits = hits_at(tx, places[at : at + _HITS_AT_ONCE])
        yield from hits
