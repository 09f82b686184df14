"""Erasures under fault and attack: kills at every step, guesses of a text, and one person with all the rights."""

from __future__ import annotations

import hashlib
import os
import random
import signal
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from archiver import erasures_file
from archiver.lifecycle import erasure_run
from tests.export.samples import said
from tests.fixtures.archive import Archive, check_sums
from tests.lifecycle.conftest import Persons
from tests.lifecycle.erasing import FILE, IDS, TEXT, again, left_of, requested, speaking

KILLS = int(os.environ.get("ARCHIVER_ERASURE_KILLS", "6"))
GUESSES = int(os.environ.get("ARCHIVER_ERASURE_GUESSES", "20000"))
_STEPS = 130
"""About so many statements an erasure of this archive takes."""


def killed_at(archive: Archive, request: str, step: int) -> bool:
    """Run an erasure in a process of its own, killed before its so-manieth statement or commit; whether it was."""
    child = os.fork()
    if child == 0:
        steps = count(1)

        def die(*_: Any) -> None:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", die)
        event.listen(Engine, "commit", die)
        code = 70
        try:
            code = archive("erase", "run", request)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def whole(archive: Archive) -> int:
    """How many messages are erased; each of them is so altogether, and no other one is touched."""
    rows = archive.database.rows
    erased = {row[0] for row in rows("SELECT msg_id FROM messages WHERE withheld = 2")}
    assert erased == {row[0] for row in rows("SELECT msg_id FROM tombstones WHERE msg_id IS NOT NULL AND messages = 1")}
    assert erased == {row[0] for row in rows("SELECT msg_id FROM messages WHERE length(raw) = 0")}
    for table in ("message_bodies", "message_revisions", "revision_bodies", "search_texts"):
        assert not erased & {row[0] for row in rows(f"SELECT msg_id FROM {table}")}
    file = archive.config.with_name("erasures.jsonl")
    assert erased <= {line.msg_id for line in erasures_file.read(file)}
    return len(erased)


@pytest.mark.full
def test_an_erasure_that_is_killed_anywhere_is_whole_by_batches(
    persons: Persons, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = persons.archive
    monkeypatch.setattr(erasure_run, "MESSAGES_AT_ONCE", 3)
    start = speaking(archive)
    people = {"from": "erased-1", "to": "erased-2"}
    for more in range(10):
        archive.server.add(said(f"91000000000{more}", f"{TEXT} {more}", start + 20 + more, **people) | people)
    again(archive)
    assert archive("index") == 0
    number = requested(persons)
    chosen, before, killed = random.Random(17), 0, 0
    for _ in range(KILLS):
        killed += killed_at(archive, number, chosen.randrange(1, _STEPS))
        now = whole(archive)
        assert now >= before
        assert now % 3 == 0 or now == 12
        before = now
    assert killed >= 2
    assert archive("erase", "run", number) == 0, archive.errors
    assert whole(archive) == 12
    assert left_of(archive, TEXT, FILE, "erased-1") == []
    assert archive("search", "order") == 0, "nothing takes what was cut off for a restore"
    assert archive.count("lifecycle WHERE reapply_since IS NOT NULL") == 0
    check_sums(archive.database)


def guessed(archive: Archive, kept: dict[int, list[bytes]], erased: bytes, guesses: list[str]) -> list[str]:
    """The texts that fit a page's hash, with the page rebuilt from all of its records but the erased one."""
    fitting = []
    for page_id, records in kept.items():
        (hashed,) = archive.database.rows(f"SELECT sha256 FROM pages WHERE id = {page_id}")
        at = records.index(erased)
        head, tail = erased.split(TEXT.encode())
        begun = hashlib.sha256(b"".join(records[:at]) + head)
        rest = tail + b"".join(records[at + 1 :])
        for guess in guesses:
            tried = begun.copy()
            tried.update(guess.encode() + rest)
            if tried.hexdigest() == hashed[0]:
                fitting.append(guess)
    return fitting


@pytest.mark.full
def test_no_guess_of_a_text_can_be_tested_by_what_is_left(persons: Persons) -> None:
    archive, database = persons.archive, persons.archive.database
    start = archive.server.start_ms
    people = {"from": "erased-1", "to": "erased-2"}
    archive.server.add(said(IDS[0], TEXT, start + 1, **people) | people, visible_ms=0)
    archive.server.add(said("beside", "a neighbour", start + 2), visible_ms=0)
    again(archive)
    (page_id,) = {
        row[0] for row in database.rows(f"SELECT page_id FROM messages WHERE msg_id IN ('{IDS[0]}', 'beside')")
    }
    walked = database.rows(
        "SELECT raw, timestamp_ms FROM messages WHERE timestamp_ms BETWEEN ? AND ? ORDER BY timestamp_ms, position",
        *(start, start + 60_000),
    )
    records = [bytes(row[0]) for row in walked]
    erased = bytes(database.value(f"SELECT raw FROM messages WHERE msg_id = '{IDS[0]}'"))
    (hashed,) = database.rows(f"SELECT sha256 FROM pages WHERE id = {page_id}")
    if hashlib.sha256(b"".join(records)).hexdigest() != hashed[0]:
        records.reverse()
    assert hashlib.sha256(b"".join(records)).hexdigest() == hashed[0], "the page can be rebuilt"
    numbers = [f"my number is 1101011990{number:08}" for number in range(GUESSES)]
    guesses = [*numbers[: GUESSES // 2], TEXT, *numbers[GUESSES // 2 :]]
    number = requested(persons)
    assert archive("erase", "run", number) == 0
    assert guessed(archive, {page_id: records}, erased, guesses) == []
    query = "SELECT digest FROM messages UNION SELECT digest FROM quarantine"
    digests = {bytes(row[0]) for row in database.rows(query)}
    tried = [erased.replace(TEXT.encode(), guess.encode()) for guess in [*guesses[:1000], TEXT]]
    plain = {hashlib.sha256(one).digest() for one in tried}
    assert not digests & plain
    database.alter(f"UPDATE pages SET sha256 = '{hashed[0]}' WHERE id = {page_id}")
    assert guessed(archive, {page_id: records}, erased, guesses) == [TEXT], "the control: a hash that was left tells it"


@pytest.mark.full
def test_one_person_with_all_rights_erases_nothing_by_sql(logins: Persons) -> None:
    archive = logins.archive
    speaking(archive)
    number = requested(logins, approve=False)
    for role in ("archive_writer", "archive_eraser"):
        archive.database.run(f"GRANT {role} TO {logins.name('alice')}")
    digest = "decode(repeat('ab', 32), 'hex')"
    stone = (
        "INSERT INTO tombstones"
        " (kind, app_id, msg_id, page_id, position, leaf, messages, bodies, revisions, request_id, at)"
        f" SELECT 'erased', app_id, msg_id, page_id, position, {digest}, 1, 1, 0, {number}, now()"
        f" FROM messages WHERE msg_id = '{IDS[0]}'"
    )
    husk = f"UPDATE messages SET raw = '', digest = {digest}, sender = NULL, recipient = NULL, conversation = NULL,"
    attempts = {
        stone: "no approved request",
        f"{husk} ext = NULL, withheld = 2 WHERE msg_id = '{IDS[0]}'": "append-only",
        f"UPDATE messages SET withheld = 1 WHERE msg_id = '{IDS[0]}'": "no approved request",
        f"DELETE FROM message_bodies WHERE msg_id = '{IDS[0]}'": "append-only",
        f"DELETE FROM message_revisions WHERE msg_id = '{IDS[0]}'": "append-only",
        f"DELETE FROM revision_bodies WHERE msg_id = '{IDS[0]}'": "append-only",
        f"DELETE FROM messages WHERE msg_id = '{IDS[1]}'": "append-only|violates foreign key",
        f"DELETE FROM events WHERE target_msg_id = '{IDS[0]}'": "stays",
        "TRUNCATE messages CASCADE": "permission denied",
        "ALTER TABLE messages DISABLE TRIGGER ALL": "must be owner",
        "INSERT INTO approvals (request_id, decision, body_sha256, who, at)"
        f" SELECT id, 'approved', body_sha256, 'bob', now() FROM requests WHERE id = {number}": "nobody approves",
        f"UPDATE requests SET who = 'bob' WHERE id = {number}": "permission denied",
    }
    for statement, refusal in attempts.items():
        with pytest.raises(psycopg.Error, match=refusal):
            logins.run("alice", statement)
    logins.now("alice")
    assert archive("erase", "run", number) == 2
    assert archive.count("tombstones") == 0
    assert archive.count(f"messages WHERE msg_id IN {IDS} AND withheld IS NULL") == 2
