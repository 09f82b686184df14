"""Which keys are valid where in the ledger: those of the latest `start` entry, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from archiver import entries, notes
from archiver.store import ledger
from archiver.store.engine import Tx

Keys = dict[str, bytes]
"""Public keys by their ids."""


class Epoch(NamedTuple):
    """What the latest `start` entry says: how the notes name the ledger, and which keys are valid."""

    origin: str
    keys: Keys
    seq: int


def of_start(entry: Mapping[str, Any]) -> Keys:
    """The keys that a `start` entry lists. Raises ValueError where it lists something else."""
    listed = entry.get("keys")
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise ValueError("a start entry lists its keys")
    return {entries.key_id(key.public): key.public for key in notes.parse_vkeys("\n".join(listed))}


def epoch_at(tx: Tx, seq: int | None = None) -> Epoch | None:
    """The epoch at a place of the ledger; None: at its end."""
    for at, entry in ledger.latest(tx, "start"):
        if seq is None or at <= seq:
            return Epoch(str(entry["origin"]), of_start(entry), at)
    return None
