"""Messages by their ids, with all that is known about them: as records, and as people read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import Archived, Body, File, Marks, Message, Revision
from archiver.store.engine import Tx
from archiver.store.read.events import marks_of
from archiver.store.schema import (
    as_given,
    attachments,
    events,
    instant_text,
    iso,
    late_arrivals,
    message_bodies,
    message_revisions,
    messages,
)

m = messages.c
Row = tuple[Any, ...]
"""As the driver gives it, in the order of the columns that were asked for."""


About = Mapping[str, tuple[tuple[Revision, ...], tuple[File, ...], Marks]]
"""Revisions, files and marks of the messages that have some."""


class Remarks(NamedTuple):
    """What there may be to say about messages of an app: what is not there need not be asked for."""

    revisions: bool = True
    files: bool = True
    marks: bool = True


ALL_REMARKS = Remarks()


def remarks_in(tx: Tx, app_id: int) -> Remarks:
    """Most apps have no revisions, and many no events: asked once for all messages of a day."""
    row = tx.conn.execute(_ANY, {"app": app_id}).one()
    return Remarks(*map(bool, row))


def about(tx: Tx, app_id: int, msg_ids: list[str], *, raw: bool, among: Remarks = ALL_REMARKS) -> About:
    """What is known about some messages; without `raw`, of revisions nothing but their digests."""
    revisions: dict[str, list[Revision]] = defaultdict(list)
    if among.revisions:
        query = _REVISIONS if raw else _REVISIONS_WITHOUT_RAW
        for msg_id, number, stamp_ms, seen_at, digest, content in _rows(tx, query, message_revisions, app_id, msg_ids):
            revisions[msg_id].append(Revision(number, stamp_ms, instant_text(seen_at), digest, content))
    files: dict[str, list[File]] = defaultdict(list)
    if among.files:
        for msg_id, *file in _rows(tx, _FILES, attachments, app_id, msg_ids):
            files[msg_id].append(File(*file))
    marks = marks_of(tx, app_id, msg_ids) if among.marks else {}
    return {
        msg_id: (tuple(revisions.get(msg_id, ())), tuple(files.get(msg_id, ())), marks.get(msg_id, Marks()))
        for msg_id in revisions.keys() | files.keys() | marks.keys()
    }


def lateness(tx: Tx, app_id: int, msg_ids: list[str]) -> dict[str, int]:
    """How late the late ones among these messages came, in ms."""
    return dict(_rows(tx, _LATE, late_arrivals, app_id, msg_ids))


def _rows(tx: Tx, query: sa.Select[Any], table: sa.Table, app_id: int, msg_ids: list[str]) -> list[Row]:
    return list(tx.conn.execute(query.where(table.c.app_id == app_id, tx.among(table.c.msg_id, msg_ids))).all())


def fetch(tx: Tx, app_id: int, app: str, msg_ids: list[str]) -> list[Archived]:
    """These messages of an app, in this order, with all that is known about them."""
    remarks, late = about(tx, app_id, msg_ids, raw=True), lateness(tx, app_id, msg_ids)
    bodies: dict[str, list[Row]] = defaultdict(list)
    for row in _rows(tx, _BODIES, message_bodies, app_id, msg_ids):
        bodies[row[0]].append(row)
    by_id = {}
    for row in _rows(tx, MESSAGE, messages, app_id, msg_ids):
        said = tuple([body_of(body[2:]) for body in _in_order(bodies.get(row[0], ()))])
        by_id[row[0]] = archived(app, row, said, late.get(row[0]), remarks)
    return [by_id[msg_id] for msg_id in msg_ids]


def _in_order(bodies: Sequence[Row]) -> Sequence[Row]:
    """By position. A database would sort a thousand rows that are nearly always one a message."""
    return bodies if len(bodies) < 2 else sorted(bodies, key=itemgetter(1))


UNREMARKABLE: tuple[tuple[Revision, ...], tuple[File, ...], Marks] = ((), (), Marks())
body_of = partial(tuple.__new__, Body)
"""Of the columns of BODY."""
_new: Any = tuple.__new__


def archived(app: str, row: Row, bodies: tuple[Body, ...], late_ms: int | None, remarks: About) -> Archived:
    """A message from its row, by the columns of MESSAGE: by place, for speed."""
    message = _new(Message, (*row[:7], bodies, *row[7:10], bool(row[10]), row[11]))
    times = iso(row[1]), instant_text(row[13])
    whole: Archived = _new(Archived, (app, message, *times, row[12], late_ms, *remarks.get(row[0], UNREMARKABLE)))
    return whole


def readable(tx: Tx, app_id: int, app: str, msg_ids: list[str]) -> list[Archived]:
    """The same for people: `raw` is empty, no file has its secret, and revisions have their bodies.

    It asks for nothing that archive_reader may not see.
    """
    remarks, late = about(tx, app_id, msg_ids, raw=False), lateness(tx, app_id, msg_ids)
    bodies, revised = (_read_bodies(tx, view, app, msg_ids) for view in (_MESSAGES_READABLE, _REVISIONS_READABLE))
    messages_by_id = {}
    for row in _rows(tx, _WITHOUT_RAW, messages, app_id, msg_ids):
        message = archived(app, (*row[:8], b"", *row[8:]), _said(bodies, row[0], 0), late.get(row[0]), remarks)
        revisions = tuple(
            revision._replace(bodies=_said(revised, row[0], revision.revision)) for revision in message.revisions
        )
        messages_by_id[row[0]] = message._replace(revisions=revisions)
    return [messages_by_id[msg_id] for msg_id in msg_ids]


def _said(bodies: Mapping[tuple[str, int], Sequence[Body]], msg_id: str, revision: int) -> tuple[Body, ...]:
    return tuple(bodies.get((msg_id, revision), ()))


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


_b, _r, _a, _l = message_bodies.c, message_revisions.c, attachments.c, late_arrivals.c
MESSAGE = sa.select(
    *(m.msg_id, m.timestamp_ms, m.sender, m.recipient, m.conversation, m.chat_type, m.direction, _text(m.ext)),
    *map(as_given, (m.raw, m.digest, m.lossy, m.position, m.page_id, m.archived_at)),
)
_WITHOUT_RAW = sa.select(*(column for column in MESSAGE.selected_columns if column.key != "raw"))
BODY = [_text(column) if column.name == "extra" else column for column in list(_b)[3:]]
_BODIES = sa.select(_b.msg_id, _b.position, *BODY)
_LATE = sa.select(_l.msg_id, _l.lateness_ms)
_REVISIONS, _REVISIONS_WITHOUT_RAW = (
    sa.select(_r.msg_id, _r.revision, _r.timestamp_ms, *map(as_given, (_r.seen_at, _r.digest)), content).order_by(
        _r.revision
    )
    for content in (as_given(_r.raw), sa.literal(b""))
)
_ANY = sa.select(
    *(
        sa.select(column).where(column == sa.bindparam("app", type_=sa.Integer)).exists().label(column.table.name)
        for column in (_r.app_id, _a.app_id, events.c.app_id)
    )
)
_FILES = sa.select(_a.msg_id, _a.position, _a.kind, _a.state, _a.reason, _a.sha256, _a.size, _a.media_type).order_by(
    _a.position, _a.kind
)
