"""Terms that contradict each other: messages that are due for deletion, and have to stay.

`retention set` refuses such pairs; a row may come by SQL, or with a copy. Such messages stay.
"""

from __future__ import annotations

from typing import NamedTuple

from archiver.lifecycle.terms import cutoff_ms, day
from archiver.store import retention
from archiver.store.engine import Store
from archiver.store.read import counting


class Contradiction(NamedTuple):
    """An app with messages whose `most` has passed while their `least` still runs."""

    app: str
    least: str
    most: str


def find(store: Store) -> list[Contradiction]:
    """The apps of which some message is due and has to stay, by its stamp; none for a login that sees no terms."""
    with store.read() as tx:
        today, known = day(tx.now_ms()), list[Contradiction]()
        for one in retention.read(tx) if retention.may_read(tx) else ():
            least, most = one.terms
            if least is None or most is None:
                continue
            first_ms, end_ms = cutoff_ms(today, least), cutoff_ms(today, most)
            if first_ms < end_ms and counting.has_between(tx, one.app_id, first_ms, end_ms):
                known.append(Contradiction(one.app, least, most))
        return known
