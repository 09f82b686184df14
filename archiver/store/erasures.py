"""What a request to erase names: messages that somebody asked for, and others that quote them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.erasures_file import ErasureLine
from archiver.errors import UsageError
from archiver.store.engine import Tx
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import (
    WITHHELD_ERASED,
    WITHHELD_SEALED,
    apps,
    audit_log,
    messages,
    quarantine,
    request_items,
    requests,
    tombstones,
)

ASKED, RELATED = "asked", "related"
ERASE, REAPPLIED = "erase", "reapplied"
_AT_ONCE = 5_000


class RequestItem(NamedTuple):
    """A message that a request names, and whether it was asked for itself, or as one that quotes such."""

    app_id: int
    msg_id: str
    line: str = ASKED


def digest_of(items: Sequence[RequestItem]) -> str:
    """Over the items, whatever their order: what an approval is bound to."""
    lines = sorted(json.dumps(list(one)) for one in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def chosen(tx: Tx, criteria: Filter) -> list[RequestItem]:
    """The messages that a filter lets through. Raises UsageError for an app that is not archived."""
    query = sa.select(messages.c.app_id, messages.c.msg_id).where(*filters.of_messages(tx, criteria))
    return [RequestItem(row[0], row[1]) for row in tx.conn.execute(query)]


def there(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> set[str]:
    """Those of these messages that the archive has, and that are not erased."""
    m, ids = messages.c, set[str]()
    for first in range(0, len(msg_ids), _AT_ONCE):
        those = tx.among(m.msg_id, list(msg_ids[first : first + _AT_ONCE]))
        left = sa.func.coalesce(m.withheld, 0) != WITHHELD_ERASED
        ids.update(tx.conn.scalars(sa.select(m.msg_id).where(m.app_id == app_id, those, left)))
    return ids


def add_items(tx: Tx, request_id: int, items: Sequence[RequestItem]) -> None:
    """Store what a request names, in the transaction that stores the request."""
    rows = [(request_id, *one) for one in sorted(items)]
    for first in range(0, len(rows), _AT_ONCE):
        tx.append(request_items, ("request_id", "app_id", "msg_id", "line"), rows[first : first + _AT_ONCE])


def items(tx: Tx, request_id: int) -> list[RequestItem]:
    """What a request names, in order."""
    i = request_items.c
    query = sa.select(i.app_id, i.msg_id, i.line).where(i.request_id == request_id)
    return sorted(RequestItem(*row) for row in tx.conn.execute(query))


def app_names(tx: Tx) -> dict[int, str]:
    """The apps of the archive by their numbers."""
    return {row[0]: row[1] for row in tx.conn.execute(sa.select(apps.c.id, apps.c.name))}


def may_read_quarantine(tx: Tx) -> bool:
    """Whether this login sees the bytes of records that could not be read."""
    sees = sa.select(sa.func.has_column_privilege("quarantine", "raw", "SELECT"))
    return not tx.postgres or bool(tx.conn.execute(sees).scalar())


class NamingRecord(NamedTuple):
    """A quarantined record that contains the id of a message."""

    id: int
    source: str
    window_id: int
    page_id: int
    position: int
    raw: bytes


def naming(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> list[NamingRecord]:
    """The quarantined records of an app that contain one of these ids as a word, and are not erased."""
    q = quarantine.c
    columns = (q.id, q.source, q.window_id, q.page_id, q.position, q.raw)
    left = sa.func.coalesce(q.withheld, 0) != WITHHELD_ERASED
    query = sa.select(*columns).where(q.app_id == app_id, left).order_by(q.id).execution_options(yield_per=200)
    words = {msg_id.encode() for msg_id in msg_ids}
    others = [word for word in words if not _WORD.fullmatch(word)]
    rows: Any = tx.conn.execute(query)
    records = (NamingRecord._make((*row[:5], bytes(row[5]))) for row in rows)
    return [
        one
        for one in records
        if not words.isdisjoint(_WORD.findall(one.raw)) or any(other in one.raw for other in others)
    ]


_WORD = re.compile(rb"[\w-]+")


class ExportOf(NamedTuple):
    """An export, or a copy, that had some of the messages, or may have."""

    export_id: str
    at_ms: int
    who: str
    format: str
    outcome: str
    manifest_sha256: str | None


def exports_of(tx: Tx, items: Sequence[RequestItem]) -> list[ExportOf]:
    """The exports that contained one of these messages; one that was begun and has no end counts as such."""
    a = audit_log.c
    rows = tx.conn.execute(sa.select(audit_log).order_by(a.id)).all()
    ends = {row.export_id: row for row in rows if row.outcome != "begun"}
    by_app: dict[int, list[str]] = {}
    for one in items:
        by_app.setdefault(one.app_id, []).append(one.msg_id)
    exports = []
    for row in rows:
        if row.outcome != "begun" or not _contained(tx, by_app, _filter_of(row.filter), row.at):
            continue
        end = ends.get(row.export_id, row)
        exports.append(ExportOf(row.export_id, row.at, row.who, row.format, end.outcome, end.manifest_sha256))
    return exports


def _filter_of(text: str) -> Filter:
    """The filter of an export; what was searched for beside it is left out, and so are the messages without it."""
    given: Mapping[str, Any] = json.loads(text)
    fields: dict[str, Any] = {name: given[name] for name in Filter.__dataclass_fields__ if name in given}
    return Filter(**fields | {"types": tuple(fields.get("types", ()))})


def _contained(tx: Tx, by_app: Mapping[int, Sequence[str]], criteria: Filter, at_ms: int) -> bool:
    m = messages.c
    try:
        conditions = filters.of_messages(tx, criteria)
    except UsageError:  # an app that was forgotten had no messages
        return False
    for app_id, msg_ids in by_app.items():
        for first in range(0, len(msg_ids), _AT_ONCE):
            these = tx.among(m.msg_id, list(msg_ids[first : first + _AT_ONCE]))
            query = sa.select(m.msg_id).where(m.app_id == app_id, these, m.archived_at <= at_ms, *conditions).limit(1)
            if tx.conn.execute(query).first() is not None:
                return True
    return False


class ErasureCounts(NamedTuple):
    """How it stands with what a request names."""

    named: int
    erased: int
    sealed: int


def counts(tx: Tx, request_id: int) -> ErasureCounts:
    """How many messages of a request are erased, and how many sealed."""
    i, m = request_items.c, messages.c
    same = sa.and_(i.app_id == m.app_id, i.msg_id == m.msg_id)
    query = (
        sa.select(m.withheld, sa.func.count())
        .select_from(request_items.outerjoin(messages, same))
        .where(i.request_id == request_id)
        .group_by(m.withheld)
    )
    by_state = {row[0]: int(row[1]) for row in tx.conn.execute(query)}
    erased, sealed = by_state.get(WITHHELD_ERASED, 0), by_state.get(WITHHELD_SEALED, 0)
    return ErasureCounts(sum(by_state.values()), erased, sealed)


def in_order(tx: Tx, request_id: int) -> Iterator[tuple[int, str, list[str]]]:
    """App by number and name, and its messages of a request that are there, in order of time."""
    i, m = request_items.c, messages.c
    same = sa.and_(i.app_id == m.app_id, i.msg_id == m.msg_id)
    left = sa.func.coalesce(m.withheld, 0) != WITHHELD_ERASED
    for app_id, name in sorted(app_names(tx).items()):
        query = sa.select(m.msg_id).select_from(request_items.join(messages, same))
        query = query.where(i.request_id == request_id, m.app_id == app_id, left).order_by(m.timestamp_ms, m.msg_id)
        if msg_ids := list(tx.conn.scalars(query)):
            yield app_id, name, msg_ids


class TombstoneOf(NamedTuple):
    """A tombstone of a request."""

    id: int
    app_id: int
    msg_id: str | None
    page_id: int | None
    seal_id: int | None
    position: int | None
    leaf: bytes | None
    messages: int
    bodies: int
    revisions: int
    at_ms: int


def tombstones_of(tx: Tx, request_id: int) -> list[TombstoneOf]:
    """The tombstones of a request, in the order of their numbers."""
    t = tombstones.c
    columns = [t[name.removesuffix("_ms")] for name in TombstoneOf._fields]
    rows = tx.conn.execute(sa.select(*columns).where(t.request_id == request_id).order_by(t.id))
    stones = map(TombstoneOf._make, rows)
    return [stone._replace(leaf=None if stone.leaf is None else bytes(stone.leaf)) for stone in stones]


def sealed_records(tx: Tx, request_id: int) -> int:
    """How many quarantined records of the apps of a request are sealed until they may be erased."""
    q, i = quarantine.c, request_items.c
    its = sa.select(i.app_id).where(i.request_id == request_id)
    query = sa.select(sa.func.count()).where(q.app_id.in_(its), q.withheld == WITHHELD_SEALED)
    return int(tx.conn.execute(query.select_from(quarantine)).scalar_one())


def exports_between(tx: Tx, first_ms: int, last_ms: int) -> list[ExportOf]:
    """The exports that were begun in a stretch of time, both ends included."""
    a = audit_log.c
    rows = tx.conn.execute(sa.select(audit_log).where(a["at"] >= first_ms).order_by(a.id)).all()
    ends = {row.export_id: row for row in rows if row.outcome != "begun"}
    return [
        ExportOf(row.export_id, row.at, row.who, row.format, end.outcome, end.manifest_sha256)
        for row in rows
        if row.outcome == "begun" and row.at <= last_ms
        for end in (ends.get(row.export_id, row),)
    ]


def absent(tx: Tx, request_id: int) -> dict[int, list[str]]:
    """By app what a request names that is not in the archive, and for which no tombstone stands."""
    i, m, t = request_items.c, messages.c, tombstones.c
    there = sa.exists().where(m.app_id == i.app_id, m.msg_id == i.msg_id)
    by_app: dict[int, list[str]] = {}
    for app_id, msg_id in tx.conn.execute(sa.select(i.app_id, i.msg_id).where(i.request_id == request_id, ~there)):
        by_app.setdefault(app_id, []).append(msg_id)
    for app_id, msg_ids in by_app.items():
        buried = set(tx.conn.scalars(sa.select(t.msg_id).where(t.app_id == app_id, tx.among(t.msg_id, msg_ids))))
        by_app[app_id] = [msg_id for msg_id in msg_ids if msg_id not in buried]
    return {app_id: msg_ids for app_id, msg_ids in by_app.items() if msg_ids}


def lacking(tx: Tx, lines: Sequence[ErasureLine]) -> list[RequestItem]:
    """Of erasures that are known, those that this database has not made: no tombstone, and not sealed either.

    Those of apps that it does not have are left out.
    """
    numbers = {name: app_id for app_id, name in app_names(tx).items()}
    ids: dict[int, set[str]] = {}
    for line in lines:
        if line.app in numbers:
            ids.setdefault(numbers[line.app], set()).add(line.msg_id)
    t, m = tombstones.c, messages.c
    left: list[RequestItem] = []
    for app_id, named in sorted(ids.items()):
        some = sorted(named)
        for first in range(0, len(some), _AT_ONCE):
            part = some[first : first + _AT_ONCE]
            buried = sa.select(t.msg_id).where(t.app_id == app_id, t.kind == "erased", tx.among(t.msg_id, part))
            sealed = sa.select(m.msg_id).where(m.app_id == app_id, m.withheld.is_not(None), tx.among(m.msg_id, part))
            known = set(tx.conn.scalars(buried)) | set(tx.conn.scalars(sealed))
            left += [RequestItem(app_id, msg_id) for msg_id in part if msg_id not in known]
    return left


def sees_tombstones(tx: Tx) -> bool:
    """Whether this login may ask which messages were erased."""
    sees = sa.select(sa.func.has_column_privilege("tombstones", "msg_id", "SELECT"))
    return not tx.postgres or bool(tx.conn.execute(sees).scalar())


def by_items(tx: Tx, kind: str, digest: str) -> list[int]:
    """The requests of a kind that name exactly these items, the latest first."""
    query = sa.select(requests.c.id).where(
        requests.c.kind == kind, requests.c.body.contains(f'"items_sha256":"{digest}"')
    )
    return list(tx.conn.scalars(query.order_by(requests.c.id.desc())))
