"""Two writers want the same rows at once, on two connections: the second one waits, and finds what the first made."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from archiver.errors import WrongApplication
from archiver.model import Pass
from archiver.pull.run import Pull, PullOptions
from archiver.sources.easemob.cursor import CursorSource
from archiver.store import apps, owner, pages, runs, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.search import index
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed, open_database, page_of, record
from tests.proof.scene import APP as SCENE
from tests.proof.scene import SETTLE_MS, Scene
from tests.proof.world import START_MS

APP, APPLICATION = "o#a", "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def database(postgres_database: Database) -> Database:
    """On SQLite one writes at a time."""
    return postgres_database


def at_once(database: Database, first: Callable[[Tx], Any], second: Callable[[Store], Any]) -> tuple[Any, Any]:
    """The second one begins when the first one has done its part, and waits for its commit."""
    one, two = open_database(database), open_database(database)
    try:
        with ThreadPoolExecutor(1) as beside:
            with one.write() as tx:
                made = first(tx)
                other = beside.submit(second, two)
                while database.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0:
                    assert not other.done(), "it waits for nobody"
            return made, other.result()
    finally:
        one.dispose()
        two.dispose()


def within(work: Callable[[Tx], Any]) -> Callable[[Store], Any]:
    def begun(store: Store) -> Any:
        with store.write() as tx:
            return work(tx)

    return begun


def register(tx: Tx, origin_ms: int = ORIGIN) -> SourceKey:
    return apps.register(tx, APP, "cursor", origin_ms, settle_ms=120_000, retention_ms=None)


@pytest.mark.parametrize("app_is_known", [False, True])
def test_two_first_pulls_both_end_well(database: Database, app_is_known: bool) -> None:
    """The app is known before its source where the credentials were tried first."""
    scene = Scene(database, [10_000, 20_000])
    if app_is_known:
        database.run(f"INSERT INTO apps (name, created_at) VALUES ('{SCENE}', now())")
    source = CursorSource(SCENE, (Pass(1, SETTLE_MS),), None, 10, False, scene.fetch_page)
    unused = scene.store()  # the first one is within a transaction of the test's
    with scene.surroundings():
        scene.alive.append("the first one")
        _, outcome = at_once(
            database,
            lambda tx: Pull(unused, source, PullOptions(origin_ms=START_MS), stop=Event())._register(tx),
            lambda _: scene.pull(),
        )
        assert outcome.exit_code == 0
        scene.complete()
    unused.dispose()


@pytest.mark.parametrize("app_is_known", [False, True])
def test_one_of_two_is_the_first_contact(database: Database, app_is_known: bool) -> None:
    if app_is_known:
        database.run(f"INSERT INTO apps (name, created_at) VALUES ('{APP}', now())")

    def contact(tx: Tx) -> tuple[bool, SourceKey]:
        return apps.is_first_contact(tx, APP, "cursor"), register(tx)

    (first, key), (second, same) = at_once(database, contact, within(contact))
    assert (first, second) == (True, False)
    assert key == same


def test_two_who_register_a_source_of_a_known_app_agree_on_its_origin(database: Database) -> None:
    database.run(f"INSERT INTO apps (name, created_at) VALUES ('{APP}', now())")
    one, two = at_once(database, register, within(lambda tx: register(tx, ORIGIN + 1)))
    assert one == two
    assert database.rows("SELECT s.origin_ms, m.complete_from_ms FROM sources s, watermarks m") == [(ORIGIN, ORIGIN)]


def test_an_app_is_tied_to_one_application(database: Database) -> None:
    database.run(f"INSERT INTO apps (name, created_at) VALUES ('{APP}', now())")
    with pytest.raises(WrongApplication):
        at_once(
            database,
            lambda tx: apps.pin(tx, APP, APPLICATION),
            within(lambda tx: apps.pin(tx, APP, APPLICATION.replace("1", "2"))),
        )
    assert database.value("SELECT application FROM apps") == APPLICATION


def test_a_crash_is_counted_once(database: Database, store: Store, key: SourceKey) -> None:
    with store.write() as tx:
        runs.start(tx, key, "pull", "elsewhere - - 1 1")
    database.run("UPDATE runs SET heartbeat_at = now() - interval '1 hour'")

    def start(tx: Tx) -> runs.Run:
        return runs.start(tx, key, "pull", owner.me())

    at_once(database, start, within(start))
    assert database.rows("SELECT kind, label, count FROM run_counters") == [("runs", "crashed", 1)]


def test_a_page_that_stands_in_the_queue_twice_is_indexed_once(
    database: Database, store: Store, key: SourceKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_PAGES_AT_ONCE", 1)  # an entry for each of the two
    claim = claimed(store, key)
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page_of(*(record(f"{at}", f"needle {at}") for at in range(5)))], ORIGIN)
    database.run("INSERT INTO search_queue (page_id) SELECT page_id FROM search_queue")

    assert at_once(database, index.add_pages, within(index.add_pages)) == (5, 0)
    assert database.rows("SELECT count(*) FROM search_texts") == [(5,)]
    assert database.rows("SELECT count(*) FROM search_queue") == [(0,)]
