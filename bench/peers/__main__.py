"""The archiver beside dlt and a Singer tap with target-postgres, alternating, on PostgreSQL; `make bench-peers`.

A Singer pipeline is two programs, so its time is that of the whole less that of the same over no messages.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.ground import Ground, Run, Served, serve
from tests.postgres import own_server

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--dlt", type=Path, required=True, help="the Python of an environment with dlt")
    parser.add_argument("--singer", type=Path, required=True, help="... with singer-sdk and target-postgres")
    told = parser.parse_args()
    dlt, singer = told.dlt.absolute(), told.singer.absolute()  # each runs in a folder of its own
    runs: dict[str, list[Run]] = {name: [] for name in ("archiver", "dlt merge", "dlt append", "singer")}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="archiver-peers-", dir="/tmp")))
        ground = Ground(place, stack.enter_context(own_server(durable=True, tcp=True)))
        server, empty = stack.enter_context(serve(told.messages)), stack.enter_context(serve(0))
        for _ in range(told.rounds):
            with ground.database("postgresql") as url:
                runs["archiver"].append(ground.run("archiver", url, server))
            for disposition in ("merge", "append"):
                with ground.database("postgresql", migrated=False) as url:
                    runs[f"dlt {disposition}"].append(by_dlt(dlt, disposition, server, url, place))
            with ground.database("postgresql", migrated=False) as url:
                idle = by_singer(singer, empty, url, place)
                found = by_singer(singer, server, url, place)
                runs["singer"].append({"seconds": found - idle})
    for name, theirs in runs.items():
        ratios = [run["seconds"] / ours["seconds"] for run, ours in zip(theirs, runs["archiver"], strict=True)]
        rate = told.messages / median(run["seconds"] for run in theirs)
        print(f"{name:12}{rate:10,.0f} messages/s   the archiver is {median(ratios):5.2f} times as fast")


def by_dlt(python: Path, disposition: str, server: Served, url: str, place: Path) -> Run:
    home = tempfile.mkdtemp(dir=place)  # dlt remembers where it was
    environ = {**os.environ, "DLT_DATA_DIR": home, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    url = url.replace("+psycopg", "").replace("postgres@", "postgres:any@")  # it asks for a password to send
    words = [str(python), str(HERE / "by_dlt.py"), disposition, server.url, url]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, env=environ, cwd=home)
    found: Run = json.loads(done.stdout.splitlines()[-1])
    return found


def by_singer(python: Path, server: Served, url: str, place: Path) -> float:
    tap, target = place / "tap.json", place / "target.json"
    tap.write_text(json.dumps({"url": server.url}), encoding="utf-8")
    target.write_text(json.dumps({"sqlalchemy_url": url, "use_copy": True, "load_method": "upsert"}), encoding="utf-8")
    began = time.perf_counter()
    with (
        subprocess.Popen(
            [python, HERE / "tap.py", "--config", tap], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as out,
        subprocess.Popen(
            [python.parent / "target-postgres", "--config", target],
            stdin=out.stdout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as into,
    ):
        codes = into.wait(), out.wait()
    if codes != (0, 0):
        raise SystemExit(f"the pipeline ended with {codes}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
