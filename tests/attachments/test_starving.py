"""Files that cannot be had, and those beside them that can: simulated time, on each database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import IO

import pytest

from archiver.attachments.fetch import GIVEN_UP_AFTER, Fetching, FetchOptions, FetchOutcome
from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, Fetched, Pointer
from archiver.outages import FAILURES_IN_A_ROW
from archiver.store import attachments
from tests.fixtures.archive import MakeSimulated, Simulated
from tests.fixtures.blobs import Shelf

NOW = 1_793_491_200_000
OLD = NOW - 30 * DAY_MS
UP = "https://a1.easemob.com/red/app/chatfiles/"


class Files:
    """Some files of one app, and a provider that has those whose names do not begin with a fault."""

    def __init__(self, archive: Simulated, shelf: Shelf) -> None:
        self.archive, self.shelf = archive, shelf
        self.tried: list[str] = []
        self.content, self.framed, self.cuts = b"x", True, False
        self.fault = Fetched("failed", "a1.easemob.com answered 500", status=500)

    def add(self, name: str, stamp_ms: int, url: str = UP) -> None:
        body = {"type": "img", "url": url + name, "filename": "f", "file_length": 1}
        record = {"msg_id": name, "timestamp": stamp_ms, "from": "a", "to": "b", "chat_type": "chat"}
        self.archive.server.add({**record, "payload": {"bodies": [body]}}, timestamp_ms=stamp_ms, visible_ms=0)

    def fetch(self, pointer: Pointer, into: IO[bytes], _progress: Callable[[int], None]) -> Fetched:
        name = pointer.url.rpartition("/")[2]
        self.tried.append(name)
        if name.startswith("dead"):
            return self.fault
        content = self.content[: 2 * len(self.tried)] if self.cuts else self.content
        into.write(content)
        digest = hashlib.sha256(content).hexdigest()
        return Fetched("stored", None, len(content), digest, self.framed, "image/png", status=200)

    def run(self) -> FetchOutcome:
        self.tried = []
        options = FetchOptions(workers=1)
        return Fetching(self.archive.store, 1, self.shelf.blobs, self.fetch, options, stop=self.archive.stop).run()

    def states(self, name: str) -> set[tuple[str, str | None]]:
        query = "SELECT state, reason FROM attachments WHERE msg_id LIKE ?"
        return {(row[0], row[1]) for row in self.archive.database.rows(query, f"{name}%")}


MakeFiles = Callable[[list[tuple[str, int]]], Files]


@pytest.fixture
def make_files(make_simulated: MakeSimulated, folder: Shelf) -> MakeFiles:
    def make(named: list[tuple[str, int]]) -> Files:
        server = {"messages": 0, "start_ms": OLD}
        found = Files(make_simulated(now=NOW + HOUR_MS, server=server, source="cursor", audits=[]), folder)
        for name, stamp_ms in named:
            found.add(name, stamp_ms)
        assert found.archive.pull().exit_code == 0
        return found

    return make


def spread(dead: int, live: int, *, at_end: bool) -> list[tuple[str, int]]:
    """All of them live: the dead in front, or each second one as long as there are some."""
    names = [f"dead{n:03}" for n in range(dead)], [f"live{n:03}" for n in range(live)]
    ordered = [*names[0], *names[1]] if at_end else [name for pair in zip(*names, strict=True) for name in pair]
    return [(name, NOW - DAY_MS + n * MINUTE_MS) for n, name in enumerate(ordered)]


@pytest.mark.full
@pytest.mark.parametrize("framed", [True, False])
def test_files_of_another_length_than_their_messages_declare_are_kept_in_one_run(
    make_files: MakeFiles, framed: bool
) -> None:
    """An application may declare any length; whether all of a file came, the answer says, or that it comes so again."""
    files = make_files([(f"live{n:03}", NOW - DAY_MS + n * MINUTE_MS) for n in range(60)])
    files.content, files.framed = b"other", framed
    assert files.run().stored == 60
    assert files.states("live") == {("stored", "declared with 1 bytes, came with 5")}
    assert len(files.tried) == 60 * (1 if framed else 2)


@pytest.mark.full
def test_a_file_that_is_cut_at_another_byte_each_time_is_not_believed(make_files: MakeFiles) -> None:
    files = make_files([("live", NOW - DAY_MS)])
    files.content, files.framed, files.cuts = b"some content", False, True
    assert files.run().failed == 1


@pytest.mark.full
@pytest.mark.parametrize("at_end", [True, False])
def test_of_some_that_fail_and_some_that_do_not_one_run_has_all_that_can_be_had(
    make_files: MakeFiles, at_end: bool
) -> None:
    files = make_files(spread(25, 25, at_end=at_end))
    outcome = files.run()
    assert files.states("live") == {("stored", None)}
    assert outcome.stored == 25
    assert outcome.failed <= 25
    assert len(files.tried) == len(set(files.tried))


def test_a_service_none_of_whose_files_come_is_left_alone_and_another_is_not(make_files: MakeFiles) -> None:
    files = make_files([(f"dead{n:03}", NOW - DAY_MS + n * MINUTE_MS) for n in range(40)])
    for number in range(3):
        files.add(f"live{number}", NOW + HOUR_MS + number, "https://files.example.com/")
    files.archive.clock.now_ms += HOUR_MS
    assert files.archive.pull().exit_code == 0
    outcome = files.run()
    assert outcome.failed == FAILURES_IN_A_ROW
    assert files.states("live") == {("stored", None)}, "of a server that has them"
    tried = files.tried
    files.run()
    assert len(files.tried) == FAILURES_IN_A_ROW
    assert not {*files.tried} & {*tried}, "others have their turn next"


@pytest.mark.full
def test_what_expired_long_ago_never_keeps_what_lives_from_its_turn_and_is_given_up_within_days(
    make_files: MakeFiles,
) -> None:
    dead = 2 * FAILURES_IN_A_ROW
    files = make_files([*((f"dead{n:03}", OLD + n) for n in range(dead)), ("late", OLD), ("live", NOW)])
    files.run()
    assert files.tried[0] == "live"
    assert set(files.tried[1:]) == {f"dead{n:03}" for n in range(dead)} | {"late"}, "no failure of theirs ends a run"
    assert files.states("late") == {("stored", None)}, "the provider may keep it longer than it says"
    attempts = dead
    for _ in range(6 * 24):
        files.archive.clock.now_ms += HOUR_MS
        files.run()
        attempts += len(files.tried)
    assert attempts == dead * GIVEN_UP_AFTER
    assert files.states("dead") == {("gone", f"{files.fault.reason}{attachments.GIVEN_UP}")}
    assert files.run().left == 0


def test_what_was_given_up_is_tried_once_more_when_asked(make_files: MakeFiles) -> None:
    files = make_files([("dead", OLD)])
    for _ in range(GIVEN_UP_AFTER):
        files.run()
        with files.archive.store.write() as tx:
            attachments.retry_failed(tx, 1, [])
    assert files.states("dead") == {("failed", f"{files.fault.reason}{attachments.GIVEN_UP}")}
    files.run()
    assert {state for state, _ in files.states("dead")} == {"gone"}
    assert files.tried == ["dead"]


def test_one_that_lives_is_tried_until_it_comes_and_waits_behind_the_others(make_files: MakeFiles) -> None:
    files = make_files([("dead", NOW - DAY_MS)])
    for _ in range(attachments.STUBBORN_AFTER):
        files.run()
        files.archive.clock.now_ms += HOUR_MS
    files.add("live", NOW + HOUR_MS)
    assert files.archive.pull().exit_code == 0
    files.run()
    assert files.tried == ["live", "dead"], "although it expires later"
    assert {state for state, _ in files.states("dead")} == {"failed"}
