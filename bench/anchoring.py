"""How long after its commit an entry of the ledger is in a sink: `python -m bench.anchoring --minutes 15`.

`archiver run` with its defaults (`checkpoint = "1m"`, a sink's `every` of a minute) beside messages that keep coming.
It looks for new ones every seven seconds, so that entries are made at all times between two checkpoints.
"""

from __future__ import annotations

import argparse
import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from archiver.sandbox import Sandbox
from archiver.store.admin import migrate
from archiver.store.admin.ask import ask
from archiver.store.engine import Store, open_store
from archiver.store.schema import iso

CONFIG = """
[database]
url = "sqlite:///{place}/archive/archive.db"
[schedule]
every = "7s"
[evidence]
name = "bench"
key_file = "{place}/key"
state_file = "{place}/state"
[[evidence.anchors]]
sink = "file"
path = "{place}/notes"
[[apps]]
org = "{server.org}"
app = "{server.app}"
base_url = "{server.base_url}"
client_id = "{server.client_id}"
client_secret = "{server.client_secret}"
start = "{start}"
settle = "1s"
audits = []
"""


def ages_s(store: Store) -> list[float]:
    """For each entry that a sink has: how long after its commit (which follows `at` at once) the sink had it, in s."""
    rows = ask(
        store,
        "SELECT (julianday(min(a.at)) * 86400000 - json_extract(l.entry, '$.at') - 210866760000000) / 1000.0"
        " FROM ledger l JOIN anchorings a ON a.outcome = 'anchored' AND a.size > l.seq"
        " WHERE l.kind IN ('page', 'window') GROUP BY l.seq",
    )[1]
    return sorted(float(row[0]) for row in rows)


def told(ages: Sequence[float]) -> str:
    def share(of: float) -> float:
        return ages[min(len(ages) - 1, math.ceil(of * len(ages)) - 1)]

    return f"{len(ages)} entries: median {share(0.5):.1f} s, p99 {share(0.99):.1f} s, longest {ages[-1]:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place, now_ms = Path(folder), int(time.time() * 1000)
        (place / "archive").mkdir()
        span_ms = int((given.minutes + 5) * 60_000)
        with Sandbox(messages=span_ms // 500, start_ms=now_ms - 60_000, span_ms=span_ms) as server:
            (place / "config.toml").write_text(CONFIG.format(place=place, server=server, start=iso(server.start_ms)))
            (place / "config.toml").chmod(0o600)
            store = open_store(f"sqlite:///{place}/archive/archive.db")
            migrate.upgrade(store)
            command = [sys.executable, "-m", "archiver", "--config", str(place / "config.toml")]
            subprocess.run([*command, "evidence", "init", "--keeper", "bench"], check=True, stdout=subprocess.DEVNULL)
            service = subprocess.Popen([*command, "run"], stderr=subprocess.DEVNULL)
            try:
                time.sleep(given.minutes * 60)
            finally:
                service.send_signal(signal.SIGTERM)
                service.wait()
            print(told(ages_s(store)))
            store.dispose()


if __name__ == "__main__":
    main()
