"""Steps that arrive while others are stored: in order, all that are there, an error behind what came before it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from threading import Event

import pytest

from archiver.model import Page, Reject, Step
from archiver.pull.prefetch import batches
from tests.fixtures.service import wait_until


def step(number: int, *, size: int = 10, end: str = "") -> Step:
    return Step(Page((), (Reject(b"x" * size, "made up", number),), None, str(number)), None, True, end)


def numbers(batch: list[Step]) -> list[int]:
    return [int(each.page.sha256) for each in batch]


def test_what_has_arrived_is_taken_together() -> None:
    all_there = Event()

    def walk() -> Iterator[Step]:
        yield from (step(0), step(1), step(2))
        all_there.set()
        yield step(3, end="exhausted")

    with batches(walk(), 8) as arriving:
        assert all_there.wait(60)
        taken = [numbers(batch) for batch in arriving]
    assert [number for batch in taken for number in batch] == [0, 1, 2, 3]
    assert taken[0][:3] == [0, 1, 2]


def test_nothing_is_fetched_behind_the_end() -> None:
    def walk() -> Iterator[Step]:
        yield step(0, end="by_order")
        raise AssertionError("asked for more")

    with batches(walk(), 8) as arriving:
        assert [numbers(batch) for batch in arriving] == [[0]]


def test_an_error_comes_behind_what_came_before_it() -> None:
    def walk() -> Iterator[Step]:
        yield step(0)
        raise OSError("broken")

    taken: list[list[int]] = []
    with batches(walk(), 8) as arriving, pytest.raises(OSError, match="broken"):
        taken.extend(numbers(batch) for batch in arriving)
    assert taken == [[0]]


@pytest.mark.parametrize(("size", "allowed"), [(10, 8), (10, 6), (3 * 2**20, 8), (5 * 2**20, 8)])
def test_no_more_is_fetched_than_may_lie_around(size: int, allowed: int) -> None:
    fetched: list[int] = []
    closed = Event()

    def walk() -> Iterator[Step]:
        try:
            for number in range(20):
                fetched.append(number)
                yield step(number, size=size)
        finally:
            closed.set()

    with batches(walk(), allowed) as arriving:
        first = next(arriving)
        most = allowed if size == 10 else len(first) + 1  # with those that were taken; one large page may always wait
        wait_until(lambda: len(fetched) >= most)
    assert closed.is_set(), "the walk has ended with the block"
    assert len(first) <= 4
    assert len(fetched) == most
    assert "fetch" not in [thread.name for thread in threading.enumerate()]
