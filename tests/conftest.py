"""Databases for tests: real ones of both kinds, migrated once and copied for each test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

import hypothesis
import psycopg
import pytest

from archiver.store.admin import distribution
from archiver.store.engine import open_store
from tests import canaries
from tests.postgres import Postgres, migrated, own_server, scratch

_SLOW = [hypothesis.HealthCheck.too_slow]  # a busy machine is no fault of a test's
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=_SLOW)
hypothesis.settings.load_profile("steady")
_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")


def pytest_configure() -> None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", scratch())  # also of the workers, which inherit it


# Here both databases are what most tests are about, or cost next to nothing.
_BOTH = ("migrations", "store", "unit")


# Many pulls, and little that depends on the database: half of these on either; of tests/claim, PostgreSQL does half.
_ON_ONE = ("test_nothing_is_lost", "test_what_came_of_a_damaged_file_is_kept_before_the_provider_drops_it")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The short run tries a test of a whole command on one of the databases, half of them on either; the full on both.

    Which one hangs on the test's name alone, so that it stays the same whatever else is collected.
    """
    pairs: dict[str, dict[str, pytest.Item]] = {}
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        kind = params.get("database")
        if kind in ("sqlite", "postgresql") and item.path.parent.name not in _BOTH:
            pairs.setdefault(item.nodeid.replace(kind, "*"), {})[kind] = item
    spared = []
    for name, pair in pairs.items():
        other = pair.get(("sqlite", "postgresql")[crc32(name.encode()) % 2])
        if len(pair) != 2 or other is None:
            continue
        is_claim = other.path.parent.name == "claim" and "[postgresql" in other.name
        if is_claim or name.partition("::")[2].startswith(_ON_ONE):
            spared.append(other)
        elif not any(item.get_closest_marker("full") for item in pair.values()):
            other.add_marker("full")
    if spared:
        config.hook.pytest_deselected(items=spared)
        items[:] = [item for item in items if item not in spared]


_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--no-skips") and _skipped and not hasattr(session.config, "workerinput"):
        print("\nskipped, and nothing may be skipped here:", *_skipped, sep="\n  ")  # noqa: T201 - for who reads the run
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True, scope="session")
def _listening() -> Iterator[None]:
    with canaries.listening():
        yield


@pytest.fixture(autouse=True)
def _nothing_leaks(_listening: None) -> Iterator[None]:
    """No log record of any test holds a secret, a token or chat text."""
    yield
    heard, canaries.leaks[:] = canaries.leaks[:], []
    assert not heard


class Readers:
    """A connection for each database that is asked: to make one costs the server as much as a hundred questions."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, str], psycopg.Connection] = {}

    def rows(self, url: str, sql: str, parameters: Sequence[object] | None) -> list[tuple[Any, ...]]:
        key = os.getpid(), url  # what a fork inherits is the parent's
        with contextlib.suppress(KeyError, psycopg.OperationalError):  # the server may have been started again
            return self._open[key].execute(sql, parameters).fetchall()
        self._open[key] = psycopg.connect(url, autocommit=True, prepare_threshold=None)
        return self._open[key].execute(sql, parameters).fetchall()

    def close(self, url: str) -> None:
        if (found := self._open.pop((os.getpid(), url), None)) is not None:
            found.close()

    def close_all(self) -> None:
        for _, url in list(self._open):
            self.close(url)


_readers = Readers()


@dataclass(frozen=True)
class Database:
    """A migrated, empty archive of a test's own."""

    kind: str
    url: str
    """As the configuration takes it."""

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read with the plain driver, as a third party would."""
        if self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as conn:
                return conn.execute(sql, parameters).fetchall()
        return _readers.rows(self.url, sql.replace("%", "%%").replace("?", "%s"), parameters or None)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
        """As `rows`, for many questions at once: on SQLite each connection reads the whole schema first."""
        if self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as conn:
                yield lambda sql: conn.execute(sql).fetchall()
        else:
            yield self.rows

    def value(self, sql: str, *parameters: object) -> Any:
        return self.rows(sql, *parameters)[0][0]

    def json(self, value: Any) -> Any:
        """The value of a JSON column: SQLite keeps text, PostgreSQL gives it parsed."""
        return json.loads(value) if self.kind == "sqlite" and value is not None else value

    def run(self, sql: str) -> None:
        """Change the database behind the program's back."""
        if self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as conn, conn:
                conn.execute(sql)
        else:
            with psycopg.connect(self.url) as pg:
                pg.execute(sql)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with the database `archiver_template` in it, migrated."""
    with contextlib.ExitStack() as stack:
        url, cluster = os.environ.get("ARCHIVER_TEST_POSTGRES_URL"), os.environ.get("ARCHIVER_TEST_CITUS_URL")
        given = cluster or url
        server = Postgres(given, citus=bool(cluster)) if given else stack.enter_context(own_server())
        template = f"archiver_template_{os.getpid()}"
        server.run(f"CREATE DATABASE {template}")
        migrated(server.of(template))
        yield server
        _readers.close_all()
        server.run(f"DROP DATABASE {template}")


def _distribute(url: str) -> None:
    """A distributed archive on a cluster of one node: no database with distributed tables can be a template."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION citus")
        conn.execute("SELECT citus_set_coordinator_host('localhost')")
    migrated(url)
    store = open_store(url.replace("postgresql://", "postgresql+psycopg://"))
    distribution.distribute(store, 4)
    store.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "archive.db"
    migrated(f"sqlite:///{path}")
    return path


@contextlib.contextmanager
def _postgres_database(server: Postgres, *, empty: bool = False) -> Iterator[Database]:
    name = f"archiver_{os.getpid()}_{next(_numbers)}"
    template = "template0" if empty or server.citus else f"archiver_template_{os.getpid()}"
    # Copied as files: for a server that forgets, half the time.
    strategy = "" if server.control is None else "STRATEGY file_copy"
    server.run(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")
    try:
        if server.citus and not empty:
            _distribute(server.of(name))
        yield Database("postgresql", server.of(name))
    finally:
        _readers.close(server.of(name))
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty archive; the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "archive.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield Database("sqlite", f"sqlite:///{path}")
    else:
        with _postgres_database(request.getfixturevalue("postgres")) as found:
            yield found


@contextlib.contextmanager
def own_archive(**ways: bool) -> Iterator[tuple[Postgres, Database]]:
    """A migrated, empty archive on a server of its own, which may be stopped, killed and set back."""
    with own_server(**ways) as server:
        migrated(server.url)
        try:
            yield server, Database("postgresql", server.url)
        finally:
            _readers.close(server.url)


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[Database]:
    """A migrated, empty archive on PostgreSQL, for what only a server can show."""
    with _postgres_database(postgres) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any schema, of each kind."""
    if request.param == "sqlite":
        yield Database("sqlite", f"sqlite:///{tmp_path / 'archive.db'}")
    else:
        with _postgres_database(request.getfixturevalue("postgres"), empty=True) as found:
            yield found


@pytest.fixture
def both(sqlite_template: Path, postgres: Postgres, tmp_path: Path) -> Iterator[Sequence[Database]]:
    """One archive of each kind at once, to be compared."""
    path = tmp_path / "both.db"
    shutil.copy(sqlite_template, path)
    with _postgres_database(postgres) as found:
        yield Database("sqlite", f"sqlite:///{path}"), found
