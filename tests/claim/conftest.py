"""Archives of one source whose claims are asked for at once; whatever the test, its sums hold at its end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.claim.archive import Archive, Make, hours_archive, pages_archive
from tests.fixtures.archive import check_sums
from tests.fixtures.databases import Database, fresh_postgres


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty archive of each kind; these cases decide little that depends on it, so one kind is quick."""
    if request.param == "sqlite":
        path = tmp_path / "archive.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield Database("sqlite", f"sqlite:///{path}")
    else:
        with fresh_postgres(request.getfixturevalue("postgres")) as made:
            yield made


@pytest.fixture
def make_pages(database: Database) -> Iterator[Make]:
    yield from _made(database, partial(pages_archive, database))


@pytest.fixture
def make_hours(database: Database) -> Iterator[Make]:
    yield from _made(database, partial(hours_archive, database))


def _made(database: Database, make: Make) -> Iterator[Make]:
    archives: list[Archive] = []

    def made(*records: object, **ways: object) -> Archive:
        archives.append(make(*records, **ways))
        return archives[-1]

    yield made
    for archive in archives:
        archive.store.dispose()
    check_sums(database)
