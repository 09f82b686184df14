"""Lists for who does not know an id yet: conversations, users, apps with their sources. All from the views."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.schema import InstantColumn, apps, messages, sources, watermarks

_conversations = sa.table(
    "conversations",
    *map(sa.column, ("app", "conversation", "chat_type", "messages", "senders")),
    *(sa.column(name, InstantColumn) for name in ("first_sent_at", "last_sent_at")),
)
_participants = sa.table(
    "participants",
    *map(sa.column, ("app", "conversation", "participant", "sent", "received")),
    *(sa.column(name, InstantColumn) for name in ("first_sent_at", "last_sent_at")),
)


class Conversation(NamedTuple):
    """A conversation as the view has it; instants in ms."""

    app: str
    conversation: str
    chat_type: str | None
    messages: int
    senders: int
    first_ms: int | None
    last_ms: int | None


class Participant(NamedTuple):
    """A user by all conversations of an app; `sent` counts messages, instants are those of what was sent, in ms."""

    app: str
    participant: str
    conversations: int
    sent: int
    first_ms: int | None
    last_ms: int | None


class ListedSource(NamedTuple):
    """A source of an app that the database knows, and where its claim begins and ends, in ms."""

    app: str
    source: str
    complete_from_ms: int
    complete_until_ms: int


def conversations(
    tx: Tx, *, app: str | None, user: str | None, from_ms: int | None, to_ms: int | None, most: int
) -> list[Conversation]:
    """The conversations of a user, or all, with a message in this range; the latest first."""
    view, message = _conversations.c, messages.c
    query = sa.select(*view).order_by(view.last_sent_at.desc(), view.app, view.conversation).limit(most)
    if app is not None:
        query = query.where(view.app.in_(sorted(filters.app_names(tx, app))))
    # Which ones is asked once, not one by one: on a cluster, conversations are collected from all machines.
    one = sa.tuple_(view.app, view.conversation)
    if user is not None:
        person = _participants.c
        query = query.where(
            one.in_(sa.select(person.app, person.conversation).where(person.participant.in_(filters.user_ids(user))))
        )
    if from_ms is not None or to_ms is not None:
        first, last = filters.range_ms(filters.Filter(from_ms=from_ms, to_ms=to_ms)) or (0, 0)
        talked = sa.select(apps.c.name, message.conversation).join(apps, apps.c.id == message.app_id)
        query = query.where(
            one.in_(talked.where(message.sent_at.between(first, last), message.withheld.is_(None)).distinct())
        )
    return [Conversation(*row) for row in tx.conn.execute(query)]


def participants(tx: Tx, *, app: str | None, like: str | None, most: int) -> list[Participant]:
    """Users who sent something, the latest first; `like`: a part of the id, in any case."""
    view = _participants.c
    first, last = (sa.func.min(view.first_sent_at), sa.func.max(view.last_sent_at))
    query = (
        sa.select(view.app, view.participant, sa.func.count(), sa.func.sum(view.sent), first, last)
        .where(view.sent > 0)
        .group_by(view.app, view.participant)
        .order_by(last.desc(), view.app, view.participant)
        .limit(most)
    )
    if app is not None:
        query = query.where(view.app.in_(sorted(filters.app_names(tx, app))))
    if like is not None:
        query = query.where(view.participant.contains(like.lower(), autoescape=True))
    rows = tx.conn.execute(query).all()
    return [Participant(name, user, count, int(sent), *when) for name, user, count, sent, *when in rows]


def all_sources(tx: Tx) -> list[ListedSource]:
    """Every source that the database knows, by name."""
    same = sa.and_(watermarks.c.app_id == sources.c.app_id, watermarks.c.source == sources.c.source)
    query = (
        sa.select(apps.c.name, sources.c.source, watermarks.c.complete_from_ms, watermarks.c.complete_until_ms)
        .select_from(sources.join(apps).join(watermarks, same))
        .order_by(apps.c.name, sources.c.source)
    )
    return [ListedSource(*row) for row in tx.conn.execute(query)]
