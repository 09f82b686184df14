"""Each mutant of the protocol is noticed: by worlds of its own kind, by a scenario on real databases, or by both."""

from __future__ import annotations

from copy import deepcopy

import pytest

from archiver.store import windows
from tests.proof.mutants import (
    MUTANTS,
    Databases,
    Mutant,
    Patch,
    Unfit,
    killed_by_scenario,
    killed_by_wide_world,
    killed_by_world,
    wide_world,
)
from tests.proof.wide_mutants import WIDE_MUTANTS
from tests.proof.world import World

TRIES = 25
OF_KINDS = [each for each in WIDE_MUTANTS if each.kind]


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
@pytest.mark.parametrize("mutant", OF_KINDS, ids=lambda mutant: mutant.name)
def test_wider_worlds_kill_the_mutant(mutant: Mutant) -> None:
    seeds = dict.fromkeys((*mutant.seeds, *range(TRIES)))
    assert any(killed_by_wide_world(mutant, seed) for seed in seeds), "the mutant lives"


@pytest.mark.full
@pytest.mark.parametrize("kind", sorted({each.kind for each in OF_KINDS}))
def test_the_product_lives_in_the_wider_worlds_that_kill_mutants(kind: str) -> None:
    for seed in sorted({seed for each in OF_KINDS if each.kind == kind for seed in each.seeds})[:2]:
        wide_world(kind, seed).run()


@pytest.mark.full
@pytest.mark.parametrize(
    "mutant", [each for each in (*MUTANTS, *WIDE_MUTANTS) if each.scenario], ids=lambda mutant: mutant.name
)
def test_a_scenario_kills_the_mutant(mutant: Mutant, databases: Databases) -> None:
    assert killed_by_scenario(mutant, databases), "the mutant lives"


def _misfit(patch: Patch) -> None:
    patch.setattr(windows, "hold", lambda: None)  # as if the product's own took other arguments by now


@pytest.mark.full
def test_a_mutant_that_dies_by_its_own_hand_is_no_kill() -> None:
    mutant = Mutant("misfit", _misfit, kind="hourly plain")
    with pytest.raises(Unfit):
        killed_by_world(mutant, 0, MUTANTS[0].plan)
    with pytest.raises(Unfit):
        killed_by_wide_world(mutant, 0)
    assert killed_by_wide_world(mutant._replace(dies_by=(TypeError,)), 0)
