"""`make mutants`: what kills each mutant, as the table of docs/proof.md. MUTANTS: how many worlds are tried."""

from __future__ import annotations

import gc
import os

from tests.proof.mutants import MUTANTS, Databases, Mutant, killed_by_scenario, killed_by_world

WORLDS = int(os.environ.get("MUTANTS") or 300)
OF_ITS_KIND, TOLD = 10, 3


def _row(mutant: Mutant, databases: Databases) -> tuple[str, bool]:
    plain = []
    for seed in range(WORLDS):
        if seed % 20 == 0:
            gc.collect()
        if found := killed_by_world(mutant, seed):
            plain.append(f"{seed} ({found})")
        if len(plain) == TOLD:
            break
    own = [killed_by_world(mutant, seed, mutant.plan) for seed in range(OF_ITS_KIND)] if mutant.plan else []
    oracles = ", ".join(sorted(set(filter(None, own))))
    kind = f"{sum(map(bool, own))} of {OF_ITS_KIND}: {oracles}" if own else ""
    scene = mutant.scenario.__name__ if mutant.scenario and killed_by_scenario(mutant, databases) else ""
    cells = (mutant.name, ", ".join(plain) or f"none of {WORLDS}", kind, scene)
    return f"| {' | '.join(cells)} |", bool(plain or oracles or scene)


def test_table_of_mutants(databases: Databases) -> None:
    print("\n| mutant | worlds of `make prove` | worlds of its own kind | scenario |\n|---|---|---|---|")  # noqa: T201
    gc.disable()
    alive = []
    for mutant in MUTANTS:
        row, killed = _row(mutant, databases)
        print(row, flush=True)  # noqa: T201
        alive += [] if killed else [mutant.name]
    gc.enable()
    assert not alive
