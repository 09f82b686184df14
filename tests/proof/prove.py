"""Runs worlds by the thousand: `make prove WORLDS=20000`; one again, as it was: `WORLD=12345 make prove`."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.proof.oracles import Falsified
from tests.proof.world import World


def run(seeds: range) -> Iterator[World | Falsified]:
    """Each world in its turn: the world itself when the oracles held in it, else what they say."""
    collecting = gc.isenabled()
    gc.disable()  # an eighth of the time would go to looking for cycles in SQL expressions
    try:
        for seed in seeds:
            try:
                yield World(seed).run()
            except Falsified as found:
                yield found
            if seed % 10 == 0:
                gc.collect()
    finally:
        if collecting:
            gc.enable()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("--worlds", type=int, default=20_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--world", type=int, help="only this seed, and tell what it is made of")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.first, chosen.first + chosen.worlds)
    if chosen.world is not None:
        seeds = range(chosen.world, chosen.world + 1)
        print(World(chosen.world).plan)  # noqa: T201 - for who reads the run
    totals: Counter[str] = Counter()
    began = time.monotonic()
    for number, found in enumerate(run(seeds), 1):
        if isinstance(found, Falsified):
            totals[f"FALSIFIED {found.oracle}"] += 1
            print(f"world {found.seed}: {found}", flush=True)  # noqa: T201 - for who reads the run
        else:
            totals.update(found.counts)
        if number % 500 == 0 or number == len(seeds):
            told = ", ".join(f"{count} {name}" for name, count in totals.items())
            print(f"{number} worlds in {time.monotonic() - began:.0f} s: {told}", flush=True)  # noqa: T201 - for who reads the run
    return 1 if any(name.startswith("FALSIFIED") for name in totals) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
