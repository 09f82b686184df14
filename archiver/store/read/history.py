"""Who took what, who looked at what, and what was verified: bounded lists, the latest first."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.schema import InstantColumn, audit_log, looks, scrubs

_BY_PERSON = sa.table(
    "looks_by_person",
    *map(sa.column, ("app", "conversation", "person", "who", "action", "case_id", "reason")),
    sa.column("at", InstantColumn),
)
_BY_OFFICER = sa.table("looks_by_officer", *map(sa.column, ("who", "day", "action", "looks", "conversations")))


class ExportRow(NamedTuple):
    """A row of audit_log: how an export or a copy stands."""

    id: int
    export_id: str
    outcome: str
    at: int
    who: str
    format: str
    case_id: str | None
    reason: str | None
    messages: int
    manifest_sha256: str | None


def exports(tx: Tx, before: int | None, most: int) -> list[ExportRow]:
    """Exports and copies; `before`: the id of the last row that was shown."""
    a = audit_log.c
    query = sa.select(*(a[name] for name in ExportRow._fields)).order_by(a.id.desc()).limit(most)
    if before is not None:
        query = query.where(a.id < before)
    return [ExportRow(*row) for row in tx.conn.execute(query)]


class LookAtPerson(NamedTuple):
    """Who looked at a conversation of somebody. Without a conversation: at all that a filter covered."""

    app: str
    conversation: str | None
    at: int
    who: str
    action: str
    case_id: str | None
    reason: str | None


def looks_at(
    tx: Tx, person: str | None, conversation: str | None, until_ms: int | None, most: int
) -> list[LookAtPerson]:
    """Who looked at somebody's conversations, or at one. `until_ms`: none that is later."""
    v = _BY_PERSON.c
    query = sa.select(*(v[name] for name in LookAtPerson._fields)).distinct().order_by(v["at"].desc()).limit(most)
    if person is not None:
        query = query.where(sa.func.lower(v.person).in_(filters.user_ids(person)))
    if conversation is not None:
        query = query.where(v.conversation.in_(filters.conversation_ids(conversation)))
    if until_ms is not None:
        query = query.where(v["at"] <= until_ms)
    return [LookAtPerson(*row) for row in tx.conn.execute(query)]


class LooksOfDay(NamedTuple):
    """What somebody looked at on a day (UTC)."""

    who: str
    day: str
    action: str
    looks: int
    conversations: int


def looks_of(tx: Tx, who: str | None, most: int) -> list[LooksOfDay]:
    """What an officer looked at, or all of them, by day."""
    v = _BY_OFFICER.c
    day = sa.cast(v.day, sa.Text)
    query = sa.select(v.who, day, v.action, v.looks, v.conversations).order_by(day.desc(), v.who, v.action).limit(most)
    if who is not None:
        query = query.where(sa.func.lower(v.who) == who.lower())
    return [LooksOfDay(*row) for row in tx.conn.execute(query)]


class LookRow(NamedTuple):
    """One row of looks. `filter`: JSON text of what was asked for."""

    id: int
    look_id: str
    outcome: str
    at: int
    who: str
    via: str
    action: str
    case_id: str | None
    reason: str | None
    filter: str
    found: int | None
    page: int


def looks_for(tx: Tx, case_id: str | None, before: int | None, most: int) -> list[LookRow]:
    """The looks of a case, or all of them; `before`: the id of the last row that was shown."""
    c = looks.c
    query = sa.select(*(c[name] for name in LookRow._fields)).order_by(c.id.desc()).limit(most)
    if case_id is not None:
        query = query.where(c.case_id == case_id)
    if before is not None:
        query = query.where(c.id < before)
    return [LookRow(*row) for row in tx.conn.execute(query)]


class ScrubRow(NamedTuple):
    """One scrub or verification of the whole archive. Instants in ms."""

    id: int
    began_at: int
    ended_at: int | None
    differences: int


def verified(tx: Tx, most: int) -> list[ScrubRow]:
    """What verifications found."""
    query = sa.select(*(scrubs.c[name] for name in ScrubRow._fields)).order_by(scrubs.c.id.desc()).limit(most)
    return [ScrubRow(*row) for row in tx.conn.execute(query)]
