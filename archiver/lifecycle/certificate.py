"""The certificate of an erasure: what was erased by whose decision, what stays and why, and who has copies."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from archiver import __version__, entries, merkle
from archiver.errors import DatabaseRefused, UsageError
from archiver.lifecycle import erasing
from archiver.store import checkpoints, erasures, installation
from archiver.store.decisions import Asked
from archiver.store.engine import Store, Tx
from archiver.store.erasures import TombstoneOf
from archiver.store.schema import iso

WIPED, PENDING = "wiped", "unreadable by SQL, bytes pending"
STAYS = (
    "id, time and kind of chat of every message, so that the provider's copy is known and not stored again",
    "the id is a pseudonym until the message is erased at the provider as well",
    "requests, approvals, holds, looks and exports: who did what and why, with the filters by which it was done",
    "late arrivals, and counts by minute and app in pages, windows and the ledger, which are somebody's working hours",
    "ids of erased messages in the erasures file, which says after a restore what has to be erased again",
    "copies that others have: exports, their proofs, backups, and logs of the database server until their own term",
)


def make(store: Store, request: int) -> dict[str, Any]:
    """The certificate as JSON has it.

    Raises UsageError for a request that nobody has begun to carry out, and DatabaseRefused for a login that may not
    see all that it is about.
    """
    with store.patient.read() as tx:
        if not erasures.sees_tombstones(tx):
            hint = "a login in archive_auditor, or in archive_eraser"
            raise DatabaseRefused("this login does not see what was erased, and cannot certify it", hint=hint)
        asked = erasing.known(tx, request)
        if asked.state != "begun":
            raise UsageError(f"request {request} was not carried out", hint=f"archiver erase run {request}")
        stones = erasures.tombstones_of(tx, request)
        counts = erasures.counts(tx, request)
        sealed_records = erasures.sealed_records(tx, request)
        return {
            "version": 1,
            "program": f"archiver {__version__}",
            "at": iso(tx.now_ms()),
            "request": _request(asked),
            "messages": counts._asdict(),
            "complete": not counts.sealed and not sealed_records,
            "records_sealed_in_quarantine": sealed_records,
            "tombstones": _tombstones(stones),
            "note": _note(tx),
            "exports": _exports(tx, asked, stones),
            "related_left": {"count": asked.body["related_left"], "ids": asked.body["related_left_ids"]},
            "stays": list(STAYS),
            "bytes": _bytes(tx, stones),
        }


def _request(asked: Asked) -> dict[str, Any]:
    names = ("case", "reason", "filter", "apps", "asked", "related", "items_sha256")
    decided = [{"decision": one.decision, "who": one.who, "login": one.login, "at": iso(one.at_ms)}
               for one in asked.decided]  # fmt: skip
    about = {"id": asked.id, "kind": asked.kind, "who": asked.who, "at": iso(asked.at_ms), "sha256": asked.body_sha256}
    return {**about, **{name: asked.body.get(name) for name in names}, "decisions": decided}


def _tombstones(stones: list[TombstoneOf]) -> dict[str, Any]:
    """How many there are, what they stand for, and the root (RFC 6962) over them in the order of their numbers."""
    times = [stone.at_ms for stone in stones]
    return {
        "count": len(stones),
        "messages": sum(stone.messages for stone in stones),
        "bodies": sum(stone.bodies for stone in stones),
        "revisions": sum(stone.revisions for stone in stones),
        "first_at": iso(min(times)) if times else None,
        "last_at": iso(max(times)) if times else None,
        "root": base64.b64encode(merkle.root([_leaf(stone) for stone in stones])).decode("ascii"),
    }


def _leaf(stone: TombstoneOf) -> bytes:
    fields = stone._asdict() | {"leaf": None if stone.leaf is None else base64.b64encode(stone.leaf).decode("ascii")}
    return merkle.leaf_hash(entries.canonical(fields))


def _note(tx: Tx) -> str | None:
    """The newest signed checkpoint of the ledger, where there is one; it covers the tombstones when they are sealed."""
    newest = checkpoints.newest(tx)
    return None if newest is None else newest.note.encode().decode()


def _exports(tx: Tx, asked: Asked, stones: list[TombstoneOf]) -> list[Mapping[str, Any]]:
    """Those that had a message when the request was made, and those that may have had one since."""
    had = [{**one, "at": iso(one["at_ms"]), "certain": True} for one in asked.body["exports"]]
    last_ms = max((stone.at_ms for stone in stones), default=asked.at_ms)
    known = {one["export_id"] for one in had}
    since = erasures.exports_between(tx, asked.at_ms, last_ms)
    later = [{**one._asdict(), "at": iso(one.at_ms), "certain": False} for one in since if one.export_id not in known]
    return [*had, *later]


def _bytes(tx: Tx, stones: list[TombstoneOf]) -> str:
    known = installation.read(tx)
    last_ms = max((stone.at_ms for stone in stones), default=0)
    wiped_ms = None if known is None else known.wiped_ms
    return WIPED if wiped_ms is not None and wiped_ms >= last_ms else PENDING
