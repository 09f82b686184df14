"""An archive at work: a stand-in server, a database, and the commands between them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from archiver import cli, connect, status
from archiver.config import Settings, load
from archiver.pull import commands
from archiver.pull.run import Outcome, PullOptions
from archiver.sandbox import Faults, Sandbox
from archiver.status import SourceReport
from archiver.store.engine import open_store
from archiver.store.schema import iso
from tests import canaries
from tests.conftest import Database

DAY = 86_400_000
HOUR, A_WHILE = 3_600_000, 600_000


class Archive:
    """Commands of the program on one database and one stand-in server, run in this process."""

    def __init__(self, database: Database, server: Sandbox, place: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.database, self.server, self._capture = database, server, capture
        self.config = place / "config.toml"
        self.output = self.errors = ""
        self.settings: dict[str, Any] = {
            "org": server.org,
            "app": server.app,
            "base_url": server.base_url,
            "client_id": server.client_id,
            "client_secret": server.client_secret,
            "start": iso(server.start_ms),
            "rate": "10000/s",
            "audits": [],
        }

    def write_config(self, **changes: Any) -> None:
        """Write the configuration, with these keys of the app changed; None leaves a key out."""
        app = {name: value for name, value in (self.settings | changes).items() if value is not None}
        lines = ["[database]", f"url = {json.dumps(self.database.url)}", "[[apps]]"]
        self.config.write_text("\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in app.items())]))
        self.config.chmod(0o600)

    def __call__(self, *arguments: str, **changes: Any) -> int:
        """Run a command and give its exit code; what it printed is in `output` and `errors`."""
        if changes or not self.config.exists():
            self.write_config(**changes)
        self._capture.readouterr()
        code = cli.run(["--config", str(self.config), *arguments])
        self.output, self.errors = self._capture.readouterr()
        assert not canaries.secrets_in(self.output + self.errors)
        assert not canaries.chat_in(self.errors)
        return code

    def status(self) -> dict[str, Any]:
        self("status", "--format", "json")
        (entry,) = json.loads(self.output)["apps"]
        return dict(entry)

    def report(self) -> SourceReport:
        """What `status` says of the one source, as the program has it."""
        settings = load(self.config, {}, offline=True)
        with connect.opened(settings) as store:
            (report,) = status.report(store, status.configured(settings.apps), every_ms=60_000)
        return report

    def count(self, table: str) -> int:
        return int(self.database.value(f"SELECT count(*) FROM {table}"))

    def pages_asked(self) -> int:
        return self.server.count("/chatmessages")

    def check_sums(self) -> None:
        check_sums(self.database)


def check_sums(database: Database) -> None:
    """The sum rule, counters and watermark: what holds after every test."""
    for table in ("pages", "windows"):
        wrong = f"SELECT count(*) FROM {table} WHERE received <> new + known + changed + quarantined"
        assert database.value(wrong) == 0
    per_window = "SELECT coalesce(sum(received), 0), coalesce(sum(new), 0) FROM "
    assert database.rows(per_window + "pages") == database.rows(per_window + "windows")
    requeued = int(database.value("SELECT coalesce(sum(requeued), 0) FROM windows"))
    new = int(database.value("SELECT coalesce(sum(new), 0) FROM pages"))
    assert int(database.value("SELECT count(*) FROM messages")) == new + requeued
    check_watermarks(database)


def check_watermarks(database: Database) -> None:
    """The watermark equals what the windows say, and windows of a pass neither overlap nor leave gaps."""
    marks = "SELECT app_id, source, complete_from_ms, complete_until_ms FROM watermarks"
    for app_id, source, low, high in database.rows(marks):
        origin = database.value("SELECT origin_ms FROM sources WHERE app_id = ? AND source = ?", app_id, source)
        planned = (
            "SELECT lo_ms, hi_ms, state FROM windows WHERE pass = 1 AND cause <> 'before_first_contact'"
            " AND app_id = ? AND source = ? ORDER BY lo_ms"
        )
        rows = database.rows(planned, app_id, source)
        assert all(before[1] == after[0] for before, after in pairwise(rows)), rows
        tiling = {row[0]: row[1] for row in rows if row[2] in ("closed", "presumed_empty", "accepted")}
        reach = origin
        while reach in tiling:
            reach = tiling[reach]
        assert reach == high
        back = {hi: lo for lo, hi in tiling.items()}
        reach = origin
        while reach in back:
            reach = back[reach]
        assert reach == low


MakeArchive = Callable[..., Archive]


class Waits(Event):
    """A stop event whose waits cost simulated time only."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now_ms += math.ceil((timeout or 0) * 1000)  # who waits, waits no less than he said
        return self.is_set()


class Clock:
    """Simulated time, for the server and for the database at once."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Simulated:
    """An archive in simulated time: the parts below the commands, put together as the program does it."""

    def __init__(self, database: Database, server: Sandbox, clock: Clock, **keys: Any) -> None:
        self.server, self.clock, self.database = server, clock, database
        self.stop = Waits(clock)
        self.store = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"), clock)
        self.keys = {"source": "hourly", "start": iso(server.start_ms), "rate": "10000/s"} | keys

    def settings(self) -> Settings:
        app: dict[str, Any] = {
            "org": self.server.org,
            "app": self.server.app,
            "base_url": self.server.base_url,
            "client_id": self.server.client_id,
            "client_secret": self.server.client_secret,
        }
        told = {f"ARCHIVER_APPS__0__{name.upper()}": value for name, value in (app | self.keys).items()}
        environ = {
            name: str(value) if not isinstance(value, list) else json.dumps(value) for name, value in told.items()
        }
        return load(Path("config.toml"), environ)

    def pull(self, **ways: Any) -> Outcome:
        """One pull with a client and a token of its own, as a process would."""
        settings = self.settings()
        with connect.session(settings.apps[0], settings, self.store, self.stop) as session:
            return commands.pull(session, settings, self.store, PullOptions(**ways), stop=self.stop)

    def status(self) -> dict[str, Any]:
        return self.report().to_json()

    def report(self) -> SourceReport:
        (app,) = self.settings().apps
        configured = [status.Configured(app.name, app.source, app.start_ms)]
        (report,) = status.report(self.store, configured, every_ms=60_000)
        return report

    def served(self) -> set[str]:
        return {row.msg_id for row in self.server.records}

    def stored(self) -> set[str]:
        return {row[0] for row in self.database.rows("SELECT msg_id FROM messages")}

    def states(self, pass_no: int = 1) -> list[str]:
        rows = self.database.rows('SELECT state FROM windows WHERE "pass" = ? ORDER BY lo_ms', pass_no)
        return [row[0] for row in rows]


MakeSimulated = Callable[..., Simulated]


@pytest.fixture
def make_simulated(database: Database) -> Iterator[MakeSimulated]:
    """Makes archives in simulated time; servers and connections end with the test, and its sums are checked."""
    with ExitStack() as stack:

        def make(
            *, now: int, faults: Faults | None = None, on: Database | None = None, server: dict[str, Any], **keys: Any
        ) -> Simulated:
            clock = Clock(now)
            served = stack.enter_context(Sandbox(clock=clock, faults=faults, **server))
            found = Simulated(on or database, served, clock, **keys)
            stack.callback(found.store.dispose)
            return found

        yield make
        check_sums(database)


@pytest.fixture
def make_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[MakeArchive]:
    """Makes archives whose servers end with the test."""
    with ExitStack() as servers:

        def make(database: Database, *, name: str = "one", **options: Any) -> Archive:
            if "start_ms" not in options:  # all that is there from the beginning is due: also just after the full hour
                ends_ms = int(time.time() * 1000) - A_WHILE
                options["start_ms"] = (ends_ms - options.get("span_ms", 2 * DAY)) // HOUR * HOUR
            server = servers.enter_context(Sandbox(**options))
            place = tmp_path / name
            place.mkdir(exist_ok=True)
            return Archive(database, server, place, capsys)

        yield make


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Iterator[Archive]:
    """An archive of 300 messages over two days, and its sums checked at the end."""
    found = make_archive(database, messages=300)
    yield found
    found.check_sums()


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the program as a process of its own; what still lives at the end is killed.

    Whatever one of them says is held against the canaries.
    """
    running: list[subprocess.Popen[bytes]] = []

    def begin(archive: Archive, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "archiver", "--config", str(archive.config), *arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        for stream in (process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                canaries.hear(stream.read().decode(errors="replace"), f"process {process.pid}")
                stream.close()
        process.wait()
