"""What people ask for before they know an id: lists of conversations, users and apps, ready to be printed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from archiver.store.admin import forgetting
from archiver.store.engine import Store
from archiver.store.read import directory
from archiver.store.schema import iso

Row = dict[str, Any]


def conversations(
    store: Store, *, app: str | None, user: str | None, limits: tuple[int | None, int | None], most: int
) -> list[Row]:
    """Conversations, the latest first. Raises UsageError for an app that is not in the archive."""
    from_ms, to_ms = limits
    with store.patient.read() as tx:
        rows = directory.conversations(tx, app=app, user=user, from_ms=from_ms, to_ms=to_ms, most=most)
    return [_with_instants(row._asdict()) for row in rows]


def participants(store: Store, *, app: str | None, like: str | None, most: int) -> list[Row]:
    """Users who sent something, the latest first."""
    with store.patient.read() as tx:
        rows = directory.participants(tx, app=app, like=like, most=most)
    return [_with_instants(row._asdict()) for row in rows]


def sources(store: Store, configured: Collection[tuple[str, str]]) -> list[Row]:
    """The apps and sources that the database knows, and whether they are configured."""
    with store.read() as tx:
        rows = directory.all_sources(tx)
    return [
        {
            "app": row.app,
            "source": row.source,
            "configured": (row.app, row.source) in configured,
            "complete_from": iso(row.complete_from_ms),
            "complete_until": iso(row.complete_until_ms),
        }
        for row in rows
    ]


def forget(store: Store, name: str) -> str | None:
    """Forget an app without messages; says what it is kept for where it has something."""
    with store.write() as tx:
        return forgetting.forget(tx, name)


def _with_instants(row: Row) -> Row:
    """`first_ms` and `last_ms` as ISO 8601, under the names of the views."""
    instants = {f"{name}_sent_at": row.pop(f"{name}_ms") for name in ("first", "last")}
    return row | {name: None if ms is None else iso(ms) for name, ms in instants.items()}
