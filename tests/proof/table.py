"""`make mutants`: what kills each mutant, as the table of docs/proof.md. MUTANTS: how many worlds are tried."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable

from tests.proof.mutants import (
    MUTANTS,
    Databases,
    Mutant,
    killed_by_scenario,
    killed_by_wide_world,
    killed_by_world,
    wide_world,
)
from tests.proof.oracles import Falsified
from tests.proof.wide_mutants import WIDE_MUTANTS

WORLDS = int(os.environ.get("MUTANTS") or 300)
OF_ITS_KIND, OF_ITS_WIDER_KIND, TOLD = 10, 20, 3


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


def _wide_row(mutant: Mutant, databases: Databases) -> tuple[str, bool]:
    """Worlds in which the product itself falls count for nothing."""
    tried, kills = 0, dict[int, str]()
    for seed in range(OF_ITS_WIDER_KIND) if mutant.kind else ():
        gc.collect()
        found = killed_by_wide_world(mutant, seed)
        if found and not _lives(mutant.kind, seed):
            continue
        tried += 1
        kills |= {seed: found} if found else {}
    scene = mutant.scenario.__name__ if mutant.scenario and killed_by_scenario(mutant, databases) else ""
    seeds = ", ".join(map(str, list(kills)[:TOLD]))
    kind = f"{len(kills)} of {tried}: {seeds} ({', '.join(sorted(set(kills.values())))})" if kills else ""
    killed = bool(kills or scene or any(killed_by_wide_world(mutant, seed) for seed in mutant.seeds))
    return (
        f"| {mutant.name} | {mutant.kind} | {kind or (f'seeds {mutant.seeds}' if mutant.kind else '')} | {scene} |",
        killed,
    )


def _lives(kind: str, seed: int) -> bool:
    try:
        wide_world(kind, seed).run()
    except Falsified:
        return False
    return True


def _print_table(columns: str, rows: Iterable[tuple[str, str, bool]]) -> None:
    """Print a row as soon as it is known; fails where a mutant lives."""
    print(f"\n| mutant | {columns} | scenario |\n|{'---|' * (columns.count('|') + 3)}")  # noqa: T201
    alive = []
    gc.disable()
    for name, row, killed in rows:
        print(row, flush=True)  # noqa: T201
        alive += [] if killed else [name]
    gc.enable()
    assert not alive


def test_table_of_wider_mutants(databases: Databases) -> None:
    rows = ((mutant.name, *_wide_row(mutant, databases)) for mutant in WIDE_MUTANTS)
    _print_table("kind of wider worlds | killed in, first seeds (oracles)", rows)


def test_table_of_mutants(databases: Databases) -> None:
    rows = ((mutant.name, *_row(mutant, databases)) for mutant in MUTANTS)
    _print_table("worlds of `make prove` | worlds of its own kind", rows)
