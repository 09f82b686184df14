"""Many databases for one test: a scene that is played again and again begins on an empty archive each time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import Database, _postgres_database

NewDatabase = Callable[[], AbstractContextManager[Database]]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Makes migrated, empty archives of one kind; the test runs once on each kind."""
    numbers = count(1)

    @contextmanager
    def sqlite() -> Iterator[Database]:
        path = tmp_path / f"archive-{next(numbers)}.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield Database("sqlite", f"sqlite:///{path}")
        path.unlink()

    if request.param == "sqlite":
        return sqlite
    server = request.getfixturevalue("postgres")
    return lambda: _postgres_database(server)
