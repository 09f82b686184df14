"""Many databases for one test: a scene that is played again and again begins on an empty archive each time."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.fixtures.databases import Database, fresh_postgres
from tests.postgres import Postgres
from tests.proof.mutants import Databases, NewDatabase


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect() -> Iterator[None]:
    """Scenes collect their garbage when a process dies; what was there before them need not be looked at each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _make_sqlite(template: Path, place: Path) -> NewDatabase:
    numbers = count(1)

    @contextmanager
    def make() -> Iterator[Database]:
        path = place / f"archive-{next(numbers)}.db"
        shutil.copy(template, path)
        yield Database("sqlite", f"sqlite:///{path}")
        path.unlink()

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Makes archives of one kind; the test runs once on each kind."""
    if request.param == "sqlite":
        return _make_sqlite(request.getfixturevalue("sqlite_template"), tmp_path)
    server = request.getfixturevalue("postgres")
    return lambda: fresh_postgres(server)


@pytest.fixture
def databases(sqlite_template: Path, postgres: Postgres, tmp_path: Path) -> Databases:
    """Makes archives of both kinds."""
    return Databases(_make_sqlite(sqlite_template, tmp_path), lambda: fresh_postgres(postgres))
