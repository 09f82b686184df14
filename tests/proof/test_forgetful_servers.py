"""A real PostgreSQL that loses its last commits, falls silent, or dies, in the middle of a walk; then it is back.

What must hold is what always does: nothing is claimed that is not there, and the next pull makes it whole by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Timer

import pytest

from archiver.pull.run import Outcome
from archiver.store.engine import LIMITS, open_store
from archiver.store.postgres import ServerLimits
from tests.fixtures.databases import Database, own_archive
from tests.postgres import Postgres
from tests.proof.scene import Scene

PAGES = [10_000 + 7 * number for number in range(60)]
"""Six pages in one walk; the first request of all asks for the time."""
BRIEF = ServerLimits(connect_s=2, answer_s=2.0, rest_s=1.0)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def lazy() -> Iterator[tuple[Postgres, Database]]:
    """Commits that do not wait for the disk are lost when it is killed: its own settings say so."""
    with own_archive(lazy=True) as found:
        yield found


def at_requests(scene: Scene, acts: dict[int, Callable[[], object]]) -> None:
    def within_request() -> None:
        if (act := acts.pop(scene.provider.asked, None)) is not None:
            act()

    scene.provider.meanwhile = within_request


def pull(scene: Scene, limits: ServerLimits = LIMITS) -> Outcome:
    outcome = scene.pull(open_store(scene.url, scene.clock.database_ms, limits=limits))
    assert outcome is not None, "it ends in its own way"
    return outcome


def heal(scene: Scene) -> None:
    scene.provider.meanwhile = lambda: None
    scene.clock.now_ms += 180_000  # leases that nobody gave back run out
    scene.complete()


@pytest.mark.full
def test_a_crash_loses_no_commit_that_a_walk_goes_on_from(lazy: tuple[Postgres, Database]) -> None:
    server, database = lazy
    scene, seen = Scene(database, PAGES), list[int]()
    assert server.control is not None
    control = server.control

    def crash() -> None:
        for _ in range(2):
            seen.append(database.value("SELECT count(*) FROM messages"))
            if len(seen) == 1:
                control("restart", "-m", "immediate")

    at_requests(scene, {5: crash})
    with scene.surroundings():
        assert pull(scene).exit_code == 0, "there is nothing to read again"
        heal(scene)
    assert seen[0] == seen[1] > 20


@pytest.mark.full
def test_the_server_of_these_scenes_forgets_what_does_not_wait_for_its_disk(lazy: tuple[Postgres, Database]) -> None:
    """Or the scene above would show nothing."""
    server, database = lazy
    store = open_store(database.url.replace("postgresql:", "postgresql+psycopg:"))
    server.run("CHECKPOINT")
    with store.write(durable=False) as tx:
        tx.conn.exec_driver_sql("INSERT INTO rate_budgets (rate_group) VALUES ('passing')")
    store.dispose()
    assert server.control is not None
    server.control("restart", "-m", "immediate")
    assert database.value("SELECT count(*) FROM rate_budgets") == 0


@pytest.mark.full
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("lags_from", [1, 3, 5])
def test_a_replica_that_lags_is_promoted_in_the_middle_of_a_walk(lags_from: int, ahead: bool) -> None:
    """From before the first contact on, with each page in between; then the primary is gone at the seventh request."""
    with own_archive() as (server, database):
        scene = Scene(database, PAGES, ahead=ahead)
        replicas = [server.replica()] if lags_from == 0 else []
        acts: dict[int, Callable[[], object]] = {7: lambda: server.fail_over(replicas[0])}
        if lags_from:
            acts[lags_from] = lambda: replicas.append(server.replica())
        at_requests(scene, acts)
        with scene.surroundings():
            assert pull(scene).exit_code in (0, 75)
            assert not acts
            heal(scene)


@pytest.mark.full
def test_a_server_that_falls_silent_ends_the_pull_and_the_next_one_goes_on() -> None:
    with own_archive() as (server, database):
        scene = Scene(database, PAGES)
        silences = [server.silent()]
        at_requests(scene, {5: silences[0].__enter__})
        with scene.surroundings():
            scene.check = lambda: None  # type: ignore[method-assign]  # nobody could look
            assert pull(scene, BRIEF).exit_code == 75
            silences[0].__exit__(None, None, None)
            del scene.check
            heal(scene)


@pytest.mark.full
def test_a_server_that_is_silent_for_a_while_only_costs_that_while() -> None:
    with own_archive() as (server, database):
        scene = Scene(database, PAGES)

        def pause() -> None:
            silence = server.silent()
            silence.__enter__()
            Timer(1.0, silence.__exit__, (None, None, None)).start()

        at_requests(scene, {5: pause})
        with scene.surroundings():
            assert pull(scene).exit_code == 0
            heal(scene)
