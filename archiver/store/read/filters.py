"""Which messages somebody asks for: one filter for searching, exporting and reading, in words that use the indexes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.errors import UsageError
from archiver.store.engine import Tx
from archiver.store.schema import LAST_MS, apps, message_bodies, messages

m, b = messages.c, message_bodies.c


@dataclass(frozen=True, slots=True)
class Filter:
    """What is None or empty lets everything through. Times are a half-open range of the server's stamps, in ms.

    User ids match in any case, as they are the same at the provider; the ids of groups and rooms are exact. A message
    stamped outside the years 1970 to 9999 lies in no range.
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


@dataclass(frozen=True, slots=True)
class FilterUntil(Filter):
    """The same, but for what is stamped later: to go on behind a hit, also beyond the calendar."""

    until_ms: int = 0


def until(criteria: Filter, until_ms: int) -> FilterUntil:
    """A filter that lets nothing through that is stamped later."""
    given = {field.name: getattr(criteria, field.name) for field in fields(Filter)}
    return FilterUntil(**given, until_ms=until_ms)


def asked_for(criteria: Filter, **more: Any) -> dict[str, Any]:
    """What was chosen, without what lets everything through, as rows that say who asked have it."""
    options = {**asdict(criteria), **more}
    return {name: value for name, value in options.items() if value not in (None, ())}


def parsed(options: object) -> Filter:
    """A filter from what `asked_for` says of one, as JSON has it. Raises UsageError for anything else."""
    if not isinstance(options, dict) or not options.keys() <= {field.name for field in fields(Filter)}:
        raise UsageError("this is no filter of messages")
    for name, value in options.items():
        is_stamp = type(value) is int and abs(value) < 2**63
        is_right = is_stamp if name.endswith("_ms") else is_word(value)
        if name == "types":
            is_right = isinstance(value, list) and all(map(is_word, value))
        if not is_right:
            raise UsageError("this is no filter of messages")
    return Filter(**{**options, "types": tuple(options.get("types", ()))})


def is_word(value: object) -> bool:
    """A text that every database takes."""
    is_text = isinstance(value, str) and "\0" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)
    return is_text and value != ""


def of_messages(tx: Tx, criteria: Filter) -> list[sa.ColumnElement[bool]]:
    """The conditions on `messages` for this filter. Raises UsageError for an app that is not in the archive."""
    conditions = of_envelopes(tx, criteria)
    if criteria.types:
        one_of = sa.select(b.position).where(b.app_id == m.app_id, b.msg_id == m.msg_id, b.type.in_(criteria.types))
        conditions.append(one_of.correlate(messages).exists())
    return conditions


class Resolved(NamedTuple):
    """A filter as the archive compares it, lists with all that the given word can stand for; None: anything."""

    app_ids: list[int] | None
    senders: list[str] | None
    """As SQL's lower() may write the user's id."""
    recipients: list[str] | None
    conversations: list[str] | None


def resolve(tx: Tx, criteria: Filter) -> Resolved:
    """The apps, spellings and orders that a filter means: for searches, and for what holds must keep.

    Raises UsageError for an app that is not in the archive.
    """
    return Resolved(
        None if criteria.app is None else app_ids(tx, criteria.app),
        None if criteria.sender is None else user_ids(criteria.sender),
        None if criteria.recipient is None else user_ids(criteria.recipient),
        None if criteria.conversation is None else conversation_ids(criteria.conversation),
    )


def of_envelopes(tx: Tx, criteria: Filter) -> list[sa.ColumnElement[bool]]:
    """The same without the types: for who joins the bodies, and asks each of them. What is withheld never passes."""
    resolved = resolve(tx, criteria)
    conditions: list[sa.ColumnElement[bool]] = [m.withheld.is_(None)]
    compared = (m.app_id, sa.func.lower(m.sender), sa.func.lower(m.recipient), m.conversation)
    conditions += [column.in_(values) for column, values in zip(compared, resolved, strict=True) if values is not None]
    if limits := range_ms(criteria):
        # Both columns, as each is the one that some index has.
        conditions += (
            (m.timestamp_ms.between(*limits), m.sent_at.between(*limits)) if limits[0] <= limits[1] else (sa.false(),)
        )
    return conditions


def range_ms(criteria: Filter) -> tuple[int, int] | None:
    """The first and the last stamp that is asked for, if there is a limit; nothing lies between when they cross."""
    if criteria.from_ms is None and criteria.to_ms is None:
        return None
    return max(criteria.from_ms or 0, 0), LAST_MS if criteria.to_ms is None else min(criteria.to_ms - 1, LAST_MS)


def stamps(criteria: Filter) -> tuple[int, int] | None:
    """As `range_ms`, for stamps of every kind: without a range, those beyond the calendar count as well."""
    limits = range_ms(criteria)
    if not isinstance(criteria, FilterUntil):
        return limits
    return (-(2**63), criteria.until_ms) if limits is None else (limits[0], min(limits[1], criteria.until_ms))


def app_ids(tx: Tx, name: str) -> list[int]:
    """The archived apps of a name ("org#app", or its second half). Raises UsageError where there is none."""
    return [app_id for app_id, _ in _apps(tx, name)]


def app_names(tx: Tx, name: str) -> set[str]:
    """The same by their whole names."""
    return {whole for _, whole in _apps(tx, name)}


def _apps(tx: Tx, name: str) -> list[tuple[int, str]]:
    rows = tx.conn.execute(sa.select(apps.c.id, apps.c.name).order_by(apps.c.name)).all()
    named = [(row.id, row.name) for row in rows if name in (row.name, row.name.partition("#")[2])]
    if not named:
        known = ", ".join(row.name for row in rows) or "none"
        raise UsageError(f"no app named {name!r} is in the archive; there is: {known}")
    return named


def conversation_ids(text: str) -> list[str]:
    """The conversations that somebody can mean: a group's id as it is, or two users as the archive joins them."""
    first, bar, second = text.lower().partition("|")
    return _distinct(text, bar.join(sorted((first, second))) if bar else text.lower())


def user_ids(name: str) -> list[str]:
    """How SQL's lower() may write the id of a user who is named in whatever case, as ids are the same in any.

    SQLite's lower() knows ASCII, which the provider's ids are made of; what else a record may have is asked for in both
    cases.
    """
    return _distinct(name.lower(), _ascii_lower(name), _ascii_lower(name.upper()))


def _ascii_lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


def _distinct(*texts: str) -> list[str]:
    return list(dict.fromkeys(texts))
