"""One function behind all that shows what people wrote: a row in `looks` is committed before the first byte leaves."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from archiver.errors import ArchiverError, DatabaseRefused, DatabaseUnavailable, LookRefused, Stopped
from archiver.store import looks
from archiver.store.engine import Store
from archiver.store.looks import LookEntry

log = logging.getLogger("archiver.looks")

Conversations = Iterable[tuple[str, str | None]]
"""App and conversation of what is shown."""


@dataclass(slots=True)
class Streamed:
    """An answer that is shown as it is read; whoever writes it counts here."""

    shown: int = 0


@dataclass(frozen=True, slots=True)
class Looks:
    """Notes the looks of one reader. `store`: where they are kept; None where looks are off, and then nothing is."""

    store: Store | None
    who: str
    case_id: str | None = None
    reason: str | None = None
    via: str = "cli"

    def show(
        self,
        action: str,
        filters: Mapping[str, Any],
        *,
        count: int,
        conversations: Conversations = (),
        page: int = 1,
        look_id: str | None = None,
    ) -> None:
        """Note a bounded answer: call it with the answer in hand, and show that afterwards. `look_id`: a new one.

        Raises LookRefused, DatabaseRefused or DatabaseUnavailable, and then nothing may be shown.
        """
        if self.store is not None:
            entry = self._entry(action, filters, page)
            entry = entry if look_id is None else entry._replace(look_id=look_id)
            _note(self.store, entry, "shown", count, conversations)

    @contextmanager
    def stream(self, action: str, filters: Mapping[str, Any], conversations: Conversations) -> Iterator[Streamed]:
        """Note an answer that is shown as it is read: one row before it, and one on how it ended. Raises as `show`."""
        streamed = Streamed()
        if self.store is None:
            yield streamed
            return
        entry = self._entry(action, filters)
        _note(self.store, entry, "begun", None, conversations)
        try:
            yield streamed
        except BaseException as error:
            was_stopped = isinstance(error, Stopped | KeyboardInterrupt | GeneratorExit | BrokenPipeError)
            try:
                _note(self.store, entry, "stopped" if was_stopped else "failed", streamed.shown)
            except ArchiverError as second:
                log.error("the end of a look could not be noted: %s", second)
            raise
        _note(self.store, entry, "done", streamed.shown)

    def _entry(self, action: str, filters: Mapping[str, Any], page: int = 1) -> LookEntry:
        return LookEntry(str(uuid.uuid4()), self.who, self.via, action, filters, self.case_id, self.reason, page)


def _note(store: Store, entry: LookEntry, outcome: str, count: int | None, conversations: Conversations = ()) -> None:
    if store.is_read_only:
        raise LookRefused
    try:
        with store.write() as tx:
            looks.append(tx, entry, outcome, count)
            looks.add_conversations(tx, entry.look_id, conversations)
    except (DatabaseUnavailable, DatabaseRefused) as error:
        text = f"nothing is shown without its row in looks, and that could not be written: {error}"
        raise type(error)(text, hint=error.hint) from None
