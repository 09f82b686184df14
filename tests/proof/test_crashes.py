"""A process dies before and after each statement and commit of a pull, on both databases: nothing lost, nothing twice.

`make test` tries some of the points, the full run a sixth of them, and `make prove` all.
"""

from __future__ import annotations

import os

import pytest

from tests.proof import scenarios
from tests.proof.mutants import NewDatabase

SHARES = 12
TRIED = range(0, SHARES, 1 if os.environ.get("ARCHIVER_PROVE_POINTS") else 6)


@pytest.fixture
def points(new_database: NewDatabase) -> list[str]:
    with new_database() as database:
        return scenarios.names_of_points(database)


def test_the_points_lie_around_every_statement_and_commit(points: list[str]) -> None:
    assert points.count("before COMMIT") >= 8
    assert points.count("after COMMIT") >= 8
    for name in ("UPDATE windows", "appending to pages", "UPDATE watermarks", "appending to messages"):
        assert f"before {name}" in points
        assert f"after {name}" in points
    assert len(points) > 150


@pytest.mark.parametrize("share", TRIED)
@pytest.mark.full
def test_an_exception_at_any_point_costs_nothing(new_database: NewDatabase, points: list[str], share: int) -> None:
    for at in range(share, len(points), SHARES):
        with new_database() as database:
            scenarios.crash_at(database, at)


@pytest.mark.full
def test_an_exception_at_a_commit_costs_nothing(new_database: NewDatabase, points: list[str]) -> None:
    for at in [at for at, name in enumerate(points) if name == "after COMMIT"]:
        with new_database() as database:
            scenarios.crash_at(database, at)


@pytest.mark.parametrize("share", TRIED)
@pytest.mark.full
def test_a_process_that_ends_at_any_point_costs_nothing(
    new_database: NewDatabase, points: list[str], share: int
) -> None:
    for at in range(share, len(points), SHARES):
        with new_database() as database:
            scenarios.exit_at(database, at)


@pytest.mark.full
def test_a_process_that_ends_costs_nothing(new_database: NewDatabase, points: list[str]) -> None:
    for at in range(0, len(points), 17):
        with new_database() as database:
            scenarios.exit_at(database, at)
