"""Pages that are too large to be read at once are asked for again in smaller portions, down to one record.

Users decide how large records are: a thousand of them may exceed what an answer may hold, and must not make their
window unreadable for ever. The cursor of a page that was not taken is sent again, as it has not been used up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from archiver.errors import AnswerTooLarge

log = logging.getLogger(__name__)
T = TypeVar("T")


def in_portions(fetch_page: Callable[[dict[str, str]], T]) -> Callable[[dict[str, str]], T]:
    """`fetch_page`, with its `limit` halved after an answer that was too large, and doubled again after every page."""
    bound: int | None = None

    def fetch(query: dict[str, str]) -> T:
        nonlocal bound
        asked = int(query["limit"])
        limit = asked if bound is None else min(asked, bound)
        while True:
            try:
                page = fetch_page(query | {"limit": str(limit)})
            except AnswerTooLarge as error:
                if limit == 1:
                    raise
                limit = max(1, limit // 2)
                log.info("%s; asked again for %d records", error, limit)
            else:
                bound = limit * 2 if limit < asked else None
                return page

    return fetch
