"""Checkpoints and anchors: signed by a known key, and borne out by the ledger at their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from archiver import notes
from archiver.notes import NoteRefused, SignedNote
from archiver.store.checkpoints import Checkpoint


class GivenNote(NamedTuple):
    """A signed note, and where it stands: `table` and `id`, or the sink and what it says of itself."""

    signed: SignedNote
    table: str
    id: str
    ours: bool
    """From the database: then no key's signature is a difference, and otherwise somebody else's text."""

    @property
    def size(self) -> int:
        return self.signed.note.size


def of_checkpoint(row: Checkpoint) -> GivenNote | str:
    """The note in a row of `checkpoints`, or what is wrong with it."""
    try:
        signed = notes.parse(row.note.encode(errors="replace"))
    except NoteRefused as error:
        return str(error)
    if (signed.note.origin, signed.note.size) != (row.origin, row.size):
        return "origin or size is not that of its note"
    return GivenNote(signed, "checkpoints", f"{row.origin} {row.size}", ours=True)


def of_anchor(signed: SignedNote, where: str) -> GivenNote:
    """A note from outside."""
    return GivenNote(signed, where, f"{signed.note.origin} {signed.note.size}", ours=False)


def is_signed(given: GivenNote, keys: Mapping[str, bytes]) -> bool:
    """Whether one of these keys has signed it."""
    try:
        notes.verify(given.signed, keys.values())
    except NoteRefused:
        return False
    return True
