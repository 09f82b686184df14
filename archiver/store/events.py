"""Events, which callbacks report: stored once for the same bytes, judged by what is known of their signatures.

They never touch messages, windows or watermarks. Of two that store one signature at once, the database decides who was
the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS, HOUR_MS, Event
from archiver.store import floors
from archiver.store.engine import Tx
from archiver.store.schema import WITHHELD_ERASED, attachments, callback_signatures, events, messages

WRONG_BYTES_A_DAY = 100 * 2**20
_KNOWN_FOR_MS, _FRESH_MS = 48 * HOUR_MS, DAY_MS
_COLUMNS = (
    *("app_id", "kind", "call_id", "msg_id", "target_msg_id", "at_ms", "actor", "conversation", "signed", "text"),
    *("apart", "raw", "digest", "received_at"),
)


class Arrival(NamedTuple):
    """An event on its way into the archive, with its bytes."""

    event: Event
    received_ms: int
    raw: bytes
    digest: bytes


class EventsStored(NamedTuple):
    """What became of arrivals: stored by kind and signature; known before; dropped, as too many were wrong; and erased:
    dropped, as they are about an erased message."""

    counts: Mapping[tuple[str, str], int]
    known: int
    dropped: int
    erased: int = 0


def store(tx: Tx, app_id: int, arrivals: Sequence[Arrival]) -> EventsStored:
    """Add the events of an app that are new, in the order in which they came.

    What reports of a time that has expired counts as known, and is not stored; nor is what reports of what was erased.
    """
    there = _known(tx, app_id, arrivals)
    floor_ms = floors.of_app(tx, app_id)
    kept = [one for one in arrivals if one.digest not in there and not _has_expired(floor_ms, one)]
    new = list({one.digest: one for one in reversed(kept)}.values())[::-1]
    gone = _erased(tx, app_id, new)
    erased = [one for one in new if gone & {one.event.msg_id, one.event.target_msg_id}]
    new = [one for one in new if not gone & {one.event.msg_id, one.event.target_msg_id}]
    fresh = _note_signatures(tx, app_id, new)
    left = WRONG_BYTES_A_DAY - _wrong_bytes(tx, app_id, new)
    rows: list[dict[str, Any]] = []
    counts: dict[tuple[str, str], int] = {}
    dropped = 0
    for one in new:
        signed = _judged(tx, app_id, one, fresh)
        if signed == "wrong":
            left -= len(one.raw)
            if left < 0:
                dropped += 1
                continue
        rows.append(_row(app_id, one, signed))
        counts[one.event.kind, signed] = counts.get((one.event.kind, signed), 0) + 1
    if rows:
        tx.conn.execute(tx.insert(events).on_conflict_do_nothing(index_elements=["app_id", "digest"]), rows)
    _endanger(tx, app_id, [row["target_msg_id"] for row in rows if _is_recall(row)])
    return EventsStored(counts, len(arrivals) - len(new) - len(erased), dropped, len(erased))


def _erased(tx: Tx, app_id: int, arrivals: Sequence[Arrival]) -> set[str | None]:
    """The erased messages that these events are about."""
    m = messages.c
    ids = {
        one for arrival in arrivals for one in (arrival.event.msg_id, arrival.event.target_msg_id) if one is not None
    }
    query = sa.select(m.msg_id).where(
        m.app_id == app_id, tx.among(m.msg_id, sorted(ids)), m.withheld == WITHHELD_ERASED
    )
    return set(tx.conn.scalars(query)) if ids else set()


def _has_expired(floor_ms: int | None, one: Arrival) -> bool:
    return floor_ms is not None and one.event.at_ms is not None and one.event.at_ms < floor_ms


def _row(app_id: int, one: Arrival, signed: str) -> dict[str, Any]:
    columns = {name: getattr(one.event, name) for name in _COLUMNS if name in Event._fields}
    more = {"app_id": app_id, "signed": signed, "raw": one.raw, "digest": one.digest, "received_at": one.received_ms}
    return columns | more


def _is_recall(row: Mapping[str, Any]) -> bool:
    return row["kind"] == "recall" and row["signed"] == "signed" and row["target_msg_id"] is not None


def _known(tx: Tx, app_id: int, arrivals: Sequence[Arrival]) -> set[bytes]:
    digests = [one.digest for one in arrivals]
    query = sa.select(events.c.digest).where(events.c.app_id == app_id, events.c.digest.in_(digests))
    return {bytes(digest) for digest in tx.conn.scalars(query)}


def _note_signatures(tx: Tx, app_id: int, arrivals: Sequence[Arrival]) -> dict[str, bytes]:
    """Which signatures are seen for the first time, and with which event."""
    first: dict[str, Arrival] = {}
    for one in arrivals:
        if one.event.signed == "signed" and one.event.signature is not None:
            first.setdefault(one.event.signature, one)
    if not first:
        return {}
    # In their order, or two writers would wait for each other.
    rows = [
        {"app_id": app_id, "signature": signature, "seen_at": one.received_ms}
        for signature, one in sorted(first.items())
    ]
    insert = tx.insert(callback_signatures).on_conflict_do_nothing()
    added = tx.conn.scalars(insert.returning(callback_signatures.c.signature), rows).all()
    return {signature: first[signature].digest for signature in added}


def forget_signatures(tx: Tx, app_id: int, received_ms: int) -> None:
    """Let go of signatures that are too old to be used again, by those who take in what came since `received_ms`.

    It reads all signatures of the app: once for all that is read in, not for every transaction of it.
    """
    c = callback_signatures.c
    tx.conn.execute(callback_signatures.delete().where(c.app_id == app_id, c.seen_at < received_ms - _KNOWN_FOR_MS))


def _judged(tx: Tx, app_id: int, one: Arrival, fresh: Mapping[str, bytes]) -> str:
    """A signature that was seen with other bytes is a replay, and so is one that is a day old.

    Offline copies of a message share its callId, and with it the signature.
    """
    event = one.event
    if event.signed != "signed" or event.signature is None:
        return event.signed
    if event.stamp_ms is None or abs(event.stamp_ms - one.received_ms) > _FRESH_MS:
        return "replayed"
    if fresh.get(event.signature) == one.digest or _is_copy(tx, app_id, event):
        return "signed"
    return "replayed"


def _is_copy(tx: Tx, app_id: int, event: Event) -> bool:
    """Whether this announces the message that the callId names, as no other kind of event with that id does."""
    if event.kind != "message" or event.msg_id is None or not (event.call_id or "").endswith(f"_{event.msg_id}"):
        return False
    others = sa.and_(events.c.app_id == app_id, events.c.msg_id == event.msg_id, events.c.kind != "message")
    return tx.conn.execute(sa.select(events.c.id).where(others).limit(1)).first() is None


def _wrong_bytes(tx: Tx, app_id: int, arrivals: Sequence[Arrival]) -> int:
    """How many bytes of wrong events were kept of the day before the first of these; 0 where none of these is wrong."""
    since = [one.received_ms for one in arrivals if one.event.signed == "wrong"]
    if not since:
        return 0
    e = events.c
    query = sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(e.raw)), 0))
    return int(
        tx.conn.scalar(query.where(e.app_id == app_id, e.signed == "wrong", e.received_at > min(since) - DAY_MS)) or 0
    )


def _endanger(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> None:
    """The provider deletes the files of what is recalled: those that wait are due now, and come first."""
    if not msg_ids:
        return
    a, soon_ms = attachments.c, tx.now_ms() + DAY_MS
    is_open = sa.and_(
        a.app_id == app_id, tx.among(a.msg_id, list(msg_ids)), sa.text("attachments.state IN ('pending', 'failed')")
    )
    sooner = sa.case((a.expires_at < soon_ms, a.expires_at), else_=sa.literal(soon_ms, a.expires_at.type))
    tx.conn.execute(attachments.update().where(is_open).values(next_attempt_at=None, expires_at=sooner))
