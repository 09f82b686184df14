"""What the evidence of an app without messages takes: `python -m bench.silent --hours 6`, in simulated time.

A pull and a round of publishing a minute, as `run` has them. Bytes are those of the evidence's tables with their
indexes on PostgreSQL, as the mean of all hours but the first.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from threading import Event

from archiver import connect
from archiver.config import load
from archiver.evidence import beginning, sinks
from archiver.pull import commands
from archiver.pull.run import PullOptions
from archiver.sandbox import Sandbox
from archiver.sessions import open_session
from archiver.store.admin.ask import ask
from archiver.store.engine import Store, open_store
from archiver.store.schema import iso
from bench.ground import Ground
from tests.postgres import own_server

START_MS = 1_790_035_200_000  # 2026-09-22T00:00:00Z
CONFIG = """
[database]
url = "{url}"
[evidence]
name = "bench"
key_file = "{place}/key"
state_file = "{place}/state"
[[apps]]
org = "{server.org}"
app = "{server.app}"
base_url = "{server.base_url}"
client_id = "{server.client_id}"
client_secret = "{server.client_secret}"
start = "{start}"
rate = "10000/s"
"""


class Minutes:
    """The time, as server and database have it."""

    now_ms = START_MS + 600_000

    def __call__(self) -> int:
        return self.now_ms


def measure(ground: Ground, url: str, hours: int) -> None:
    clock = Minutes()
    with Sandbox(messages=0, start_ms=START_MS, clock=clock) as server:
        path = ground.place / "config.toml"
        plain = url.replace("+psycopg", "")
        path.write_text(CONFIG.format(url=plain, place=ground.place, server=server, start=iso(START_MS)))
        path.chmod(0o600)
        settings, stop = load(path, {}), Event()
        store = open_store(settings.database.sqlalchemy_url, clock)
        beginning.init(store, settings, "bench", "bench")
        connect.seal(store, settings)
        publish = sinks.publisher(store, settings)
        before = entries = 0
        with open_session(settings.apps[0], settings, store, stop) as session:
            for minute in range(hours * 60):
                commands.pull(session, settings, store, PullOptions(), stop=stop)
                publish()
                clock.now_ms += 60_000
                if minute == 59:
                    before, entries = ground.evidence_size(url) or 0, count(store, "ledger")
        more, made = (ground.evidence_size(url) or 0) - before, count(store, "ledger") - entries
        print(f"{made / (hours - 1):.0f} entries an hour, {more / (hours - 1):,.0f} bytes an hour")
        for kind, number, size in ask(
            store, "SELECT kind, count(*), round(avg(length(entry))) FROM ledger GROUP BY kind ORDER BY kind"
        )[1]:
            print(f"  {kind}: {number} entries of {size} characters")
        store.dispose()


def count(store: Store, table: str) -> int:
    return int(ask(store, f"SELECT count(*) FROM {table}")[1][0][0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, own_server() as postgres:
        ground = Ground(Path(folder), postgres)
        with ground.database("postgresql") as url:
            measure(ground, url, given.hours)


if __name__ == "__main__":
    main()
