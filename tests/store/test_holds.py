"""What a hold covers: what the search filter finds by the same words, and what a person took part in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from archiver.model import DAY_MS
from archiver.store import holds
from archiver.store.engine import Store, Tx
from archiver.store.holds import HELD, HoldCriteria, HoldRow
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import messages
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

ORIGIN = 1_790_000_000_000
QUARTER_MS = DAY_MS // 4
"""So coarse that limits are hit."""
USERS = ("alice", "Alice", "ALICE", "bob", "BOB", "carol", "Bób", "BÓB", "äÖ", "ÄÖ", "äö", "x y", "a|b")
GROUPS = ("g1", "G1", "g2", "42")
COLUMNS = (
    *("app_id", "msg_id", "timestamp_ms", "sent_at", "sender", "recipient", "conversation", "chat_type"),
    *("raw", "digest", "lossy", "page_id", "position", "archived_at"),
)


class Said(NamedTuple):
    """A message, as far as a hold looks at it."""

    app_id: int
    msg_id: str
    stamp_ms: int
    sender: str | None
    recipient: str | None
    conversation: str | None

    @property
    def is_stamped(self) -> bool:
        return self.stamp_ms > 0


def draw_messages(draw: random.Random, count: int, users: tuple[str, ...]) -> list[Said]:
    return [_message(draw, number, users) for number in range(count)]


def _message(draw: random.Random, number: int, users: tuple[str, ...]) -> Said:
    stamp_ms = -5 if draw.random() < 0.05 else ORIGIN + draw.randrange(40) * QUARTER_MS
    sender = None if draw.random() < 0.05 else draw.choice(users)
    conversation: str | None
    recipient = conversation = draw.choice(GROUPS)
    if draw.random() < 0.6:
        recipient = draw.choice(users)
        conversation = None if sender is None else "|".join(sorted((sender.lower(), recipient.lower())))
    return Said(draw.choice((1, 1, 2, 3)), f"m{number:04}", stamp_ms, sender, recipient, conversation)


def fill(store: Store, said: list[Said]) -> None:
    with store.write() as tx:
        for app_id, name in enumerate(("o#a", "o#b", "p#a"), 1):
            tx.conn.execute(
                sa.text("INSERT INTO apps (id, name, created_at) VALUES (:id, :name, '2026-01-01T00:00:00.000Z')"),
                {"id": app_id, "name": name},
            )
        stamp = tx.given.instant(ORIGIN)
        rows = [
            (
                *(one.app_id, one.msg_id, one.stamp_ms, tx.given.instant(one.stamp_ms) if one.is_stamped else None),
                *(one.sender, one.recipient, one.conversation, "chat"),
                *(b"{}", number.to_bytes(32, "big"), False, 1, number, stamp),
            )
            for number, one in enumerate(said)
        ]
        tx.append(messages, COLUMNS, rows)


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    opened = open_database(database)
    yield opened
    opened.dispose()


def placed(tx: Tx, wanted: HoldCriteria) -> int:
    number = holds.next_id(tx)
    holds.place(tx, HoldRow(number, "x", "placed", "K7", "a letter", "me"), wanted)
    return number


def held(tx: Tx, number: int) -> set[tuple[int, str]]:
    rows = f"(SELECT * FROM holds_in_force WHERE hold_id = {number})"
    query = f"SELECT m.app_id, m.msg_id FROM messages m WHERE {HELD.replace('{holds}', rows)}"
    return {(row[0], row[1]) for row in tx.conn.execute(sa.text(query))}


def found(tx: Tx, criteria: Filter) -> set[tuple[int, str]]:
    query = sa.select(messages.c.app_id, messages.c.msg_id).where(*filters.of_messages(tx, criteria))
    return {(row[0], row[1]) for row in tx.conn.execute(query)}


def maybe(draw: random.Random, values: tuple[str, ...]) -> str | None:
    if draw.random() < 0.6:
        return None
    value = draw.choice(values)
    return draw.choice((value, value.upper(), value.lower(), value.title()))


def draw_filter(draw: random.Random) -> Filter:
    pair = [draw.choice(USERS), draw.choice(USERS)]
    conversations = (*GROUPS, "|".join(pair), "|".join(sorted(pair)), "|".join(sorted(pair, reverse=True)))
    from_ms = ORIGIN + draw.randrange(40) * QUARTER_MS if draw.random() < 0.3 else None
    to_ms = (from_ms or ORIGIN) + draw.randrange(1, 20) * QUARTER_MS if draw.random() < 0.3 else None
    app = draw.choice((None, None, "o#a", "a", "b"))
    sender, recipient = maybe(draw, USERS), maybe(draw, (*USERS, *GROUPS))
    return Filter(app, sender, recipient, maybe(draw, conversations), from_ms, to_ms)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.full)])
def test_a_hold_by_a_filter_covers_what_a_search_by_it_finds(store: Store, count: int) -> None:
    """Of random filters, in all cases and both orders; what has no usable stamp is held whatever the range."""
    draw = random.Random(22)
    said = draw_messages(draw, 600, USERS)
    fill(store, said)
    stamped = {(one.app_id, one.msg_id) for one in said if one.is_stamped}
    sizes = []
    with store.write(lock="exclusive") as tx:
        for criteria in [draw_filter(draw) for _ in range(count)]:
            kept = held(tx, placed(tx, HoldCriteria(criteria)))
            assert kept & stamped == found(tx, criteria) & stamped, criteria
            assert kept - stamped == found(tx, replace(criteria, from_ms=None, to_ms=None)) - stamped, criteria
            sizes.append(len(kept))
    assert sum(0 < size < 600 for size in sizes) > count * 0.4


def covers(one: Said, wanted: HoldCriteria, said: list[Said]) -> bool:
    """Whether a hold on a person covers a message, in the words of the manual."""
    name, criteria = (wanted.participant or "").lower(), wanted.criteria
    wrote_there = {(m.app_id, m.conversation) for m in said if (m.sender or "").lower() == name}
    took_part = name in ((one.sender or "").lower(), (one.recipient or "").lower())
    took_part |= one.conversation is not None and (one.app_id, one.conversation) in wrote_there
    in_time = not one.is_stamped or (
        (criteria.from_ms is None or one.stamp_ms >= criteria.from_ms)
        and (criteria.to_ms is None or one.stamp_ms < criteria.to_ms)
    )
    of_app = criteria.app is None or one.app_id == 2
    return of_app and in_time and (took_part or (wanted.unreadable and one.sender is None))


@pytest.mark.full
def test_a_hold_on_a_person_covers_what_that_person_took_part_in(store: Store) -> None:
    draw = random.Random(23)
    users = ("alice", "Alice", "bob", "Carol", "dave", "Erin", "frank")
    said = draw_messages(draw, 400, users)
    early, late = said[:300], said[300:]
    with_groups = [one for one in early if one.conversation not in ("g1", "G1") or one.sender != "dave"]
    fill(store, with_groups)
    wanted = [
        HoldCriteria(
            Filter(draw.choice((None, "o#b")), None, None, None, *draw.choice(((None, None), (ORIGIN + DAY_MS, None)))),
            participant=maybe(draw, users) or "ALICE",
            unreadable=draw.random() < 0.5,
        )
        for _ in range(12)
    ]
    with store.write(lock="exclusive") as tx:
        numbers = [placed(tx, one) for one in wanted]
    with store.write(lock="shared") as tx:
        rows = [
            {
                "app_id": one.app_id,
                "msg_id": one.msg_id,
                "timestamp_ms": one.stamp_ms,
                "sent_at": one.stamp_ms if one.is_stamped else None,
                "sender": one.sender,
                "recipient": one.recipient,
                "conversation": one.conversation,
                "raw": b"{}",
                "page_id": 2,
                "digest": one.msg_id.encode(),
                "lossy": False,
                "position": 0,
                "archived_at": ORIGIN,
            }
            for one in late
        ]
        tx.conn.execute(messages.insert(), rows)
    everybody = with_groups + late
    with store.read() as tx:
        for number, one in zip(numbers, wanted, strict=True):
            expected = {(m.app_id, m.msg_id) for m in everybody if covers(m, one, everybody)}
            assert held(tx, number) == expected, one
            assert holds.counts(tx, number).messages == len(expected)


def test_conversations_of_a_person_stay_held_when_the_persons_own_messages_are_gone(store: Store) -> None:
    said = [
        Said(1, "1", ORIGIN, "Alice", "g1", "g1"),
        Said(1, "2", ORIGIN, "bob", "g1", "g1"),
        Said(1, "3", ORIGIN, "bob", "g2", "g2"),
    ]
    fill(store, said)
    with store.write(lock="exclusive") as tx:
        number = placed(tx, HoldCriteria(participant="alice"))
        tx.conn.execute(messages.delete().where(messages.c.msg_id == "1"))
        assert held(tx, number) == {(1, "2")}
        holds.note_conversations(tx, number)


def test_a_list_and_a_filter_hold_what_passes_both(store: Store) -> None:
    said = draw_messages(random.Random(24), 100, USERS)
    fill(store, said)
    ids = tuple(one.msg_id for one in said[:40])
    with store.write(lock="exclusive") as tx:
        number = placed(tx, HoldCriteria(Filter("o#a", sender="alice"), ids=(*ids, *ids)))
        expected = {(1, one.msg_id) for one in said[:40] if one.app_id == 1 and (one.sender or "").lower() == "alice"}
        assert held(tx, number) == expected
        assert expected
