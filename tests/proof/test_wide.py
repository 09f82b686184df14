"""The wider worlds, by kind and seed; a failing one is run again by `WIDE=<seed> make prove`."""

from __future__ import annotations

import pytest

from tests.proof.kinds import KINDS, draw_plan
from tests.proof.oracles import Falsified
from tests.proof.prove import part_of, run
from tests.proof.wide import WideWorld

TOGETHER, MANY = 1, 2
SHORT = ("cursor retention", "cursor settings", "hourly plain", "hourly zone", "several")
SOME = [kind if kind in SHORT else pytest.param(kind, marks=pytest.mark.full) for kind in KINDS]
NUMBERS = [0, *(pytest.param(number, marks=pytest.mark.full) for number in range(1, MANY))]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("kind", SOME)
def test_the_oracles_hold_in_wider_worlds(kind: str, number: int) -> None:
    together = TOGETHER * len(KINDS)
    seeds = range(number * together, (number + 1) * together)
    assert not [str(found) for found in run(seeds, wide=True, kind=kind) if isinstance(found, Falsified)]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(0, len(KINDS), 3))
def test_a_wider_world_is_made_of_its_seed_alone(seed: int) -> None:
    told = []
    for _ in range(2):
        world = WideWorld(seed, draw_plan)
        try:
            world.run()
        except Falsified as found:
            told.append(str(found))
        told.append(f"{world.counts} {world.clock.now_ms} {world.ask('SELECT * FROM windows')}")
    half = len(told) // 2
    assert told[:half] == told[half:]


def test_parts_are_the_whole() -> None:
    seeds = range(100, 1_103)
    assert [seed for number in range(1, 8) for seed in part_of(seeds, f"{number}/7")] == list(seeds)
