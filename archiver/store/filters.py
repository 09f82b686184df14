"""Which messages somebody asks for: one filter for searching, exporting and reading, in words that use the indexes."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from archiver.errors import UsageError
from archiver.store.engine import Tx
from archiver.store.schema import LAST_MS, apps, message_bodies, messages

m, b = messages.c, message_bodies.c


@dataclass(frozen=True, slots=True)
class Filter:
    """What is None or empty lets everything through. Times are a half-open range of the server's stamps, in ms.

    User ids are case-insensitive at the provider, which keeps them in lower case: a name is looked for as it was
    written and in lower case. A message stamped outside the years 1970 to 9999 lies in no range.
    """

    app: str | None = None
    """ "org#app", or its second half."""
    sender: str | None = None
    recipient: str | None = None
    conversation: str | None = None
    """A group's id, or both users joined by a bar, in any order."""
    from_ms: int | None = None
    to_ms: int | None = None
    types: tuple[str, ...] = ()
    """Of bodies: txt, img, ... A message passes when any of its bodies has one of them."""


def of_messages(tx: Tx, wanted: Filter) -> list[sa.ColumnElement[bool]]:
    """The conditions on `messages` for this filter. Raises UsageError for an app that is not in the archive."""
    found = of_envelopes(tx, wanted)
    if wanted.types:
        one_of = sa.select(b.position).where(b.app_id == m.app_id, b.msg_id == m.msg_id, b.type.in_(wanted.types))
        found.append(one_of.correlate(messages).exists())
    return found


def of_envelopes(tx: Tx, wanted: Filter) -> list[sa.ColumnElement[bool]]:
    """The same without the types: for who joins the bodies, and asks each of them."""
    found: list[sa.ColumnElement[bool]] = []
    if wanted.app is not None:
        found.append(m.app_id.in_(app_ids(tx, wanted.app)))
    if wanted.sender is not None:
        found.append(m.sender.in_(_spellings(wanted.sender)))
    if wanted.recipient is not None:
        found.append(m.recipient.in_(_spellings(wanted.recipient)))
    if wanted.conversation is not None:
        found.append(m.conversation.in_(conversation_ids(wanted.conversation)))
    if wanted.from_ms is not None or wanted.to_ms is not None:
        first_ms = max(wanted.from_ms or 0, 0)
        last_ms = LAST_MS if wanted.to_ms is None else min(wanted.to_ms - 1, LAST_MS)
        # Both columns, as each is the one that some index has.
        both = m.timestamp_ms.between(first_ms, last_ms), m.sent_at.between(first_ms, last_ms)
        found += both if first_ms <= last_ms else [sa.false()]
    return found


def app_ids(tx: Tx, name: str) -> list[int]:
    """The archived apps of a name ("org#app", or its second half)."""
    rows = tx.conn.execute(sa.select(apps.c.id, apps.c.name).order_by(apps.c.name)).all()
    found = [row.id for row in rows if name in (row.name, row.name.partition("#")[2])]
    if not found:
        known = ", ".join(row.name for row in rows) or "none"
        raise UsageError(f"no app named {name!r} is in the archive; there is: {known}")
    return found


def conversation_ids(text: str) -> list[str]:
    """The conversations that somebody can mean: a group's id as it is, or two users as the archive joins them."""
    first, bar, second = text.lower().partition("|")
    return _distinct(text, bar.join(sorted((first, second))) if bar else text.lower())


def _spellings(name: str) -> list[str]:
    return _distinct(name, name.lower())


def _distinct(*texts: str) -> list[str]:
    return list(dict.fromkeys(texts))
