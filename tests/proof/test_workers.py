"""Several workers of one process: what a long first walk leaves is walked by all of them."""

from __future__ import annotations

from threading import Barrier

from archiver.timeline import PAGES_PER_WALK
from tests.fixtures.databases import Database
from tests.proof.scene import Scene


def test_workers_without_a_window_wait_for_what_the_first_walk_leaves(database: Database) -> None:
    """One window is planned, so one worker walks it; its rest is cut, and a second worker asks at the same time."""
    scene = Scene(database, [10_000 + 7 * number for number in range(600)], workers=2)
    both = Barrier(2)

    def within_request() -> None:
        if scene.provider.asked in (PAGES_PER_WALK + 4, PAGES_PER_WALK + 5):
            both.wait(60)  # nobody goes on alone

    scene.provider.meanwhile = within_request
    with scene.surroundings():
        scene.complete()
    assert not both.broken
