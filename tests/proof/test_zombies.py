"""A process that was paused for longer than its lease: its page, its close and its split are refused by the fence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archiver.pull.walk import WindowWalker
from archiver.sources.easemob import cursor
from tests.fixtures.databases import Database
from tests.proof import scenarios
from tests.proof.mutants import NewDatabase


@pytest.mark.parametrize("request_number", [2, 3, 4])
def test_a_page_that_arrives_after_the_lease_is_not_stored(database: Database, request_number: int) -> None:
    scenarios.pause_at_request(database, request_number)
    first = "SELECT id FROM windows ORDER BY lo_ms LIMIT 1"
    fences = database.rows(f"SELECT fence, count(*) FROM pages WHERE window_id = ({first}) GROUP BY fence ORDER BY 1")
    before_the_pause = request_number - 2  # the first request asks for the time
    assert fences == [(1, before_the_pause), (2, fences[-1][1])][before_the_pause == 0 :]


@pytest.mark.full
@pytest.mark.parametrize("request_number", [2, 3, 4])
def test_a_page_fetched_ahead_is_refused_as_well(database: Database, request_number: int) -> None:
    scenarios.pause_at_request(database, request_number, ahead=True)


@pytest.mark.parametrize("request_number", [3, pytest.param(4, marks=pytest.mark.full)])
def test_a_split_after_the_lease_is_refused(
    database: Database, request_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursor, "PAGES_PER_WALK", 2)
    scenarios.pause_at_request(database, request_number)


@pytest.mark.parametrize("heir_dies", [False, True])
@pytest.mark.parametrize("number", [5, pytest.param(6, marks=pytest.mark.full)])
def test_a_pause_before_a_transaction_does_no_harm(database: Database, number: int, heir_dies: bool) -> None:
    assert scenarios.pause_at_transaction(database, number, heir_dies=heir_dies)


@pytest.mark.full
@pytest.mark.parametrize("heir_dies", [False, True])
def test_a_pause_before_any_transaction_does_no_harm(new_database: NewDatabase, heir_dies: bool) -> None:
    number, paused = 1, True
    while paused:
        with new_database() as database:
            paused = scenarios.pause_at_transaction(database, number, heir_dies=heir_dies)
        number += 1
    assert number > 8


@pytest.mark.parametrize("act", [scenarios.walk, scenarios.give_back])
def test_a_zombie_is_refused_and_changes_nothing(database: Database, act: Callable[[WindowWalker], object]) -> None:
    scenarios.refused(database, act)
