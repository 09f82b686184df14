"""Messages whose term is over: counted, and let go of, some pages at a time, with tombstones in their place.

A term begins at a message's stamp, or when it was archived where nobody can mean the stamp: before 2010, or more than
a day after it was archived. What a hold keeps is left out, as the holds are at that moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS
from archiver.store import burying, holds, removing
from archiver.store.burying import GoingRecord
from archiver.store.engine import Tx
from archiver.store.holds import HELD, NOTED, ROOM, HeldCount
from archiver.store.schema import (
    events,
    iso,
    message_bodies,
    message_revisions,
    messages,
    pages,
    revision_bodies,
    tombstones,
)

MESSAGES_AT_ONCE, PAGES_AT_ONCE = 1_000, 50
_LOOKED_AT, _PAGES_LOOKED_AT = 5_000, 500
MEANT_MS = 1_262_304_000_000
"""2010: no message of this provider is older."""
_Y2K_MS = 946_684_800_000
_ARCHIVED = {
    True: "CAST(floor(extract(epoch FROM m.archived_at) * 1000) AS bigint)",
    False: "CAST(round((julianday(m.archived_at) - 2440587.5) * 86400000) AS INTEGER)",
}
_BEGINS = (
    f"CASE WHEN m.timestamp_ms < {MEANT_MS} OR m.timestamp_ms > {{archived}} + {DAY_MS}"
    " THEN {archived} ELSE m.timestamp_ms END"
)
_IN_FORCE = "holds_in_force"
_VIEW = sa.table(_IN_FORCE, *(sa.column(name) for name in ("hold_id", "name", "app_id")))
_OF_HOLD = "(SELECT * FROM holds_in_force WHERE hold_id = :hold)"


class TermOver(NamedTuple):
    """What is over: the messages of an app whose term began before the floor."""

    app_id: int
    floor_ms: int


_NEXT_PAGES = sa.select(pages.c.id, pages.c.new + pages.c.changed).where(pages.c.id > sa.bindparam("after"))
_NEXT_PAGES = _NEXT_PAGES.order_by(pages.c.id).limit(_PAGES_LOOKED_AT)
_UNHELD = f"AND NOT {NOTED.replace('{holds}', _IN_FORCE)}"


def begins(tx: Tx) -> str:
    """When the term of a message `m` begins (ms), in SQL."""
    return _BEGINS.replace("{archived}", _ARCHIVED[tx.postgres])


def _over(tx: Tx, columns: str, *, held: str = f"AND NOT {HELD.replace('{holds}', _IN_FORCE)}") -> str:
    return f"SELECT {columns} FROM messages m WHERE m.app_id = :app_id AND {begins(tx)} < :floor_ms {held}"  # noqa: S608 - our own text


def _make_room(tx: Tx) -> None:
    if tx.postgres:
        tx.conn.exec_driver_sql(ROOM)


class Expiring(NamedTuple):
    """What would go. Bytes are those of records; `files` are contents that attachments of these messages name."""

    messages: int
    bytes: int
    files: int
    file_bytes: int
    first_ms: int | None
    last_ms: int | None
    before_2000: int
    by_month: dict[str, list[int]]
    """Of "2020-01" messages and bytes; of stamps outside 1970 to 9999 as "none"."""
    held: list[HeldCount]
    """How many are over, and kept by holds."""
    ids_sha256: str
    """Over the ids, whatever their order."""


def measure(tx: Tx, term: TermOver) -> Expiring:
    """Count what would go; reads all messages of the app."""
    _make_room(tx)
    query = sa.text(_over(tx, "m.msg_id, m.timestamp_ms, length(m.raw)")).execution_options(yield_per=5_000)
    count, total, digest, old = 0, 0, 0, 0
    first: int | None = None
    last: int | None = None
    months: dict[str, list[int]] = {}
    for msg_id, stamp_ms, size in tx.conn.execute(query, term._asdict()):
        count, total, old = count + 1, total + size, old + (stamp_ms < _Y2K_MS)
        digest = (digest + int.from_bytes(hashlib.sha256(msg_id.encode()).digest())) % 2**256
        first = stamp_ms if first is None else min(first, stamp_ms)
        last = stamp_ms if last is None else max(last, stamp_ms)
        month = months.setdefault((iso(stamp_ms) or "none")[:7], [0, 0])
        month[0], month[1] = month[0] + 1, month[1] + size
    files, file_bytes = _files(tx, term)
    by_month = dict(sorted(months.items()))
    return Expiring(count, total, files, file_bytes, first, last, old, by_month, _held(tx, term), f"{digest:064x}")


def _files(tx: Tx, term: TermOver) -> tuple[int, int]:
    over = _over(tx, "m.app_id, m.msg_id")
    text = (
        "SELECT count(*), coalesce(sum(a.size), 0) FROM attachments a"  # noqa: S608 - our own text
        f" WHERE a.app_id = :app_id AND a.state = 'stored' AND (a.app_id, a.msg_id) IN ({over})"
    )
    files, size = tx.conn.execute(sa.text(text), term._asdict()).one()
    return int(files), int(size)


def _held(tx: Tx, term: TermOver) -> list[HeldCount]:
    h = _VIEW.c
    numbers = tx.conn.execute(sa.select(h.hold_id, sa.func.min(h.name)).group_by(h.hold_id).order_by(h.hold_id)).all()
    query = sa.text(_over(tx, "count(*)", held=f"AND {HELD.replace('{holds}', _OF_HOLD)}"))
    counts = [
        HeldCount(number, name, int(tx.conn.execute(query, {**term._asdict(), "hold": number}).scalar_one()))
        for number, name in numbers
    ]
    return [one for one in counts if one.messages]


def left(tx: Tx, term: TermOver) -> int:
    """How many messages would go now."""
    _make_room(tx)
    return int(tx.conn.execute(sa.text(_over(tx, "count(*)")), term._asdict()).scalar_one())


def archived(tx: Tx) -> int:
    """How many messages the archive has."""
    return int(tx.conn.scalar(sa.select(sa.func.count()).select_from(messages)) or 0)


def gone(tx: Tx, request_id: int) -> int:
    """How many messages have expired by a request."""
    t = tombstones.c
    query = sa.select(sa.func.coalesce(sa.func.sum(t.messages), 0)).where(t.request_id == request_id)
    return int(tx.conn.execute(query.where(t.kind == "expired")).scalar_one())


class PagesOver(NamedTuple):
    """Pages with something that is over, and how many messages; `last`: behind which one to look next, None at the
    end."""

    counts: list[tuple[int, int]]
    last: int | None


class _First(NamedTuple):
    """A first copy that goes."""

    msg_id: str
    page_id: int
    position: int
    bodies: int
    is_husk: bool
    is_ahead: bool
    """Stamped behind the floor: it is over by when it was archived."""


def look(tx: Tx, term: TermOver, after: int) -> PagesOver:
    """The next pages behind one that have something which is over. A hint: what goes is asked under the lock."""
    last, brought = None, 0
    for page_id, new in tx.conn.execute(_NEXT_PAGES, {"after": after}):
        last, brought = page_id, brought + new
        if brought >= _LOOKED_AT:
            break
    if last is None:
        return PagesOver([], None)
    over = f"{_over(tx, 'm.page_id, count(*)', held=_UNHELD)} AND m.page_id > :after AND m.page_id <= :last"
    rows = tx.conn.execute(
        sa.text(f"{over} GROUP BY m.page_id ORDER BY m.page_id"), {**term._asdict(), "after": after, "last": last}
    )
    return PagesOver([(row[0], row[1]) for row in rows], last)


def parts(looked: PagesOver, size: Callable[[], int]) -> Iterator[list[int]]:
    """The pages of one transaction after the other: about `size` messages, as it says then, in one page or more."""
    chosen: list[int] = []
    total = 0
    for page_id, count in looked.counts:
        if chosen and (total + count > size() or len(chosen) == PAGES_AT_ONCE):
            yield chosen
            chosen, total = [], 0
        chosen.append(page_id)
        total += count
    if chosen:
        yield chosen


def expire(tx: Tx, term: TermOver, request_id: int, page_ids: Sequence[int]) -> int:
    """Let go of what is over on some pages; gives how many messages. The caller has the archive's lock."""
    holds.note(tx)
    firsts = _firsts(tx, term, page_ids)
    if not firsts:
        return 0
    places = list(_places(tx, term.app_id, firsts))
    msg_ids = [first.msg_id for first in firsts]
    burying.bury(tx, burying.Burial(term.app_id, request_id), places, msg_ids)
    removing.rows(tx, term.app_id, msg_ids)
    return sum(not first.is_husk for first in firsts)


def _firsts(tx: Tx, term: TermOver, page_ids: Sequence[int]) -> list[_First]:
    columns = "m.msg_id, m.page_id, m.position, coalesce(m.withheld, 0) = 2, m.timestamp_ms >= :floor_ms"
    over = _over(tx, columns, held=_UNHELD)
    query = sa.text(f"{over} AND m.page_id IN :pages ORDER BY m.msg_id").bindparams(
        sa.bindparam("pages", expanding=True)
    )
    rows = tx.conn.execute(query, {**term._asdict(), "pages": list(page_ids)}).all()
    of_these = removing.of_these(tx, message_bodies, term.app_id, [row[0] for row in rows])
    counting = sa.select(message_bodies.c.msg_id, sa.func.count()).where(of_these).group_by(message_bodies.c.msg_id)
    bodies = {row[0]: int(row[1]) for row in tx.conn.execute(counting)}
    return [_First(row[0], row[1], row[2], bodies.get(row[0], 0), bool(row[3]), bool(row[4])) for row in rows]


def _places(tx: Tx, app_id: int, firsts: Sequence[_First]) -> Iterator[GoingRecord]:
    for first in firsts:
        name = first.msg_id if first.is_ahead else None
        yield GoingRecord(first.page_id, first.position, int(not first.is_husk), first.bodies, 0, name)
    r, b = message_revisions.c, revision_bodies.c
    same = sa.and_(b.app_id == r.app_id, b.msg_id == r.msg_id, b.revision == r.revision)
    of_these = removing.of_these(tx, message_revisions, app_id, [first.msg_id for first in firsts])
    query = sa.select(r.page_id, r.position, sa.func.count(b.position)).outerjoin_from(
        message_revisions, revision_bodies, same
    )
    for page_id, position, count in tx.conn.execute(query.where(of_these).group_by(r.page_id, r.position)):
        yield GoingRecord(page_id, position, 0, count, 1)


def expire_events(tx: Tx, term: TermOver) -> int:
    """Let go of what callbacks reported before the floor of messages that are not there; gives how many.

    As of what could not be read, nobody knows which hold it belongs to: any of the app keeps it.
    """
    e, h = events.c, _VIEW.c
    held = sa.exists().where(sa.or_(h.app_id.is_(None), h.app_id == term.app_id))
    there = sa.exists().where(messages.c.app_id == e.app_id, messages.c.msg_id.in_((e.msg_id, e.target_msg_id)))
    old = events.delete().where(e.app_id == term.app_id, e.at_ms < term.floor_ms, ~there, ~held)
    return len(tx.conn.scalars(old.returning(e.id)).all())
