"""Legal holds: what must stay, as criteria that are asked of a message at the moment in which it would go.

So a hold covers what comes later, and is in force when the transaction that places it has committed. Who places one
holds the archive's lock, so nothing is deleted and no page stored between what was looked at and the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS
from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import apps, hold_conversations, hold_events, hold_items, lifecycle, messages, pages

GRACE_MS = 30 * DAY_MS
"""From the approval of a release to the end of the hold."""
_ITEMS_AT_ONCE = 5_000

NOTED = """\
EXISTS (SELECT 1 FROM {holds} h WHERE (h.app_id IS NULL OR h.app_id = m.app_id)
  AND (h.sender IS NULL OR lower(m.sender) IN (h.sender, h.sender_lower))
  AND (h.recipient IS NULL OR lower(m.recipient) IN (h.recipient, h.recipient_lower))
  AND (h.conversation IS NULL OR m.conversation IN (h.conversation, h.conversation_other))
  AND (m.sent_at IS NULL OR ((h.from_ms IS NULL OR m.timestamp_ms >= h.from_ms)
                             AND (h.to_ms IS NULL OR m.timestamp_ms < h.to_ms)))
  AND (h.participant IS NULL
       OR lower(m.sender) IN (h.participant, h.participant_lower)
       OR lower(m.recipient) IN (h.participant, h.participant_lower)
       OR (h.unreadable AND m.sender IS NULL)
       OR EXISTS (SELECT 1 FROM hold_conversations c WHERE c.hold_id = h.hold_id AND c.app_id = m.app_id
                  AND c.conversation = m.conversation))
  AND (NOT h.is_list OR EXISTS (SELECT 1 FROM hold_items i WHERE i.hold_id = h.hold_id AND i.app_id = m.app_id
                                AND i.msg_id = m.msg_id)))"""
"""The condition on messages `m`, where conversations have been noted (see `note`); `holds` are those in force, or some
of their rows. A message whose stamp nobody can mean is held whatever the range says."""
_NOTED_ONES = "OR EXISTS (SELECT 1 FROM hold_conversations c"
_WROTE = """\
OR (h.id, m.app_id, m.conversation) IN (
           SELECT w.id, p.app_id, p.conversation FROM {holds} w
           JOIN messages p ON lower(p.sender) IN (w.participant, w.participant_lower))
       """
HELD = NOTED.replace(_NOTED_ONES, _WROTE + _NOTED_ONES)
"""The same whenever it is asked.

The conversations in which a participant wrote are read once a statement, by the index on the sender: asked for one
message after the other, a conversation of thousands is read for each of them.
"""
ROOM = "SET LOCAL work_mem = '64MB'"
"""PostgreSQL compares with these conversations by a hash that fits in there."""


@dataclass(frozen=True, slots=True)
class HoldCriteria:
    """Which messages a hold keeps: those of a filter, which also pass the rest. `criteria.types` is empty."""

    criteria: Filter = field(default_factory=Filter)
    participant: str | None = None
    """A user; with what was said in every conversation in which that user wrote."""
    unreadable: bool = False
    """With a participant: also messages without a readable sender."""
    ids: tuple[str, ...] | None = None
    """Only these messages."""

    def names_anything(self) -> bool:
        """Whether this is less than everything."""
        return bool(filters.asked_for(self.criteria)) or self.participant is not None or self.ids is not None


class HoldRow(NamedTuple):
    """What all rows of one act have in common."""

    hold_id: int
    name: str
    event: str
    case_id: str | None
    reason: str
    who: str


def next_id(tx: Tx) -> int:
    """The number of a new hold; the caller has the archive's lock."""
    return int(tx.conn.scalar(sa.select(sa.func.coalesce(sa.func.max(hold_events.c.hold_id), 0))) or 0) + 1


def place(tx: Tx, row: HoldRow, covered: HoldCriteria) -> None:
    """Add what a hold is to keep, and the conversations and messages that it names."""
    common = row._asdict() | {"unreadable": covered.unreadable, "is_list": covered.ids is not None, "at": tx.now_ms()}
    common |= {"from_ms": covered.criteria.from_ms, "to_ms": covered.criteria.to_ms}
    tx.conn.execute(hold_events.insert().inline(), [common | which for which in _rows(tx, covered)])
    if covered.participant is not None:
        note_conversations(tx, row.hold_id)
    if covered.ids is not None:
        _add_items(tx, row.hold_id, covered)


def _rows(tx: Tx, covered: HoldCriteria) -> Iterator[dict[str, Any]]:
    """Criteria as columns: a row has one app and two spellings of each word, so there may be several."""
    resolved = filters.resolve(tx, covered.criteria)
    participants = None if covered.participant is None else filters.user_ids(covered.participant)
    criteria = covered.criteria
    app_ids: Sequence[int | None] = resolved.app_ids or [None]
    combined = product(
        app_ids,
        _pairs(criteria.sender, resolved.senders),
        _pairs(criteria.recipient, resolved.recipients),
        _pairs(criteria.conversation, resolved.conversations),
        _pairs(covered.participant, participants),
    )
    names = ("sender", "recipient", "conversation", "participant")
    second = ("sender_lower", "recipient_lower", "conversation_other", "participant_lower")
    for app_id, *pairs in combined:
        firsts = {name: pair[0] for name, pair in zip(names, pairs, strict=True)}
        yield {"app_id": app_id, **firsts, **{name: pair[1] for name, pair in zip(second, pairs, strict=True)}}


def _pairs(given: str | None, spellings: Sequence[str] | None) -> list[tuple[str | None, str | None]]:
    """All spellings in pairs; the first has the word as it was given, so that people know it again."""
    if given is None or spellings is None:
        return [(None, None)]
    others = [one for one in spellings if one != given] or [given]
    return [(given, others[0]), *((one, one) for one in others[1:])]


def note_conversations(tx: Tx, hold_id: int) -> None:
    """Add the conversations in which the participants of a hold have written since they were noted last."""
    m, h, c = messages.c, hold_events.c, hold_conversations.c
    known = sa.exists().where(c.hold_id == hold_id, c.app_id == m.app_id, c.conversation == m.conversation)
    spellings = tx.conn.execute(
        sa.select(h.app_id, h.participant, h.participant_lower).where(
            h.hold_id == hold_id, h.event != "released", h.participant.is_not(None)
        )
    ).all()
    for app_id, *names in dict.fromkeys(map(tuple, spellings)):
        wrote = [sa.func.lower(m.sender).in_(names), m.conversation.is_not(None), ~known]
        wrote += [] if app_id is None else [m.app_id == app_id]
        spoken_in = sa.select(sa.literal(hold_id), m.app_id, m.conversation).where(*wrote).distinct()
        columns = ["hold_id", "app_id", "conversation"]
        tx.conn.execute(hold_conversations.insert().inline().from_select(columns, spoken_in))


_NOTE = """
INSERT INTO hold_conversations (hold_id, app_id, conversation)
SELECT DISTINCT n.hold_id, n.app_id, n.conversation FROM (
    SELECT h.hold_id, m.app_id, m.conversation FROM holds_in_force h
    JOIN messages m ON lower(m.sender) IN (h.participant, h.participant_lower)
    WHERE h.id > :hold AND (h.app_id IS NULL OR h.app_id = m.app_id)
    UNION ALL
    SELECT h.hold_id, m.app_id, m.conversation FROM messages m
    CROSS JOIN holds_in_force h ON lower(m.sender) IN (h.participant, h.participant_lower)
    WHERE h.id <= :hold AND m.page_id > :page AND (h.app_id IS NULL OR h.app_id = m.app_id)
    UNION ALL
    SELECT h.hold_id, m.app_id, m.conversation FROM quarantine q
    CROSS JOIN messages m ON m.page_id = q.page_id AND m.position = q.position
    CROSS JOIN holds_in_force h ON lower(m.sender) IN (h.participant, h.participant_lower)
    WHERE h.id <= :hold AND q.resolved_at IS NOT NULL AND q.page_id > 0 AND (h.app_id IS NULL OR h.app_id = m.app_id)
) n
WHERE n.conversation IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM hold_conversations c
    WHERE c.hold_id = n.hold_id AND c.app_id = n.app_id AND c.conversation = n.conversation)
"""
"""On SQLite; PostgreSQL's function asks the same. What leaves quarantine lies on older pages."""


def note(tx: Tx) -> None:
    """Bring what `NOTED` goes by up to date for all holds in force; the caller has the archive's lock alone."""
    if tx.postgres:
        tx.conn.exec_driver_sql("SELECT archive_note_conversations()")
        return
    c = lifecycle.c
    known = tx.conn.execute(sa.select(sa.func.max(c.noted_page), sa.func.max(c.noted_hold))).one()
    tx.conn.execute(sa.text(_NOTE), {"page": -1 if known[0] is None else known[0], "hold": known[1] or 0})
    latest = (
        sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0)).scalar_subquery() for table in (pages, hold_events)
    )
    tx.conn.execute(lifecycle.update().values(dict(zip(("noted_page", "noted_hold"), latest, strict=True))))


def _add_items(tx: Tx, hold_id: int, covered: HoldCriteria) -> None:
    app_ids = filters.resolve(tx, covered.criteria).app_ids or []
    there = {(row[0], row[1]) for row in tx.conn.execute(_items_of(hold_id))}
    rows = [
        (hold_id, app_id, msg_id)
        for app_id in app_ids
        for msg_id in dict.fromkeys(covered.ids or ())
        if (app_id, msg_id) not in there
    ]
    for first in range(0, len(rows), _ITEMS_AT_ONCE):
        tx.append(hold_items, ("hold_id", "app_id", "msg_id"), rows[first : first + _ITEMS_AT_ONCE])


def _items_of(hold_id: int) -> sa.Select[Any]:
    i = hold_items.c
    return sa.select(i.app_id, i.msg_id).where(i.hold_id == hold_id)


def unarchived(tx: Tx, hold_id: int) -> int:
    """How many messages of a hold's list are not in the archive, or not yet."""
    i, m = hold_items.c, messages.c
    there = sa.exists().where(m.app_id == i.app_id, m.msg_id == i.msg_id)
    query = sa.select(sa.func.count()).select_from(hold_items).where(i.hold_id == hold_id, ~there)
    return int(tx.conn.execute(query).scalar_one())


def release(tx: Tx, row: HoldRow, request_id: int, approved_ms: int) -> int:
    """Let go of a hold 30 days after the approval of its release; gives when (ms)."""
    end_ms = approved_ms + GRACE_MS
    values = row._asdict() | {"unreadable": False, "is_list": False, "request_id": request_id, "at": tx.now_ms()}
    tx.conn.execute(hold_events.insert().inline(), values | {"effective_at": end_ms})
    return end_ms


class HoldEvent(NamedTuple):
    """A row of `hold_events`, with the app by its name."""

    id: int
    hold_id: int
    name: str
    event: str
    sender: str | None
    recipient: str | None
    conversation: str | None
    participant: str | None
    unreadable: bool
    is_list: bool
    from_ms: int | None
    to_ms: int | None
    case_id: str | None
    reason: str
    effective_at: int | None
    """Of a release: from when on nothing is held by it (ms)."""
    who: str
    at: int
    app: str | None


_EVENTS = (
    sa.select(*(hold_events.c[name] for name in HoldEvent._fields if name != "app"), apps.c.name)
    .outerjoin_from(hold_events, apps, apps.c.id == hold_events.c.app_id)
    .order_by(hold_events.c.hold_id, hold_events.c.id)
)


def events(tx: Tx, hold_id: int | None = None) -> list[HoldEvent]:
    """What was done to a hold, or to all of them, in the order of holds and time."""
    query = _EVENTS if hold_id is None else _EVENTS.where(hold_events.c.hold_id == hold_id)
    return [HoldEvent._make(row) for row in tx.conn.execute(query)]


class HoldCounts(NamedTuple):
    """What a hold keeps now: messages, conversations of its participants, and messages that its list names."""

    messages: int
    conversations: int
    items: int


_OF_ONE = "(SELECT * FROM hold_events WHERE hold_id = :hold AND event <> 'released')"


def counts(tx: Tx, hold_id: int) -> HoldCounts:
    """Count what a hold keeps; reads all messages."""
    if tx.postgres:
        tx.conn.exec_driver_sql(ROOM)
    held = sa.text(f"SELECT count(*) FROM messages m WHERE {HELD.replace('{holds}', _OF_ONE)}")  # noqa: S608 - our own text
    noted = [
        int(tx.conn.scalar(sa.select(sa.func.count()).where(table.c.hold_id == hold_id)) or 0)
        for table in (hold_conversations, hold_items)
    ]
    return HoldCounts(int(tx.conn.execute(held, {"hold": hold_id}).scalar_one()), *noted)


class HeldCount(NamedTuple):
    """How many of some messages one hold keeps."""

    hold: int
    name: str
    messages: int


_OF_HOLD = "(SELECT * FROM holds_in_force WHERE hold_id = :hold)"


def held_by(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> list[HeldCount]:
    """How many of these messages are kept by holds in force, hold by hold."""
    if tx.postgres:
        tx.conn.exec_driver_sql(ROOM)
    m = messages.alias("m")
    counted = []
    for hold_id, name in tx.conn.execute(_IN_FORCE).all():
        count = 0
        for first in range(0, len(msg_ids), _ITEMS_AT_ONCE):
            those = tx.among(m.c.msg_id, list(msg_ids[first : first + _ITEMS_AT_ONCE]))
            is_held = sa.text(HELD.replace("{holds}", _OF_HOLD)).bindparams(hold=hold_id)
            query = sa.select(sa.func.count()).select_from(m).where(m.c.app_id == app_id, those, is_held)
            count += int(tx.conn.scalar(query) or 0)
        counted += [HeldCount(hold_id, name, count)] if count else []
    return counted


_IN_FORCE = sa.text("SELECT hold_id, min(name) FROM holds_in_force GROUP BY hold_id ORDER BY hold_id")


def held(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> set[str]:
    """Which of these messages a hold that is in force keeps."""
    if not msg_ids or tx.conn.execute(_ANY_IN_FORCE).first() is None:
        return set()
    if tx.postgres:
        tx.conn.exec_driver_sql(ROOM)
    is_held = sa.text(HELD.replace("{holds}", "holds_in_force"))
    m = messages.alias("m")
    query = sa.select(m.c.msg_id).where(m.c.app_id == app_id, tx.among(m.c.msg_id, list(msg_ids)), is_held)
    return set(tx.conn.scalars(query))


_ANY_IN_FORCE = sa.text("SELECT 1 FROM holds_in_force LIMIT 1")
