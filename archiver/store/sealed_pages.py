"""Pages with all that was stored by them and all that seals them, some at a time: for verification and baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from archiver.model import Body
from archiver.store.engine import Tx
from archiver.store.schema import (
    FATES,
    WITHHELD_ERASED,
    JsonText,
    apps,
    as_given,
    ledger,
    ledger_queue,
    message_bodies,
    message_revisions,
    messages,
    pages,
    quarantine,
    revision_bodies,
    seals,
)
from archiver.store.seals import CHANGED, NEW, QUARANTINED, Leaf

RECORDS_AT_ONCE = 2_000
LAST_PAGE = 2**62


class PageRow(NamedTuple):
    """A row of `pages`, with the name of its app. Instants in ms."""

    id: int
    app_id: int
    app: str
    window_id: int
    source: str
    fence: int
    fetched_ms: int
    server_ms: int | None
    sha256: str
    received: int
    new: int
    known: int
    changed: int
    quarantined: int
    outside: int

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        return (self.received, self.new, self.known, self.changed, self.quarantined)


class SealRow(NamedTuple):
    """A seal, with the entry that carries its root, from the ledger or from the queue; None: there is none."""

    id: int
    page_id: int
    leaves: int
    root: bytes
    seeds: bytes | None
    made_ms: int
    entry: str | None


class StoredRecord(NamedTuple):
    """A message or a revision (`revision` 0: a message) at its place; `columns` only where they were asked for."""

    page_id: int
    position: int
    raw: bytes
    app_id: int
    msg_id: str
    revision: int
    columns: Sequence[Any] = ()


class KeptRecord(NamedTuple):
    """A row of `quarantine` that a page brought."""

    id: int
    page_id: int
    position: int
    raw: bytes
    digest: bytes
    app_id: int
    source: str
    window_id: int
    seen_ms: int
    resolved: bool


_PAGE = sa.select(
    *(pages.c.id, pages.c.app_id, apps.c.name, pages.c.window_id, pages.c.source, pages.c.fence),
    *(pages.c.fetched_at, pages.c.server_ms, pages.c.sha256, *(pages.c[name] for name in FATES), pages.c.outside),
).select_from(pages.outerjoin(apps))
_SEAL = (
    sa.select(
        *(seals.c.id, seals.c.page_id, seals.c.leaves, seals.c.root, seals.c.seeds, seals.c.made_at),
        sa.func.coalesce(ledger.c.entry, ledger_queue.c.entry),
    )
    .select_from(
        seals.outerjoin(ledger, ledger.c.seal_id == seals.c.id).outerjoin(
            ledger_queue, ledger_queue.c.seal_id == seals.c.id
        )
    )
    .order_by(seals.c.page_id, seals.c.id)
)
MESSAGE = ("timestamp_ms", "sent_at", "sender", "recipient", "conversation", "chat_type", "direction", "ext")
"""Columns of a message that `decode` fills, before `digest` and `lossy`."""
REVISION = ("timestamp_ms", "seen_at", "digest")
_BODY = ("position", *Body._fields)


def _plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """JSON as its text: a value of jsonb loses digits on its way."""
    return sa.cast(column, sa.Text) if column.type is JsonText else column


def _between(column: Any, lo: int, hi: int) -> sa.ColumnElement[bool]:
    return sa.and_(column > lo, column <= hi)


def _is_there(withheld: Any) -> sa.ColumnElement[bool]:
    """Not of what was erased: its row has no content, and a tombstone has its leaf."""
    return sa.func.coalesce(withheld, 0) != WITHHELD_ERASED


def page_rows(tx: Tx, after: int, most: int) -> list[PageRow]:
    """Some pages behind an id, in order of id."""
    query = _PAGE.where(pages.c.id > after).order_by(pages.c.id).limit(most)
    return [PageRow(*row) for row in tx.conn.execute(query)]


def page_rows_between(tx: Tx, lo: int, hi: int) -> list[PageRow]:
    """The pages in a range of ids, `hi` included, in order of id."""
    return [PageRow(*row) for row in tx.conn.execute(_PAGE.where(_between(pages.c.id, lo, hi)).order_by(pages.c.id))]


def last_of(tx: Tx, after: int, count: int) -> int | None:
    """The last of so many pages behind an id; None where there are fewer."""
    query = sa.select(pages.c.id).where(pages.c.id > after).order_by(pages.c.id).offset(count - 1).limit(1)
    last: int | None = tx.conn.scalar(query)
    return last


def first_page_since(tx: Tx, since_ms: int) -> int | None:
    """The first page that was stored at a time or later."""
    first: int | None = tx.conn.scalar(sa.select(sa.func.min(pages.c.id)).where(pages.c.fetched_at >= since_ms))
    return first


def parts(rows: Sequence[PageRow], after: int, until: int) -> Iterator[tuple[int, int, list[PageRow]]]:
    """Pages in parts of not too many records: from behind which id, up to which, and the rows; without gaps."""
    part: list[PageRow] = []
    records = 0
    for row in rows:
        size = row.new + row.changed + row.quarantined + 1
        if part and records + size > RECORDS_AT_ONCE:
            yield after, part[-1].id, part
            after, part, records = part[-1].id, [], 0
        part.append(row)
        records += size
    yield after, until, part


def seal_rows(tx: Tx, lo: int, hi: int) -> list[SealRow]:
    """The seals of pages in a range of ids, `hi` included."""
    rows = tx.conn.execute(_SEAL.where(_between(seals.c.page_id, lo, hi)))
    return [SealRow(row[0], row[1], row[2], bytes(row[3]), row[4] and bytes(row[4]), *row[5:]) for row in rows]


_record = partial(tuple.__new__, StoredRecord)  # a fourth of what the class itself takes, for every message
_FIRST_COPY: sa.ColumnElement[int] = sa.literal_column("0")
_NO_COLUMNS: sa.ColumnElement[None] = sa.literal_column("NULL")


def stored(tx: Tx, lo: int, hi: int, *, columns: bool) -> dict[int, list[StoredRecord]]:
    """Messages and revisions by their page, of the pages in a range of ids, `hi` included; `columns`: with theirs."""
    m, r = messages.c, message_revisions.c
    if not columns:
        first = sa.select(m.page_id, m.position, as_given(m.raw), m.app_id, m.msg_id, _FIRST_COPY, _NO_COLUMNS)
        later = sa.select(r.page_id, r.position, as_given(r.raw), r.app_id, r.msg_id, r.revision, _NO_COLUMNS)
        first_copies = by_page(
            map(_record, tx.conn.execute(first.where(_between(m.page_id, lo, hi), _is_there(m.withheld))).all())
        )
        return by_page(map(_record, tx.conn.execute(later.where(_between(r.page_id, lo, hi))).all()), first_copies)
    return by_page(_with_columns(tx, lo, hi))


Row = TypeVar("Row", StoredRecord, KeptRecord, SealRow)


def by_page(rows: Iterable[Row], grouped: dict[int, list[Row]] | None = None) -> dict[int, list[Row]]:
    """Rows by the page that they belong to, in their order."""
    grouped = {} if grouped is None else grouped
    page_id, mine = None, []
    for row in rows:
        if row.page_id != page_id:
            page_id = row.page_id
            mine = grouped.setdefault(page_id, [])
        mine.append(row)
    return grouped


def _with_columns(tx: Tx, lo: int, hi: int) -> Iterator[StoredRecord]:
    m, r = messages.c, message_revisions.c
    # As milliseconds from the server, and from a file as its text: no instant is made of it for every message.
    sent = (
        sa.func.floor(sa.extract("epoch", m.sent_at) * 1000 + 0.5)
        if tx.postgres
        else sa.type_coerce(m.sent_at, sa.Text)
    )
    more = [sent if name == "sent_at" else _plain(m[name]) for name in (*MESSAGE, "digest", "lossy")]
    query = sa.select(m.page_id, m.position, m.raw, m.app_id, m.msg_id, *more)
    query = query.where(_between(m.page_id, lo, hi), _is_there(m.withheld))
    for row in tx.conn.execute(query).all():  # all at once costs half of what row by row does
        yield StoredRecord(row[0], row[1], row[2], row[3], row[4], 0, row[5:])
    more = [r[name] for name in REVISION]
    query = sa.select(r.page_id, r.position, r.raw, r.app_id, r.msg_id, r.revision, *more)
    for row in tx.conn.execute(query.where(_between(r.page_id, lo, hi))):
        yield StoredRecord(row[0], row[1], row[2], row[3], row[4], row[5], row[6:])


def kept(tx: Tx, lo: int, hi: int) -> list[KeptRecord]:
    """What the pages in a range of ids brought into quarantine."""
    q = quarantine.c
    columns = (q.id, q.page_id, q.position, q.raw, q.digest, q.app_id, q.source, q.window_id, q.seen_at, q.resolved_at)
    rows = tx.conn.execute(
        sa.select(*columns).where(_between(q.page_id, lo, hi), q.page_id != 0, _is_there(q.withheld))
    )
    return [KeptRecord(*row[:3], bytes(row[3]), bytes(row[4]), *row[5:9], row[9] is not None) for row in rows]


def leaves(stored: Sequence[StoredRecord], kept: Sequence[KeptRecord]) -> list[Leaf]:
    """What a page's seal commits to, as it stands now; what has left quarantine keeps the leaf that it had there."""
    leaves: list[Leaf] = [
        (position, CHANGED if revision else NEW, raw) for _, position, raw, _, _, revision, _ in stored
    ]
    if kept:
        was_kept = {row.position: row.raw for row in kept}
        leaves = [leaf for leaf in leaves if was_kept.get(leaf[0]) != leaf[2]]
        leaves += [(position, QUARANTINED, raw) for position, raw in was_kept.items()]
    return sorted(leaves)


def bodies(tx: Tx, lo: int, hi: int) -> dict[tuple[int, str, int], list[Sequence[Any]]]:
    """Bodies of messages and revisions by the pages in a range, by app, message and revision, in their order."""
    bodies: dict[tuple[int, str, int], list[Sequence[Any]]] = {}
    b, m = message_bodies.c, messages.c
    same = sa.and_(b.app_id == m.app_id, b.msg_id == m.msg_id)
    query = sa.select(b.app_id, b.msg_id, *(_plain(b[name]) for name in _BODY)).where(same, _between(m.page_id, lo, hi))
    for row in tx.conn.execute(query.order_by(b.app_id, b.msg_id, b.position)).all():
        bodies.setdefault((row[0], row[1], 0), []).append(row[2:])
    c, r = revision_bodies.c, message_revisions.c
    same = sa.and_(c.app_id == r.app_id, c.msg_id == r.msg_id, c.revision == r.revision)
    query = sa.select(c.app_id, c.msg_id, c.revision, *(_plain(c[name]) for name in _BODY))
    query = query.where(same, _between(r.page_id, lo, hi)).order_by(c.app_id, c.msg_id, c.revision, c.position)
    for row in tx.conn.execute(query):
        bodies.setdefault((row[0], row[1], row[2]), []).append(row[3:])
    return bodies


def has_content(tx: Tx, app_id: int, msg_id: str, digest: bytes) -> bool:
    """Whether the archive has this content under this id, as the first copy or as a revision."""
    for table in (messages, message_revisions):
        same = sa.and_(table.c.app_id == app_id, table.c.msg_id == msg_id, table.c.digest == digest)
        if tx.conn.execute(sa.select(table.c.msg_id).where(same).limit(1)).first() is not None:
            return True
    return False


def revisions_with_gaps(tx: Tx) -> list[tuple[int, str]]:
    """Messages whose revisions are not numbered from 1 on without gaps."""
    r = message_revisions.c
    query = sa.select(r.app_id, r.msg_id).group_by(r.app_id, r.msg_id)
    odd = sa.or_(sa.func.count() != sa.func.max(r.revision), sa.func.min(r.revision) != 1)
    return [(row[0], row[1]) for row in tx.conn.execute(query.having(odd).limit(1_000))]
