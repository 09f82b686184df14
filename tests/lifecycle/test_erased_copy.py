"""A copy, made before or after, has of an erased message what its source has: a husk."""

from __future__ import annotations

from pathlib import Path

import pytest

from archiver.store.search import index
from tests.fixtures.archive import check_sums
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database
from tests.lifecycle.conftest import Persons
from tests.lifecycle.erasing import ACCOUNTABLE, FILE, IDS, TEXT, requested, speaking
from tests.postgres import migrated

_HUSKS = "SELECT msg_id, withheld, sender, length(raw) FROM messages WHERE withheld = 2 ORDER BY msg_id"
_INDEXED = f"SELECT count(*) FROM search_texts WHERE msg_id IN {IDS}"
_COUNTED = ("messages", "message_bodies", "message_revisions", "revision_bodies", "tombstones", "events")


@pytest.fixture
def target(tmp_path: Path) -> Database:
    """An empty archive in a file."""
    migrated(f"sqlite:///{tmp_path}/target.db")
    return Database("sqlite", f"sqlite:///{tmp_path}/target.db")


def shown(database: Database) -> str:
    """All that stands in a database but who did what."""
    names = [
        row[0]
        for row in database.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'search_index'")
    ]
    rows = [row for name in names if name not in ACCOUNTABLE for row in database.rows(f"SELECT * FROM {name}")]
    return "\n".join(str([value.decode(errors="replace") if isinstance(value, bytes) else value for value in row])
                     for row in rows).lower()  # fmt: skip


def take_in(target: Database) -> None:
    """Index what was copied."""
    store = open_database(target)
    indexed: int | None = 0
    while indexed is not None:
        with store.write() as tx:
            indexed = index.add_pages(tx)
    store.dispose()


@pytest.mark.full
@pytest.mark.parametrize("copied", ["before", "after"])
def test_a_copy_has_husks_where_its_source_has(persons: Persons, target: Database, copied: str) -> None:
    archive, database = persons.archive, persons.archive.database
    speaking(archive)
    if copied == "before":
        assert archive("copy", "--to", target.url) == 0, archive.errors
        take_in(target)
        assert TEXT in shown(target)
        assert target.value(_INDEXED) == 4
    number = requested(persons)
    assert archive("erase", "run", number) == 0
    assert archive("copy", "--to", target.url) == 0, archive.errors
    husks = target.rows(_HUSKS)
    assert husks == database.rows(_HUSKS) == [(IDS[0], 2, None, 0), (IDS[1], 2, None, 0)]
    for table in _COUNTED:
        count = f"SELECT count(*) FROM {table}"
        assert target.value(count) == database.value(count), table
    assert target.value(_INDEXED) == 0
    left = shown(target)
    assert not [word for word in (TEXT, FILE, "erased-1") if word.lower() in left]
    check_sums(target)
    assert archive("copy", "--to", target.url, "--compare-only") == 0, archive.errors
