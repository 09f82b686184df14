"""Runs worlds by the thousand: `make prove`; some of them: `make prove PART=3/20`; one again: `WORLD=12345 make prove`.

Plain worlds are those of `world.py`; wider ones (`--wide`, `WIDE=12345 make prove`) have hourly files, retention,
changed settings, lost commits, false clocks and several sources (`kinds.py`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.proof.kinds import draw_plan, kind_of
from tests.proof.oracles import Falsified
from tests.proof.wide import T0, WideWorld
from tests.proof.world import World

RECORD = Path(__file__).parents[2] / "docs" / "proof-runs.jsonl"


def run(seeds: range, *, wide: bool = False, kind: str = "") -> Iterator[World | Falsified]:
    """Each world in its turn: the world itself when the oracles held in it, else what they say."""
    collecting = gc.isenabled()
    gc.disable()  # an eighth of the time would go to looking for cycles in SQL expressions
    try:
        for seed in seeds:
            if kind and kind_of(seed) != kind:
                continue
            try:
                yield (WideWorld(seed, draw_plan) if wide else World(seed)).run()
            except Falsified as found:
                yield found
            if seed % 10 == 0:
                gc.collect()
    finally:
        if collecting:
            gc.enable()


def part_of(seeds: range, part: str) -> range:
    """The seeds of part "3/20" of a run."""
    number, count = (int(text) for text in part.split("/"))
    if not 1 <= number <= count:
        raise ValueError(part)
    cuts = [seeds.start + len(seeds) * at // count for at in (number - 1, number)]
    return range(*cuts)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("--worlds", type=int, default=20_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--part", default="1/1", help="only this part of them, such as 3/20")
    parser.add_argument("--wide", action="store_true", help="the wider worlds of kinds.py")
    parser.add_argument("--kind", default="", help='only wider worlds of this kind, such as "hourly zone"')
    parser.add_argument("--world", type=int, help="only this seed, and tell what it is made of")
    parser.add_argument("--kills", type=int, help="no worlds: so many kills a database and source, on real databases")
    parser.add_argument("--points", type=int, help="no worlds: a process that ends at each point of a pull (1)")
    parser.add_argument("--examples", type=int, help="no worlds: so many hostile examples on each database")
    parser.add_argument(
        "--summary", action="store_true", help=f"no worlds: what is on record in {RECORD.name}, as a table"
    )
    parser.add_argument("--record", action="store_true", help=f"append the figures to {RECORD.name}")
    chosen = parser.parse_args(arguments)
    if chosen.summary:
        print(summary(RECORD.read_text(encoding="utf-8")))  # noqa: T201 - for docs/proof.md
        return 0
    if {chosen.kills, chosen.points, chosen.examples} != {None}:
        return max(
            _tests("kills", chosen.kills, chosen.part, keep=chosen.record),
            _tests("points", chosen.points, chosen.part, keep=chosen.record),
            _tests("examples", chosen.examples, chosen.part, keep=chosen.record),
        )
    seeds = part_of(range(chosen.first, chosen.first + chosen.worlds), chosen.part)
    if chosen.world is not None:
        return _one(chosen.world, wide=chosen.wide)
    began = time.monotonic()
    totals, falsified, count = _all(seeds, wide=chosen.wide, kind=chosen.kind)
    if chosen.record:
        figures = {"kind": chosen.kind or ("wide" if chosen.wide else "plain"), "first": seeds.start, "count": count}
        record(figures | {"falsified": falsified, "totals": totals, "seconds": _since(began)})
    return 1 if falsified else 0


def _all(seeds: range, *, wide: bool, kind: str) -> tuple[dict[str, int], int, int]:
    totals: Counter[str] = Counter()
    began, falsified, number = time.monotonic(), 0, 0
    for number, found in enumerate(run(seeds, wide=wide, kind=kind), 1):
        if isinstance(found, Falsified):
            falsified += 1
            totals[f"FALSIFIED {found.oracle}"] += 1
            print(f"world {found.seed}: {found}", flush=True)  # noqa: T201 - for who reads the run
        else:
            totals.update(found.counts)
        if number % 500 == 0:
            _tell(number, began, totals)
    _tell(number, began, totals)
    return dict(totals), falsified, number


def _tell(number: int, began: float, totals: Counter[str]) -> None:
    told = ", ".join(f"{count} {name}" for name, count in totals.items())
    print(f"{number} worlds in {time.monotonic() - began:.0f} s: {told}", flush=True)  # noqa: T201 - for who reads the run


_TESTS = {
    "kills": (
        "ARCHIVER_PROVE_KILLS",
        (
            *("tests/flow/test_kill.py", "tests/flow/test_processes.py", "tests/callbacks/test_receiver.py"),
            *("tests/page/test_kill.py", "tests/evidence/test_workers.py"),
        ),
    ),
    "points": ("ARCHIVER_PROVE_POINTS", ("tests/proof/test_crashes.py",)),
    "examples": ("ARCHIVER_HOSTILE_EXAMPLES", ("tests/hostile", "-k", "examples_on_each")),
}


def _tests(name: str, count: int | None, part: str, *, keep: bool) -> int:
    """The tests that take a number, with a part's share of it; 0 where all of them pass."""
    if count is None:
        return 0
    share = len(part_of(range(count), part))
    variable, chosen = _TESTS[name]
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--timeout", "0", *chosen]
    failed = subprocess.run(
        command, env=os.environ | {variable: str(share), "ARCHIVER_PROVE_PART": part}, check=False
    ).returncode
    if keep:
        record({"kind": name, "first": part, "count": share, "falsified": failed, "seconds": _since(began)})
    return failed


def _since(began: float) -> int:
    return round(time.monotonic() - began)


def _one(seed: int, *, wide: bool) -> int:
    """One world again: what it is made of, how it ended, and what its windows are then."""
    world = WideWorld(seed, draw_plan) if wide else World(seed)
    print(world.wide.told() if isinstance(world, WideWorld) else world.plan)  # noqa: T201 - for who reads the run
    try:
        world.run()
    except Falsified as found:
        print(found)  # noqa: T201 - for who reads the run
        return 1
    finally:
        print(world.counts)  # noqa: T201 - for who reads the run
        if wide:
            for row in world.ask(_WINDOWS):
                print(*row)  # noqa: T201 - for who reads the run
    return 0


_HOURS = ", ".join(f"round(({name} - {T0}) / 3600e3, 3)" for name in ("lo_ms", "hi_ms", "walk0_ms"))
_WINDOWS = f"SELECT app_id, source, pass, cause, {_HOURS}, lag_ms / 3600e3, state, fence, received, outside, reason"
_WINDOWS += " FROM windows ORDER BY app_id, source, pass, lo_ms"


def summary(text: str) -> str:
    """The recorded runs as a table in Markdown: one row for each commit and kind, in the order they were run."""
    sums: dict[tuple[str, str, str], Counter[str]] = {}
    for line in map(json.loads, text.splitlines()):
        run_of = sums.setdefault((line["date"], line["commit"], line["kind"]), Counter())
        run_of.update({"count": line["count"], "falsified": line["falsified"], "seconds": line["seconds"]})
        run_of.update({name: count for name, count in line.get("totals", {}).items() if name in ("pulls", "requests")})
    rows = [
        f"| {date} | `{commit}` | {kind} | {run_of['count']:,} | {run_of['falsified']} | {run_of['pulls']:,} |"
        f" {run_of['requests']:,} | {run_of['seconds']:,} |"
        for (date, commit, kind), run_of in sums.items()
    ]
    return "\n".join(
        (
            "| day | commit | kind | count | falsified | pulls | requests | seconds |",
            "|---|---|---|---:|---:|---:|---:|---:|",
            *rows,
        )
    )


def record(figures: dict[str, object]) -> None:
    """Append a run's figures to what is on record, with the day and the commit."""
    git = shutil.which("git") or "git"
    asked = subprocess.run([git, "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    line = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": asked.stdout.strip(), **figures}
    with RECORD.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
