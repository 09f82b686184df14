"""Reads a conversation as people do: in order, with what came late, what was changed, and the files by digest."""

from __future__ import annotations

from collections.abc import Iterator

from archiver.errors import UsageError
from archiver.model import Archived, Window
from archiver.store.engine import Store
from archiver.store.read import conversations, messages
from archiver.store.read.conversations import Thread

ALL_TIME = Window(-(2**63), 2**63 - 1)
_FIRST_PAGE, _PAGE = 50, 500


def find(store: Store, text: str, app: str | None = None) -> Thread:
    """The conversation of a group's id, or of two users joined by a bar.

    Raises UsageError where there is none, and where several apps have one of this name.
    """
    with store.patient.read() as tx:
        threads = conversations.find(tx, text, app)
    if not threads:
        raise UsageError(
            f"there is no conversation {text!r} in the archive",
            hint="archiver conversations --of USER lists those of a user",
        )
    if len(threads) > 1:
        names = ", ".join(thread.app for thread in threads)
        raise UsageError(f"several apps have a conversation {text!r}: {names}", hint=f"--app {threads[0].app}")
    return threads[0]


def read(store: Store, thread: Thread, window: Window = ALL_TIME) -> Iterator[list[Archived]]:
    """Its messages stamped within a range, a page at a time, as the archive has it when the page is read."""
    after, most = None, _FIRST_PAGE
    while True:
        with store.patient.read() as tx:
            keys = conversations.page(tx, thread, window, after, most)
            page = messages.readable(tx, thread.app_id, thread.app, [key.msg_id for key in keys])
        if not keys:
            return
        yield page
        after, most = keys[-1], _PAGE
