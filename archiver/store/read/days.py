"""Messages on their way out: a day of an app at a time, in a fixed order, in batches of bounded size.

By time, one streamed query gives them with their bodies, but for long records: one may be as large as twenty thousand
others, so these are fetched by key, as many at once as their bytes allow. By conversation a database sorts all that
was said on a day: of a large one a first query gives the keys. Both databases give the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.sql.operators import custom_op

from archiver.model import DAY_MS, Archived, Body, File, Marks, Revision
from archiver.store.engine import Tx
from archiver.store.read.messages import (
    BODY,
    MESSAGE,
    UNREMARKABLE,
    About,
    Remarks,
    Row,
    about,
    archived,
    body_of,
    fetch,
    lateness,
    remarks_in,
)
from archiver.store.schema import apps, as_given, attachments, late_arrivals, message_bodies, messages
from archiver.zones import Calendar

m = messages.c
_FIRST = date(1970, 1, 1)
_MOST, _MOST_BYTES = 500, 2 << 20
"""Of a batch: messages, and bytes of their records."""
_LONG = 8 << 10
_SORTED_WHOLE = 50_000
"""Messages of a day that a database may sort by conversation with all that they hold."""
_ROWS_AT_ONCE = 500
Conditions = Sequence[sa.ColumnElement[bool]]
_T = TypeVar("_T")


class Day(NamedTuple):
    """One app and one day of a zone. `number` counts from 1970; None for stamps outside 1970 to 9999."""

    app_id: int
    app: str
    number: int | None
    messages: int
    lo_ms: int = 0
    hi_ms: int = 0

    @property
    def name(self) -> str | None:
        return None if self.number is None else (_FIRST + timedelta(days=self.number)).isoformat()


class Known(NamedTuple):
    """What tells a message with all that is known about it from any other, without its content."""

    msg_id: str
    digest: bytes
    lateness_ms: int | None
    revisions: tuple[Revision, ...]
    files: tuple[File, ...]
    marks: Marks


known_of = partial(tuple.__new__, Known)


def days(tx: Tx, conditions: Conditions, calendar: Calendar) -> list[Day]:
    """Every day with messages, app by app, in order of time; those without a day last."""
    rows = _counted(tx, conditions, DAY_MS)
    grain_ms = calendar.grain_ms({number for _, _, number, _ in rows if number is not None})
    if grain_ms != DAY_MS:
        rows = _counted(tx, conditions, grain_ms)
    counts: Counter[tuple[int, str, int | None]] = Counter()
    for app_id, app, number, count in rows:
        counts[app_id, app, None if number is None else calendar.number(number * grain_ms)] += count
    by_day = [
        Day(*key, count, *(calendar.range_of(key[2]) if key[2] is not None else ())) for key, count in counts.items()
    ]
    return sorted(by_day, key=lambda day: (day.app, day.number is None, day.number or 0))


def _counted(tx: Tx, conditions: Conditions, step_ms: int) -> Sequence[Any]:
    """Rows of (app_id, app, number of the step, messages in it)."""
    number = sa.case((m.sent_at.is_not(None), m.timestamp_ms // step_ms), else_=None).label("number")
    query = sa.select(m.app_id, apps.c.name, number, sa.func.count()).join(apps, apps.c.id == m.app_id)
    return tx.conn.execute(query.where(*conditions).group_by(m.app_id, apps.c.name, number)).all()


def hold_snapshot(tx: Tx) -> None:
    """Let a reader pause for longer than a writer may, as while it writes files to a slow disk: it holds nobody up."""
    if tx.postgres:
        tx.conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '1h'")


def batches(tx: Tx, day: Day, conditions: Conditions, by_conversation: bool) -> Generator[list[Archived], None, None]:
    """The messages of a day, by time, or one conversation after the other."""
    if by_conversation and day.messages > _SORTED_WHOLE:
        for keys in keys_of_day(tx, day, conditions, by_conversation):
            yield fetch(tx, day.app_id, day.app, [key[0] for key in keys])
        return
    query = _JOINED.where(*_of_day(tx, day), *conditions).order_by(*_order(tx, by_conversation), _b.position)
    among = remarks_in(tx, day.app_id)
    messages = (list(some) for _, some in groupby(_stream(tx, query), itemgetter(0)))
    for batch in _bounded(messages, lambda message: message[0][_SIZE]):
        yield _read(tx, day, batch, among)


def known(tx: Tx, day: Day, conditions: Conditions, by_conversation: bool) -> Iterator[list[Known]]:
    """The same messages in the same order without their content: what a comparison needs."""
    for keys in keys_of_day(tx, day, conditions, by_conversation):
        msg_ids = [key[0] for key in keys]
        remarks, late = about(tx, day.app_id, msg_ids, raw=False), lateness(tx, day.app_id, msg_ids)
        yield [
            Known(msg_id, digest, late.get(msg_id), *remarks.get(msg_id, UNREMARKABLE)) for msg_id, digest, _ in keys
        ]


def keys_of_day(tx: Tx, day: Day, conditions: Conditions, by_conversation: bool) -> Iterator[list[Row]]:
    """Rows of (msg_id, digest, bytes of the record), as many at once as may be fetched at once."""
    query = _KEYS.where(*_of_day(tx, day), *conditions).order_by(*_order(tx, by_conversation))
    return _bounded(_stream(tx, query), itemgetter(2))


def stored_contents(tx: Tx, day: Day, conditions: Conditions) -> Iterator[tuple[str, str | None]]:
    """SHA-256 and media type of each stored content that the messages of a day point to."""
    a = attachments.c
    query = (
        sa.select(a.sha256, sa.func.min(a.media_type))
        .join(messages, sa.and_(m.app_id == a.app_id, m.msg_id == a.msg_id))
        .where(*_of_day(tx, day), *conditions, a.state == "stored")
        .group_by(a.sha256)
        .order_by(a.sha256)
    )
    yield from _stream(tx, query)


def _of_day(tx: Tx, day: Day) -> list[sa.ColumnElement[bool]]:
    # SQLite without statistics would rather look through all that an app has, day by day: a sign hides its key.
    app_id = m.app_id if tx.postgres else sa.UnaryExpression(m.app_id, operator=custom_op("+"), type_=sa.Integer())
    if day.number is None:
        return [app_id == day.app_id, m.sent_at.is_(None)]
    # By sent_at, which has an index; the last day of the calendar has no next one.
    return [app_id == day.app_id, m.sent_at >= day.lo_ms, m.sent_at <= day.hi_ms - 1]


def _order(tx: Tx, by_conversation: bool) -> list[sa.ColumnElement[Any]]:
    by_time = [m.sent_at, m.timestamp_ms, _bytewise(tx, m.msg_id)]
    return [m.conversation.is_(None), _bytewise(tx, m.conversation), *by_time] if by_conversation else by_time


def _bytewise(tx: Tx, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """Ordered as SQLite orders it, whatever a PostgreSQL database was created with."""
    return sa.collate(column, "C") if tx.postgres else column


def _stream(tx: Tx, query: sa.Select[Any]) -> Iterator[Any]:
    with closing(tx.conn.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))) as result:
        for rows in result.partitions():
            yield from rows


def _bounded(some: Iterable[_T], size_of: Callable[[_T], int]) -> Iterator[list[_T]]:
    """As many messages as a batch may have."""
    batch: list[_T] = []
    total = 0
    for message in some:
        size = size_of(message)
        if batch and (len(batch) == _MOST or total + size > _MOST_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(message)
        total += size
    if batch:
        yield batch


def _read(tx: Tx, day: Day, batch: Sequence[Sequence[Row]], among: Remarks) -> list[Archived]:
    remarks = about(tx, day.app_id, [rows[0][0] for rows in batch], raw=True, among=among)
    long = [rows[0][0] for rows in batch if rows[0][_SIZE] > _LONG]
    fetched = dict(zip(long, fetch(tx, day.app_id, day.app, long), strict=True)) if long else {}
    return [fetched.get(rows[0][0]) or _of_rows(day.app, rows, remarks) for rows in batch]


def _of_rows(app: str, rows: Sequence[Row], remarks: About) -> Archived:
    first = rows[0]
    bodies: tuple[Body, ...] = ()
    if first[_POSITION] is not None:  # a message with one body is the rule
        bodies = (body_of(first[_BODY:]),) if len(rows) == 1 else tuple([body_of(row[_BODY:]) for row in rows])
    return archived(app, first, bodies, first[_LATENESS], remarks)


_KEYS = sa.select(m.msg_id, as_given(m.digest), sa.func.length(m.raw))
_b, _l = message_bodies.c, late_arrivals.c
_IS_SHORT = sa.func.length(m.raw) <= _LONG
_RAW = sa.case((sa.and_(_IS_SHORT, sa.func.coalesce(_b.position, 0) == 0), as_given(m.raw)))
"""Once, and not with every body."""
_JOINED = (
    sa.select(
        *(_RAW.label("raw") if column.key == "raw" else column for column in MESSAGE.selected_columns),
        *(sa.func.length(m.raw), _l.lateness_ms, _b.position, *BODY),
    )
    .outerjoin(late_arrivals, sa.and_(_l.app_id == m.app_id, _l.msg_id == m.msg_id))
    .outerjoin(message_bodies, sa.and_(_IS_SHORT, _b.app_id == m.app_id, _b.msg_id == m.msg_id))
)
_SIZE, _LATENESS, _POSITION, _BODY = (len(MESSAGE.selected_columns) + place for place in range(4))
