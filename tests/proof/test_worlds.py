"""The pull protocol in simulated worlds, by their seeds; a failing one is run again by `WORLD=<seed> make prove`."""

from __future__ import annotations

import pytest

from archiver.store.seals import SealJournal
from tests.proof.oracles import Falsified
from tests.proof.prove import run
from tests.proof.sealed import EVERY
from tests.proof.world import World

TOGETHER = 10
SOME, MANY = range(0, 10, TOGETHER), range(10, 120, TOGETHER)


@pytest.mark.parametrize("first", [*SOME, *(pytest.param(first, marks=pytest.mark.full) for first in MANY)])
def test_the_oracles_hold_in_worlds(first: int) -> None:
    falsified = [str(found) for found in run(range(first, first + TOGETHER)) if isinstance(found, Falsified)]
    assert not falsified


def test_a_world_is_made_of_its_seed_alone() -> None:
    once, again = World(7).run(), World(7).run()
    assert once.counts == again.counts
    assert once.clock.now_ms == again.clock.now_ms
    assert once.oracles.mark == again.oracles.mark


@pytest.mark.parametrize("forgotten", ["add_page", "add_windows"])
def test_a_page_or_a_window_without_its_entry_falsifies_a_sealed_world(
    forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SealJournal, forgotten, lambda *_: None)
    assert any(isinstance(found, Falsified) and found.oracle == "O17" for found in run(range(0, 4 * EVERY, EVERY)))
