"""Keeps the index over what was said, and finds texts with it; what the index lacks is read, so nothing is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from archiver.errors import UsageError
from archiver.store import installation, looks
from archiver.store.engine import Store
from archiver.store.read import events
from archiver.store.read.events import EventHit, EventKey
from archiver.store.read.filters import Filter
from archiver.store.search.index import Lag, add_pages, measure_lag
from archiver.store.search.query import Hit, find_any, find_further, find_places, hits_at, placed_hits
from archiver.store.search.statements import Place
from archiver.store.search.text import Terms, all_of, queries_for

_HITS_AT_ONCE = 200


def apps(store: Store, name: str | None) -> list[str]:
    """The apps that a search covers: all, or those of this name."""
    with store.read() as tx:
        return looks.apps_named(tx, name)


def index(store: Store, enough: Callable[[], bool] = lambda: False) -> int:
    """Bring the index up to what is archived, a few pages a transaction; gives how many texts were added."""
    added = 0
    with store.read() as tx:
        known = installation.read(tx)
    if known is not None and known.reapply_since_ms is not None:  # erased messages may be in what waits
        return 0
    while not enough():
        with store.patient.write() as tx:
            batch = add_pages(tx)
        if batch is None:
            break
        added += batch
    return added


def find_events(
    store: Store, texts: Sequence[str], criteria: Filter, most: int | None = None, *, any_of: bool = False
) -> list[EventHit]:
    """Events of callbacks that hold all of these texts (`any_of`: at least one), the latest first.

    Raises UsageError as `find`, for what no event has, and where more would be read than can be.
    """
    return [hit for _, hit in find_events_page(store, texts, criteria, None, most, any_of=any_of)]


def find_events_page(
    store: Store,
    texts: Sequence[str],
    criteria: Filter,
    after: EventKey | None,
    most: int | None,
    *,
    any_of: bool = False,
) -> list[tuple[EventKey, EventHit]]:
    """The same with their places, from behind one of them on."""
    if criteria.recipient is not None or criteria.types:
        raise UsageError("events have neither recipients nor types of bodies", hint="--events without them")
    with store.patient.read() as tx:
        return events.find_events(tx, queries_for(texts), criteria, most, any_of=any_of, after=after)


def lag(store: Store) -> Lag:
    """What the index has not come to yet."""
    with store.patient.read() as tx:
        return measure_lag(tx)


def find_page(
    store: Store, texts: Sequence[str], criteria: Filter, after: Place | None, most: int, *, any_of: bool = False
) -> list[tuple[Place, Hit | None]]:
    """The next hits of a search behind one, with their places; None for one that nobody may read any more.

    Raises as `find`.
    """
    queries = queries_for(texts)
    terms = [Terms(query) for query in queries] if any_of else [all_of(queries)]
    with store.patient.read() as tx:
        places = find_further(tx, terms, criteria, after, most)
        return list(zip(places, placed_hits(tx, places), strict=True))


def find(
    store: Store, texts: str | Sequence[str], criteria: Filter, most: int | None = None, *, any_of: bool = False
) -> Iterator[Hit]:
    """The bodies that hold all of these texts (`any_of`: at least one), the latest first, whatever their case, width
    and unseen characters.

    Raises UsageError for a text that nothing could be found by, for too many, and for an app that is not archived.
    """
    queries = queries_for([texts] if isinstance(texts, str) else texts)
    with store.patient.read() as tx:
        places = find_any(tx, queries, criteria, most) if any_of else find_places(tx, all_of(queries), criteria, most)
        hits = hits_at(tx, places[:_HITS_AT_ONCE])
    yield from hits
    for at in range(_HITS_AT_ONCE, len(places), _HITS_AT_ONCE):
        with store.patient.read() as tx:
            hits = hits_at(tx, places[at : at + _HITS_AT_ONCE])
        yield from hits
