"""`make bench`: the archiver, its bounds and the reference, alternating, on both databases."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from bench.ground import Ground, Run, Served, serve
from tests.postgres import own_server

SUBJECTS = {"postgresql": ("archiver", "copy", "merge", "reference"), "sqlite": ("archiver", "copy", "reference")}
Runs = dict[str, list[Run]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--only", choices=["subjects", "latency", "again", "growth", "evidence"], default=None)
    parser.add_argument("--save", type=Path, help="keep every run's figures in this file, as JSON")
    told = parser.parse_args()
    kept: dict[str, Runs] = {}
    with (
        tempfile.TemporaryDirectory(prefix="archiver-bench-", dir="/tmp") as place,
        own_server(durable=True) as postgres,
    ):
        ground = Ground(Path(place), postgres)
        if told.only in (None, "subjects"):
            with serve(told.messages) as server:
                for kind in SUBJECTS:
                    kept[kind] = compare(ground, kind, server, told.rounds)
                    _tell_subjects(kind, kept[kind], told.messages)
        if told.only in (None, "again"):
            with serve(told.messages) as server:
                kept["again"] = again(ground, server, told.rounds)
        if told.only in (None, "latency"):
            kept["latency"] = latency(ground, told.rounds)
        if told.only in (None, "evidence"):
            kept["evidence"] = evidence(ground, told.messages, told.rounds)
        if told.only == "growth":
            kept["growth"] = growth(ground)
    if told.save:
        told.save.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def compare(ground: Ground, kind: str, server: Served, rounds: int) -> Runs:
    """All subjects of one database, one after the other, again and again."""
    runs: Runs = {subject: [] for subject in SUBJECTS[kind]}
    for _ in range(rounds):
        for subject, found in runs.items():
            with ground.database(kind, migrated=subject != "reference") as url:
                found.append(ground.run(subject, url, server))
    return runs


def again(ground: Ground, server: Served, rounds: int) -> Runs:
    """A pull over messages that are all known already, beside their first pull."""
    runs: Runs = {"first": [], "again": []}
    for _ in range(rounds):
        with ground.database("postgresql") as url:
            runs["first"].append(ground.run("archiver", url, server))
            runs["again"].append(ground.run("audit", url, server))
    _tell("pulling known messages again / first pull", _ratio(runs["again"], runs["first"]))
    return runs


def latency(ground: Ground, rounds: int) -> Runs:
    """What fetching ahead and several workers bring where each page takes its time."""
    runs: Runs = {name: [] for name in ("ahead", "behind", "workers 1", "workers 8")}
    with serve(100_000, 20) as near, serve(100_000, 100) as far:
        for _ in range(rounds):
            for name, server, ways in (
                ("ahead", near, {}),
                ("behind", near, {"no_ahead": True}),
                ("workers 1", far, {}),
                ("workers 8", far, {"workers": 8}),
            ):
                with ground.database("postgresql") as url:
                    runs[name].append(ground.run("archiver", url, server, **ways))
    _tell("fetching ahead at 20 ms a page", _ratio(runs["ahead"], runs["behind"]))
    _tell("8 workers against 1 at 100 ms a page", _ratio(runs["workers 8"], runs["workers 1"]))
    return runs


def evidence(ground: Ground, messages: int, rounds: int) -> Runs:
    """What the ledger costs a pull, by pairs of runs; and how fast all of it is verified."""
    runs: Runs = {}
    for kind in SUBJECTS:
        off, on, seals, columns = (runs.setdefault(f"{kind} {name}", []) for name in ("off", "on", "seals", "columns"))
        more, filled = list[float](), list[float]()
        with serve(messages) as server:
            for _ in range(rounds):
                with ground.database(kind) as url:
                    off.append(ground.run("archiver", url, server))
                    without = ground.size(url)
                with ground.database(kind) as url:
                    empty = ground.evidence_size(url) or 0
                    on.append(ground.run("sealed", url, server))
                    taken = ground.evidence_size(url) or ground.size(url) - without
                    more.append(taken / messages)
                    filled.append((taken - empty) / messages)
                    seals.append(ground.run("verify", url, server, no_ahead=True))
                    columns.append(ground.run("verify", url, server))
        _tell(f"{kind}: rate with evidence / without", _ratio(on, off))
        _tell(f"{kind}: client CPU with evidence / without", _ratio(on, off, lambda run: run["cpu_s"]))
        _tell(f"{kind}: bytes a message more", more)
        _tell(f"{kind}: the same without what empty tables take", filled)
        for name, verified in (("seals alone", seals), ("with columns", columns)):
            above = max((run["peak_kib"] - run["idle_kib"]) / 1024 for run in verified)
            rate = median(run["rate"] for run in verified)
            cpu_rate = median(messages / (run["cpu_s"] + run["server_cpu_s"]) for run in verified)
            print(f"  {kind}: verified {name}, {rate:,.0f}/s, {cpu_rate:,.0f}/s of CPU, {above:.0f} MiB above idle")
    return runs


def growth(ground: Ground) -> Runs:
    """What becomes of rate, memory and size as the archive grows; takes its time, and is run once."""
    runs: Runs = {}
    for kind, messages in (("postgresql", 100_000), ("postgresql", 3_000_000), ("sqlite", 300_000)):
        with serve(messages) as server, ground.database(kind) as url:
            empty = ground.size(url)
            found = ground.run("archiver", url, server)
            tenths = found["tenths"]
            found["bytes"] = (ground.size(url) - empty) / messages
            found["status_s"] = ground.run("status", url, server)["seconds"]
            runs[f"{kind} {messages}"] = [found]
        print(  # last of ten tenths: what is slower at the end than at the beginning
            f"{kind}, {messages:,} messages: {found['rate']:,.0f}/s, last tenth / first {tenths[0] / tenths[-1]:.2f}, "
            f"{(found['peak_kib'] - found['idle_kib']) / 1024:.1f} MiB above idle, "
            f"{found['bytes']:.0f} bytes a message, status {found['status_s'] * 1000:.0f} ms",
            flush=True,
        )
    return runs


def _tell_subjects(kind: str, runs: Runs, messages: int) -> None:
    print(f"\n{kind}, {messages:,} messages, medians")
    print(f"{'':12}{'messages/s':>12}{'client CPU':>12}{'server CPU':>12}{'memory':>10}   s a million, MiB above idle")
    for subject, found in runs.items():
        million = 1e6 / messages
        client, server = (median(run[name] for run in found) * million for name in ("cpu_s", "server_cpu_s"))
        memory = median(run["peak_kib"] - run["idle_kib"] for run in found) / 1024
        print(f"{subject:12}{median(run['rate'] for run in found):12,.0f}{client:12.1f}{server:12.1f}{memory:10.1f}")
    for other in [subject for subject in runs if subject != "archiver"]:
        _tell(f"rate / {other}", _ratio(runs["archiver"], runs[other]))
    _tell("client CPU / reference's", _ratio(runs["archiver"], runs["reference"], lambda run: run["cpu_s"]))


def _ratio(
    ours: Sequence[Run], theirs: Sequence[Run], of: Callable[[Run], float] = lambda run: run["rate"]
) -> list[float]:
    return [of(mine) / of(other) for mine, other in zip(ours, theirs, strict=True)]


def _tell(what: str, ratios: list[float]) -> None:
    print(f"  {what:44}{median(ratios):8.2f}   ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
