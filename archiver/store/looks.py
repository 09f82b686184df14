"""Who read what people wrote: rows that are only added, before what they are about is shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.read.days import Conditions
from archiver.store.schema import apps, look_conversations, looks, messages

MOST_CONVERSATIONS = 10_000
"""More than so many are not listed one by one."""


class LookEntry(NamedTuple):
    """One look, as all of its rows have it."""

    look_id: str
    who: str
    via: str
    action: str
    filter: Mapping[str, Any]
    case_id: str | None = None
    reason: str | None = None
    page: int = 1


def append(tx: Tx, entry: LookEntry, outcome: str, count: int | None = None) -> None:
    """Add a row; `count`: how many hits, messages or rows are shown, or None where that is not known yet."""
    text = json.dumps(entry.filter, ensure_ascii=False, sort_keys=True)
    row: dict[str, Any] = entry._asdict() | {"filter": text, "outcome": outcome, "at": tx.now_ms(), "found": count}
    # Without the id in return, which an officer's rights do not cover: the trigger on PostgreSQL gives the login.
    tx.conn.execute(looks.insert().inline(), row)


def add_conversations(tx: Tx, look_id: str, shown: Iterable[tuple[str, str | None]]) -> None:
    """Note the conversations that a look shows, by the app's name; more than `MOST_CONVERSATIONS` as their apps."""
    pairs = list(dict.fromkeys(shown))
    if len(pairs) > MOST_CONVERSATIONS:
        pairs = list(dict.fromkeys((app, None) for app, _ in pairs))
    if not pairs:
        return
    numbers = {row.name: row.id for row in tx.conn.execute(sa.select(apps.c.name, apps.c.id))}
    rows = [
        {"look_id": look_id, "app_id": numbers[app], "conversation": conversation, "at": tx.now_ms()}
        for app, conversation in pairs
        if app in numbers
    ]
    tx.conn.execute(look_conversations.insert().inline(), rows)


def apps_named(tx: Tx, name: str | None) -> list[str]:
    """The apps that an option `--app` means: those of this name, in full or its last part; all without it."""
    names = tx.conn.scalars(sa.select(apps.c.name).order_by(apps.c.id)).all()
    return [one for one in names if name in (None, one, one.partition("#")[2])]


def conversations_of(tx: Tx, conditions: Conditions) -> list[tuple[str, str | None]]:
    """The conversations, with their apps, of which messages fit; at most one more than are listed."""
    query = (
        sa.select(apps.c.name, messages.c.conversation)
        .join_from(messages, apps, apps.c.id == messages.c.app_id)
        .where(*conditions)
        .distinct()
        .limit(MOST_CONVERSATIONS + 1)
    )
    return [(name, conversation) for name, conversation in tx.conn.execute(query)]
