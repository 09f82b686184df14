"""Ways in which a row in `looks` cannot be written, and what must not be seen then."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from archiver.store import sqlite
from archiver.store.engine import AnswerLimits, Store
from tests.fixtures.archive import Archive
from tests.fixtures.databases import Database

BRIEF_S = 0.3
"""So long a look waits for the writer in these tests, and not for 5 or 30 seconds."""
SWEEPS = 60


def be_brief(patch: pytest.MonkeyPatch) -> None:
    """Whoever waits for another writer gives up at once."""
    _begin_with(patch, f"busy_timeout={int(BRIEF_S * 1000)}")
    patch.setattr(Store.answering, "__defaults__", (AnswerLimits(10.0, BRIEF_S),))


def fill_disk(patch: pytest.MonkeyPatch, database: Database) -> None:
    """From the next connection on the file cannot grow, as on a disk that is full."""
    _begin_with(patch, f"max_page_count={database.value('PRAGMA page_count')}")


def _begin_with(patch: pytest.MonkeyPatch, *pragmas: str) -> None:
    for name in ("LASTING", "HASTY"):
        patch.setattr(sqlite, name, (*getattr(sqlite, name), *pragmas))


def refuse_rows(database: Database) -> None:
    """Somebody has put a trigger before the table."""
    database.run("CREATE TRIGGER refused BEFORE INSERT ON looks BEGIN SELECT RAISE(ABORT, 'refused'); END")


@contextmanager
def writer_held(database: Database) -> Iterator[None]:
    """Another process is writing, and does not end."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            held.set()
            let_go.wait(120)
            other.execute("ROLLBACK")
        other.close()

    writer = threading.Thread(target=hold)
    writer.start()
    held.wait()
    try:
        yield
    finally:
        let_go.set()
        writer.join()


def until_all_are_refused(attempts: dict[str, Callable[[], bool]]) -> None:
    """Try each of them until none is answered any more; an attempt says whether it was, and fails where it shows too
    much."""
    for _ in range(SWEEPS):
        answered = [name for name, attempt in attempts.items() if attempt()]
        if not answered:
            return
    raise AssertionError("the disk has room without end")


def content_of(archive: Archive) -> list[str]:
    """What people wrote, as far as nothing else says it by chance."""
    rows = archive.database.rows("SELECT text FROM message_bodies WHERE length(text) > 9")
    return [row[0] for row in rows]
