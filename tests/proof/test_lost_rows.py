"""Rows that a database loses between two transactions of a pull: it ends well or with 75, and the next one heals.

Whole older states are the scenes' with a real server; here it is one row after another, on both databases.
"""

from __future__ import annotations

import pytest

from tests.fixtures.databases import Database
from tests.proof.scene import Scene

PAGES = [10_000 + 7 * number for number in range(60)]
OF_WINDOWS = ("late_arrivals", "attachments", "message_bodies", "messages", "quarantine", "pages", "windows")
ALL = (*OF_WINDOWS, "watermarks", "sources", "runs", "run_counters", "passes", "apps")


def lose(scene: Scene, request: int, tables: tuple[str, ...]) -> None:
    def within_request() -> None:
        if scene.provider.asked == request:
            for table in tables:
                scene.database.alter(f"DELETE FROM {table}")

    scene.provider.meanwhile = within_request


@pytest.mark.parametrize("request_number", [1, 2, 4, 7])
@pytest.mark.parametrize("tables", [OF_WINDOWS, ALL], ids=["the windows", "all that it ever wrote"])
def test_a_pull_ends_with_75_and_the_next_one_makes_it_whole(
    database: Database, tables: tuple[str, ...], request_number: int
) -> None:
    scene = Scene(database, PAGES)
    with scene.surroundings():
        lose(scene, request_number, tables)
        outcome = scene.pull()
        assert outcome is not None
        assert outcome.exit_code in (0, 75)
        scene.provider.meanwhile = lambda: None
        scene.clock.now_ms += 180_000
        scene.complete()


@pytest.mark.parametrize("request_number", [1, 3, 7])
def test_the_row_of_a_run_is_written_anew(database: Database, request_number: int) -> None:
    scene = Scene(database, PAGES)
    with scene.surroundings():
        lose(scene, request_number, ("runs",))
        outcome = scene.pull()
        assert outcome is not None
        assert outcome.exit_code == 0
    told = database.rows("SELECT outcome, pages, new, received FROM runs WHERE ended_at >= started_at")
    assert told == [("done", outcome.pages, outcome.tally.new, outcome.tally.received)]
    assert database.rows("SELECT count FROM run_counters WHERE kind = 'runs'") == [(1,)]


def test_a_number_that_the_database_gave_out_again_is_another_run_s(database: Database) -> None:
    """The row was lost, and somebody else's got its number."""
    scene = Scene(database, PAGES)
    other = "UPDATE runs SET owner = 'somebody else', pages = 7"

    def within_request() -> None:
        if scene.provider.asked == 3:
            database.run(other)

    scene.provider.meanwhile = within_request
    with scene.surroundings():
        outcome = scene.pull()
        assert outcome is not None
        assert outcome.exit_code == 0
    rows = "SELECT pages, ended_at IS NULL FROM runs ORDER BY id"
    assert [tuple(map(int, row)) for row in database.rows(rows)] == [(7, 1), (outcome.pages, 0)]
