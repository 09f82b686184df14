"""Proofs for others: that a record is what was sealed, and that its seal is in the ledger of a signed checkpoint."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from archiver import merkle, notes, salts
from archiver.errors import TryAgainLater, UsageError
from archiver.notes import Note
from archiver.store import checkpoints, ledger, tombstones
from archiver.store.engine import Tx
from archiver.store.read import proofs
from archiver.store.read.proofs import RecordPlace
from archiver.store.seals import Leaf

Json = dict[str, Any]
NOT_SEALED, NOT_SIGNED = "not sealed yet", "not signed yet"
DIFFERENT = "the page is not as it was sealed"
_PAGES_AT_ONCE = 64


class _Page(NamedTuple):
    """A page whose leaves are those of its seal."""

    seq: int
    leaves: list[Leaf]
    by_position: dict[int, int]
    salts: list[bytes]
    tree: merkle.Tree


class Prover:
    """Makes the proofs of one snapshot, for its newest checkpoint; remembers which entries they need.

    Raises UsageError where the archive has no ledger, and TryAgainLater where no checkpoint was signed yet.
    """

    def __init__(self, tx: Tx) -> None:
        if ledger.head(tx) is None:
            raise UsageError("the archive has no ledger, so there are no proofs", hint="archiver evidence init")
        newest = checkpoints.newest(tx)
        if newest is None:
            raise TryAgainLater("no checkpoint was signed yet", hint="archiver evidence seal")
        self.signed = newest.note.encode()
        self.note: Note = notes.parse(self.signed).note
        self._tx, self._needed = tx, set[int]()
        self._stored = lru_cache(4096)(ledger.stored(tx))
        self._page = lru_cache(_PAGES_AT_ONCE)(self._load)

    def proof(self, place: RecordPlace, raw: bytes | None = None) -> Json:
        """The proof of a record, or with `missing` why there is none. `raw` is compared where it is given."""
        about: Json = {"app": place.app, "msg_id": place.msg_id, "revision": place.revision}
        page = self._page(place.page_id)
        if isinstance(page, str):
            return about | {"missing": page}
        index = page.by_position.get(place.position)
        if index is None or (raw is not None and page.leaves[index][2] != raw):
            return about | {"missing": DIFFERENT}
        if not page.salts[index]:
            return about | {"missing": "its salt was destroyed with another copy"}
        self._needed.add(page.seq)
        return about | {
            "page": place.page_id,
            "position": place.position,
            "fate": page.leaves[index][1],
            "salt": _text(page.salts[index]),
            "leaf": index,
            "path": [_text(node) for node in page.tree.path(index)],
            "entry": page.seq,
        }

    def _load(self, page_id: int) -> _Page | str:
        """A page, or why none of its records can be proved."""
        seals = proofs.seals_of_page(self._tx, page_id)
        if not seals:
            return NOT_SEALED
        seal = next((one for one in seals if one.seq is not None), seals[0])
        if seal.seq is None or seal.entry is None or seal.seq >= self.note.size:
            return NOT_SIGNED
        leaves = proofs.leaves_of_page(self._tx, page_id)
        own = salts.salts(salts.unpack(seal.seeds or b""), seal.leaves)
        gone = tombstones.read(self._tx, page_id - 1, page_id).get(page_id, {})
        hashes = tombstones.leaf_hashes(seal.seeds, seal.leaves, leaves, gone)
        if hashes is None:
            return DIFFERENT
        tree = merkle.Tree(hashes)
        there = {leaf[0]: leaf for leaf in leaves}
        aligned = [there.get(place, (place, "", b"")) for place in sorted(there.keys() | tombstones.leaves_of(gone))]
        entry = json.loads(seal.entry)
        if entry.get("page") != page_id or entry.get("root") != _text(tree.root):
            return DIFFERENT
        return _Page(seal.seq, aligned, {leaf[0]: at for at, leaf in enumerate(aligned)}, own, tree)

    def entries(self) -> Iterator[Json]:
        """The entries that the proofs so far need, with their paths: those of pages, of keys, and the newest claims."""
        for seq in sorted(self._needed | set(self._rare())):
            yield self.entry(seq)

    def _rare(self) -> Iterator[int]:
        claimed = set()
        for seq in proofs.starts_and_claims(self._tx, self.note.size):
            entry = json.loads(proofs.line(self._tx, seq))
            source = entry.get("app"), entry.get("source")
            if entry["kind"] == "start" or source not in claimed:
                claimed.add(source)
                yield seq

    def entry(self, seq: int) -> Json:
        """An entry, and its path in the ledger of the checkpoint."""
        return {"index": seq, "entry": proofs.line(self._tx, seq), "path": [_text(node) for node in self.path(seq)]}

    def path(self, seq: int) -> list[bytes]:
        return merkle.stored_path(seq, self.note.size, self._stored)

    def consistency(self, note: Note) -> list[str] | None:
        """The proof that an earlier checkpoint is a beginning of this one; None where it is none."""
        if not 0 < note.size <= self.note.size:
            return None
        if merkle.stored_frontier(note.size, self._stored).root() != note.root:
            return None
        return [_text(node) for node in merkle.stored_consistency(note.size, self.note.size, self._stored)]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
