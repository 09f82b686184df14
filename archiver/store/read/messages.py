"""Messages on their way out: a day of an app at a time, in a fixed order, in batches of bounded size.

The keys of a day come from one streamed query; rows are then fetched by key, so many at once as their records' bytes
allow, because one record may be as large as twenty thousand others. Both databases give the same order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS, Archived, Body, File, Marks, Message, Revision
from archiver.store.engine import Tx
from archiver.store.read.events import marks_of
from archiver.store.schema import (
    apps,
    as_given,
    attachments,
    iso,
    late_arrivals,
    message_bodies,
    message_revisions,
    messages,
)
from archiver.zones import Calendar

m = messages.c
_FIRST = date(1970, 1, 1)
_KEYS_AT_ONCE = 1000
_BYTES_AT_ONCE = 2 << 20
Conditions = Sequence[sa.ColumnElement[bool]]


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


def batches(tx: Tx, day: Day, conditions: Conditions, by_conversation: bool) -> Iterator[list[Archived]]:
    """The messages of a day, by time, or one conversation after the other."""
    for keys in keys_of_day(tx, day, conditions, by_conversation):
        yield fetch(tx, day.app_id, day.app, [msg_id for msg_id, _, _ in keys])


def known(tx: Tx, day: Day, conditions: Conditions, by_conversation: bool) -> Iterator[list[Known]]:
    """The same messages in the same order without their content: what a comparison needs."""
    for keys in keys_of_day(tx, day, conditions, by_conversation):
        about = _About(tx, day.app_id, [msg_id for msg_id, _, _ in keys], raw=False)
        yield [Known(msg_id, bytes(digest), *about.of(msg_id)) for msg_id, digest, _ in keys]


def stored_contents(tx: Tx, day: Day, conditions: Conditions) -> Iterator[tuple[str, str | None]]:
    """SHA-256 and media type of each stored content that the messages of a day point to."""
    a = attachments.c
    query = (
        sa.select(a.sha256, sa.func.min(a.media_type))
        .join(messages, sa.and_(m.app_id == a.app_id, m.msg_id == a.msg_id))
        .where(*_of_day(day), *conditions, a.state == "stored")
        .group_by(a.sha256)
        .order_by(a.sha256)
    )
    with closing(tx.conn.execute(query.execution_options(yield_per=_KEYS_AT_ONCE))) as result:
        for row in result:
            yield row[0], row[1]


def _of_day(day: Day) -> list[sa.ColumnElement[bool]]:
    if day.number is None:
        return [m.app_id == day.app_id, m.sent_at.is_(None)]
    # By sent_at, which has an index; the last day of the calendar has no next one.
    return [m.app_id == day.app_id, m.sent_at >= day.lo_ms, m.sent_at <= day.hi_ms - 1]


def keys_of_day(tx: Tx, day: Day, conditions: Conditions, by_conversation: bool) -> Iterator[list[Any]]:
    """Rows of (msg_id, digest, bytes of the record), as many at once as may be fetched at once."""
    order: list[Any] = [m.sent_at, m.timestamp_ms, _bytewise(tx, m.msg_id)]
    if by_conversation:
        order = [m.conversation.is_(None), _bytewise(tx, m.conversation), *order]
    query = sa.select(m.msg_id, m.digest, sa.func.length(m.raw)).where(*_of_day(day), *conditions).order_by(*order)
    batch: list[Any] = []
    size = 0
    with closing(tx.conn.execute(query.execution_options(yield_per=_KEYS_AT_ONCE))) as result:
        for row in result:
            if batch and (len(batch) == _KEYS_AT_ONCE or size + row[2] > _BYTES_AT_ONCE):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += row[2]
    if batch:
        yield batch


def _bytewise(tx: Tx, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """Ordered as SQLite orders it, whatever a PostgreSQL database was created with."""
    return sa.collate(column, "C") if tx.postgres else column


class _About:
    """Lateness, revisions and files of some messages."""

    def __init__(self, tx: Tx, app_id: int, msg_ids: list[str], *, raw: bool) -> None:
        late, r, a = late_arrivals.c, message_revisions.c, attachments.c
        query = sa.select(late.msg_id, late.lateness_ms)
        self._late = dict(_rows(tx, query, late_arrivals, app_id, msg_ids))
        self._revisions: dict[str, list[Revision]] = defaultdict(list)
        columns = (r.msg_id, r.revision, r.timestamp_ms, r.seen_at, r.digest, r.raw if raw else sa.literal(b""))
        for msg_id, revision, timestamp_ms, seen_ms, digest, content in _rows(
            tx, sa.select(*columns).order_by(r.revision), message_revisions, app_id, msg_ids
        ):
            found = Revision(revision, timestamp_ms, iso(seen_ms), bytes(digest), bytes(content))
            self._revisions[msg_id].append(found)
        self._files: dict[str, list[File]] = defaultdict(list)
        files = sa.select(a.msg_id, a.position, a.kind, a.state, a.reason, a.sha256, a.size, a.media_type)
        for msg_id, *file in _rows(tx, files.order_by(a.position, a.kind), attachments, app_id, msg_ids):
            self._files[msg_id].append(File(*file))

    def of(self, msg_id: str) -> tuple[int | None, tuple[Revision, ...], tuple[File, ...]]:
        return self._late.get(msg_id), tuple(self._revisions.get(msg_id, ())), tuple(self._files.get(msg_id, ()))


def _rows(tx: Tx, query: sa.Select[Any], table: sa.Table, app_id: int, msg_ids: list[str]) -> list[Any]:
    found = tx.conn.execute(query.where(table.c.app_id == app_id, tx.among(table.c.msg_id, msg_ids)))
    return list(found.all())


def fetch(tx: Tx, app_id: int, app: str, msg_ids: list[str]) -> list[Archived]:
    """These messages of an app, in this order, with all that is known about them."""
    about, marks = _About(tx, app_id, msg_ids, raw=True), marks_of(tx, app_id, msg_ids)
    bodies: dict[str, list[Any]] = defaultdict(list)
    for row in _rows(tx, _BODIES, message_bodies, app_id, msg_ids):
        bodies[row[0]].append(row)
    by_id = {}
    # By place: thousands of dictionaries by name took a third of an export.
    for msg_id, stamp_ms, *parties, ext, raw, digest, lossy, position, page_id, archived_ms in _rows(
        tx, _MESSAGES, messages, app_id, msg_ids
    ):
        said = tuple([_body(row[2:]) for row in _in_order(bodies.get(msg_id, ()))])
        message = _message((msg_id, stamp_ms, *parties, said, ext, raw, digest, lossy, position))
        times = iso(stamp_ms), iso(archived_ms)
        by_id[msg_id] = _archived((app, message, *times, page_id, *about.of(msg_id), marks.get(msg_id, _UNMARKED)))
    return [by_id[msg_id] for msg_id in msg_ids]


def _in_order(bodies: Sequence[Any]) -> Sequence[Any]:
    """By position. A database would sort a thousand rows that are nearly always one for each message."""
    return bodies if len(bodies) < 2 else sorted(bodies, key=itemgetter(1))


_UNMARKED = Marks()
_body = partial(tuple.__new__, Body)
_message = partial(tuple.__new__, Message)
_archived = partial(tuple.__new__, Archived)


def readable(tx: Tx, app_id: int, app: str, msg_ids: list[str]) -> list[Archived]:
    """The same for people: `raw` is empty, no file has its secret, and revisions have their bodies.

    It asks for nothing that archive_reader may not see.
    """
    about, marks = _About(tx, app_id, msg_ids, raw=False), marks_of(tx, app_id, msg_ids)
    bodies, revised = (_read_bodies(tx, view, app, msg_ids) for view in (_MESSAGES_READABLE, _REVISIONS_READABLE))
    rows = tx.conn.execute(_WITHOUT_RAW.where(m.app_id == app_id, tx.among(m.msg_id, msg_ids))).all()
    messages_by_id = {}
    for row in rows:
        columns = dict(row._mapping)
        page_id, archived_ms = columns.pop("page_id"), columns.pop("archived_at")
        message = Message(**columns, raw=b"", bodies=tuple(bodies.get((row.msg_id, 0), ())))
        lateness_ms, revisions, files = about.of(row.msg_id)
        revisions = tuple(
            revision._replace(bodies=tuple(revised.get((row.msg_id, revision.revision), ()))) for revision in revisions
        )
        times = iso(row.timestamp_ms), iso(archived_ms)
        marked = marks.get(row.msg_id, Marks())
        messages_by_id[row.msg_id] = Archived(app, message, *times, page_id, lateness_ms, revisions, files, marked)
    return [messages_by_id[msg_id] for msg_id in msg_ids]


def _read_bodies(tx: Tx, view: sa.TableClause, app: str, msg_ids: list[str]) -> dict[tuple[str, int], list[Body]]:
    """Bodies as a view shows them, by message and revision; 0 for the first copy."""
    columns = view.c
    revision = columns.revision if "revision" in columns else sa.literal(0)
    query = (
        sa.select(columns.msg_id, revision, columns.body_type, *(_shown(columns[name]) for name in _OF_A_BODY))
        .where(columns.app == app, tx.among(columns.msg_id, msg_ids), columns.body_position.is_not(None))
        .order_by(columns.body_position)
    )
    bodies: dict[tuple[str, int], list[Body]] = defaultdict(list)
    for msg_id, number, body_type, *values in tx.conn.execute(query):
        fields = dict(zip(_OF_A_BODY, values, strict=True))
        bodies[msg_id, number].append(_NO_BODY._replace(type=body_type, **fields))
    return bodies


def _shown(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.cast(column, sa.Text) if column.key == "extra" else column


_NO_BODY = Body()
_OF_A_BODY = tuple(name for name in Body._fields if name not in ("type", "secret", "thumb_url", "thumb_secret"))
_MESSAGES_READABLE, _REVISIONS_READABLE = (
    sa.table(view, *(sa.column(name) for name in ("app", "msg_id", *more, "body_position", "body_type", *_OF_A_BODY)))
    for view, more in (("messages_readable", ()), ("revisions_readable", ("revision",)))
)


def _text(column: sa.Column[Any]) -> sa.ColumnElement[str]:
    """JSON as text on both databases, not parsed by the driver of one of them."""
    return sa.cast(column, sa.Text).label(column.name)


_MESSAGES = sa.select(
    *(m.msg_id, m.timestamp_ms, m.sender, m.recipient, m.conversation, m.chat_type, m.direction),
    *(_text(m.ext), as_given(m.raw), as_given(m.digest), m.lossy, m.position, m.page_id, m.archived_at),
)
_WITHOUT_RAW = sa.select(*(column for column in _MESSAGES.selected_columns if column.key != "raw"))
_b = message_bodies.c
_BODIES = sa.select(_b.msg_id, *(_text(column) if column.name == "extra" else column for column in list(_b)[2:]))
