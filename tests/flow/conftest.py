"""An archive at work: a stand-in server, a database, and the commands between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from archiver import cli
from archiver.sandbox import Sandbox
from archiver.store.schema import iso
from tests.conftest import Database

DAY = 86_400_000


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
        return code

    def status(self) -> dict[str, Any]:
        self("status", "--format", "json")
        (entry,) = json.loads(self.output)["apps"]
        return dict(entry)

    def count(self, table: str) -> int:
        return int(self.database.value(f"SELECT count(*) FROM {table}"))

    def pages_asked(self) -> int:
        return self.server.count("/chatmessages")

    def check_sums(self) -> None:
        """The sum rule, counters and watermark: what holds after every test."""
        for table in ("pages", "windows"):
            wrong = f"SELECT count(*) FROM {table} WHERE received <> new + known + changed + quarantined"
            assert self.database.value(wrong) == 0
        per_window = "SELECT coalesce(sum(received), 0), coalesce(sum(new), 0) FROM "
        assert self.database.rows(per_window + "pages") == self.database.rows(per_window + "windows")
        requeued = int(self.database.value("SELECT coalesce(sum(requeued), 0) FROM windows"))
        assert self.count("messages") == int(self.database.value("SELECT coalesce(sum(new), 0) FROM pages")) + requeued
        self.check_watermark()

    def check_watermark(self) -> None:
        """The watermark equals what the windows say, and windows of a pass neither overlap nor leave gaps."""
        for app_id, source, low, high in self.database.rows(
            "SELECT app_id, source, complete_from_ms, complete_until_ms FROM watermarks"
        ):
            origin = self.database.value(
                "SELECT origin_ms FROM sources WHERE app_id = ? AND source = ?", app_id, source
            )
            rows = self.database.rows(
                "SELECT lo_ms, hi_ms, state FROM windows WHERE pass = 1 AND app_id = ? AND source = ? ORDER BY lo_ms",
                app_id,
                source,
            )
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


@pytest.fixture
def make_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[MakeArchive]:
    """Makes archives whose servers end with the test."""
    with ExitStack() as servers:

        def make(database: Database, *, name: str = "one", **options: Any) -> Archive:
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
