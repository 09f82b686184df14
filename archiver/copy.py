"""Moves an archive to another database: row by row, to be gone on with after a stop, and read back at the end.

Going on means looking again: what is there already is compared, not sent. So a copy may be made while the archive is
at work, and made complete with a second run after it was stopped.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from threading import Event
from typing import NamedTuple

from archiver import __version__, host
from archiver.errors import Stopped, UsageError
from archiver.store import audit_log, looks, owner
from archiver.store.admin import migrate
from archiver.store.admin.copy import (
    TABLES,
    Sum,
    Table,
    batches,
    follow,
    foreign_apps,
    go_on_counting,
    has_own_tombstones,
    is_empty,
    prune,
    put,
    total,
)
from archiver.store.audit_log import AuditEntry
from archiver.store.engine import Store

log = logging.getLogger(__name__)


class Compared(NamedTuple):
    """One table in both databases, as it was read back."""

    table: str
    source: Sum
    target: Sum

    @property
    def same(self) -> bool:
        return self.source == self.target


def prepare(source: Store, target: Store) -> None:
    """Make the target's schema, unless it has it. Raises UsageError where it holds another archive."""
    if source.engine.url == target.engine.url:
        raise UsageError("--to is the archive itself")
    if migrate.current(target) is None:
        migrate.upgrade(target)
    migrate.check(target)
    with source.read() as ours, target.read() as theirs:
        foreign = foreign_apps(ours, theirs)
        own_tombstones = has_own_tombstones(ours, theirs)
    if foreign:
        raise UsageError(f"--to holds another archive, with {', '.join(foreign)}", hint="copy into an empty database")
    if own_tombstones:
        raise UsageError("--to has deleted what the archive still has", hint="copy into an empty database")


def copy(source: Store, target: Store, *, stop: Event, on_batch: Callable[[str, int], None]) -> None:
    """Bring over what is missing or has changed, a transaction per batch.

    `on_batch` receives the table and how many of its rows have been copied so far.
    """
    target = target.patient
    with source.patient.read() as ours:
        for table in TABLES:
            with target.read() as theirs:
                fresh = is_empty(theirs, table)
            count = 0
            with closing(batches(ours, table)) as arriving:
                for rows in arriving:
                    if stop.is_set():
                        raise Stopped("stopped; what was copied stays, the same command goes on")
                    with target.write() as theirs:
                        count += put(theirs, table, rows, fresh=fresh)
                    on_batch(table.name, count)
        follow(ours, target)
        for table in reversed(TABLES):
            prune(ours, target, table)
    go_on_counting(target)


class CopyRecord:
    """A copy as `audit_log` and `look_conversations` have it: a row before it begins, and one on how it ended."""

    def __init__(self, source: Store, case_id: str | None, reason: str | None) -> None:
        self._source = source
        self._entry = AuditEntry(
            export_id=str(uuid.uuid4()),
            who=host.account(),
            owner=owner.me(),
            program=f"archiver {__version__}",
            format="copy",
            filter={},
            case_id=case_id,
            reason=reason,
        )

    def begun(self) -> None:
        """Raises DatabaseRefused or DatabaseUnavailable, and then nothing may be copied."""
        with self._source.write() as tx:
            audit_log.append(tx, self._entry, "begun", 0)
            looks.add_conversations(tx, self._entry.export_id, [(name, None) for name in looks.apps_named(tx, None)])

    def ended(self, tables: Sequence[Compared]) -> None:
        """`done` with the SHA-256 of the sums where both are the same, else `failed`."""
        sums = "".join(f"{one.table} {one.target.rows} {one.target.digest}\n" for one in tables)
        messages = sum(one.target.rows for one in tables if one.table == "messages")
        same = all(one.same for one in tables)
        digest = hashlib.sha256(sums.encode()).hexdigest() if same else None
        with self._source.write() as tx:
            audit_log.append(tx, self._entry, "done" if same else "failed", messages, digest)


def compare(source: Store, target: Store) -> list[Compared]:
    """Read both databases to the end, table by table, one after the other: neither waits while the other is read."""
    return [Compared(table.name, _total(source, table), _total(target, table)) for table in TABLES]


def _total(store: Store, table: Table) -> Sum:
    with store.patient.read() as tx:
        return total(tx, table)
