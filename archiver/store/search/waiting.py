"""Searches what waits for the index, read as it is: by the tables, or by the views where a login sees no more."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any

import sqlalchemy as sa

from archiver.errors import QueryTooLong
from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import apps, message_bodies, message_revisions, messages, revision_bodies
from archiver.store.search.index import QUEUED, bodies_of, read_texts, revisions_of
from archiver.store.search.text import Terms

_Place = tuple[int, int, str, int, int]
"""timestamp_ms, app_id, msg_id, revision, position."""
_Columns = sa.ColumnCollection[str, sa.ColumnElement[Any]]
_WAITING = QUEUED.distinct()


def find(tx: Tx, query: Terms, criteria: Filter) -> Iterator[_Place]:
    """Where the terms are in what waits for the index."""
    # As values, so that it is planned by what is in it: mostly nothing.
    waiting = list(tx.conn.scalars(_WAITING))
    if not waiting:
        return
    conditions, ends_at = filters.of_envelopes(tx, criteria), _ends_at(tx)
    for unindexed, page_id, body_type in _unindexed(tx):
        of_these = unindexed.where(page_id.in_(waiting), *conditions)
        if criteria.types:
            of_these = of_these.where(body_type.in_(criteria.types))
        with closing(read_texts(tx, of_these)) as texts:
            for number, (app_id, msg_id, revision, position, timestamp_ms, text) in enumerate(texts):
                if number % _LOOK_AT_CLOCK == 0 and time.monotonic() > ends_at:
                    raise QueryTooLong
                if query.lead in text and all(other_text in text for other_text in query.others):
                    yield timestamp_ms, app_id, msg_id, revision, position


_LOOK_AT_CLOCK = 500


def _ends_at(tx: Tx) -> float:
    """When whoever waits for an answer waits no longer: a server's limit is for each of the many batches alone."""
    limits = tx.conn.get_execution_options().get("archiver_answers")
    return math.inf if limits is None else time.monotonic() + limits.statement_s


_Unindexed = tuple[sa.Select[Any], sa.ColumnElement[int], sa.ColumnElement[str]]
"""A query for the texts of bodies, the page that it can be narrowed by, and the type of the body."""


def _unindexed(tx: Tx) -> tuple[_Unindexed, _Unindexed]:
    """How to read first copies and revisions. A login that may not see `extra` as it came reads what the views show."""
    if tx.postgres and not tx.conn.execute(_SEES_EXTRA).scalar():
        return _readable_bodies(), _readable_revisions()
    return (
        (bodies_of(), messages.c.page_id, message_bodies.c.type),
        (revisions_of(), message_revisions.c.page_id, revision_bodies.c.type),
    )


_SEES_EXTRA = sa.select(sa.func.has_column_privilege("message_bodies", "extra", "SELECT"))


@cache
def _readable_bodies() -> _Unindexed:
    shown = _view("messages_readable")
    view = shown.c
    query = (
        sa.select(messages.c.app_id, messages.c.msg_id, sa.literal_column("0"))
        .add_columns(view.body_position, messages.c.timestamp_ms, *_texts_of(view))
        .join_from(messages, apps, apps.c.id == messages.c.app_id)
        .join(shown, sa.and_(view.app == apps.c.name, view.msg_id == messages.c.msg_id))
    )
    return _streamed(query.where(view.body_position.is_not(None))), messages.c.page_id, view.body_type


@cache
def _readable_revisions() -> _Unindexed:
    shown = _view("revisions_readable")
    view, revised = shown.c, message_revisions.c
    query = (
        sa.select(messages.c.app_id, messages.c.msg_id, revised.revision)
        .add_columns(view.body_position, messages.c.timestamp_ms, *_texts_of(view))
        .join_from(
            *(message_revisions, messages),
            sa.and_(revised.app_id == messages.c.app_id, revised.msg_id == messages.c.msg_id),
        )
        .join(apps, apps.c.id == messages.c.app_id)
        .join(
            shown,
            sa.and_(view.app == apps.c.name, view.msg_id == messages.c.msg_id, view.revision == revised.revision),
        )
    )
    return _streamed(query.where(view.body_position.is_not(None))), revised.page_id, view.body_type


def _view(name: str) -> sa.TableClause:
    columns = ("app", "msg_id", "revision", "body_position", "body_type", "text", "filename", "addr", "extra")
    return sa.table(name, *map(sa.column, columns))


def _texts_of(view: _Columns) -> tuple[sa.ColumnElement[Any], ...]:
    return view.text, view.filename, view.addr, sa.cast(view.extra, sa.Text)


def _streamed(query: sa.Select[Any]) -> sa.Select[Any]:
    return query.execution_options(yield_per=5_000)
