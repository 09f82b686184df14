"""Each mutant of the protocol is noticed: by worlds of its own kind, by a scenario on real databases, or by both."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tests.proof.mutants import MUTANTS, Databases, Mutant, killed_by_scenario, killed_by_world
from tests.proof.world import World

TRIES = 25


@pytest.mark.full
@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.plan], ids=lambda mutant: mutant.name)
def test_worlds_kill_the_mutant(mutant: Mutant) -> None:
    assert any(killed_by_world(mutant, seed, mutant.plan) for seed in range(TRIES)), "the mutant lives"


@pytest.mark.full
@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.plan], ids=lambda mutant: mutant.name)
def test_the_product_lives_in_the_worlds_that_kill_mutants(mutant: Mutant) -> None:
    for seed in range(3):
        World(seed, deepcopy(mutant.plan)).run()


@pytest.mark.full
@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.scenario], ids=lambda mutant: mutant.name)
def test_a_scenario_kills_the_mutant(mutant: Mutant, databases: Databases) -> None:
    assert killed_by_scenario(mutant, databases), "the mutant lives"
