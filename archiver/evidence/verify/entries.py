"""The ledger from its first entry to its last: signatures, the tree, seals of rows, and the claims on the way."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from archiver import entries, merkle, notes, signing
from archiver.entries import EntryRefused
from archiver.evidence.keys import Keys, of_start
from archiver.evidence.verify.claims import SourceClaim
from archiver.evidence.verify.findings import FOREIGN_NOTES, VerifyFindings
from archiver.evidence.verify.notes import GivenNote, is_signed, of_checkpoint
from archiver.evidence.verify.rows import RowCheck
from archiver.notes import TrustedKey
from archiver.store import checkpoints, ledger, verifying
from archiver.store.engine import Tx

Json = dict[str, Any]
AT_ONCE = 1_000
Row = tuple[int, str, int | None, str, bytes]


class LedgerStart(NamedTuple):
    """Where the ledger began, and how far it is known to go. `first_page`: from it on each page is sealed."""

    first_page: int = 1
    begun_ms: int = 0
    baselined: bool = False


class LedgerCheck:
    """Follows the ledger entry by entry; what it has seen so far is what later entries are judged by."""

    def __init__(self, findings: VerifyFindings, name: str, trusted: Sequence[TrustedKey] | None) -> None:
        self._findings, self._name = findings, name
        self._trusted = None if trusted is None else {entries.key_id(key.public): key for key in trusted}
        self._frontier = merkle.Frontier()
        self._keys: Keys = {}
        self.all_keys: Keys = {}
        self.origin = name
        self.place = LedgerStart()
        self.sources: dict[tuple[str, str], SourceClaim] = {}
        self._resumptions: list[tuple[int, Json]] = []
        self._completed = 0
        self._complete = False
        """Whether windows of all times have entries, so that claims can be computed."""
        self._uncovered: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
        self.rows = RowCheck(findings)

    @property
    def size(self) -> int:
        return self._frontier.size

    def batch(self, tx: Tx, rows: Sequence[Row], anchors: Iterable[GivenNote]) -> None:
        """Take in entries that follow each other. `anchors`: notes of sizes among them, in order of size."""
        given = heapq.merge(self._checkpoints(tx, rows), anchors, key=lambda one: one.size)
        completed: list[tuple[int, int, bytes]] = []
        following = next(given, None)
        for row in rows:
            completed += self._entry(row)
            while following is not None and following.size <= self.size:
                self.note(following)
                following = next(given, None)
        self._nodes(tx, completed)
        self._seals(tx, rows)

    def _entry(self, row: Row) -> list[tuple[int, int, bytes]]:
        """Take in one entry; gives the subtrees that it completes."""
        seq, kind, _, line, leaf = row
        findings = self._findings
        if self.size < seq:
            findings.differ("ledger", self.size, f"is not there, nor is any entry before {seq}")
        while self.size < seq:
            self._frontier.append(bytes(merkle.HASH_BYTES))
        data = line.encode(errors="replace")
        expected = merkle.leaf_hash(data)
        if expected != leaf:
            findings.differ("ledger", seq, "leaf is not that of the entry")
        completed = self._frontier.append(expected)
        findings.checked["entries"] += 1
        entry = self.judged(data, "ledger", seq)
        if entry is not None and entry["kind"] != kind:
            findings.differ("ledger", seq, "kind is not that of the entry")
        if entry is not None:
            self.follow(entry, "ledger", seq)
        return completed

    def judged(self, data: bytes, table: str, key: object) -> Json | None:
        """An entry that a valid key has signed; None, and a difference, for every other one."""
        try:
            entry = entries.read(data)
            keys = self._keys
            if entry["kind"] == "start":
                keys = self._start_keys(entry)
            entry = entries.check(data, self._name, keys)
        except ValueError as error:
            self._findings.differ(table, key, str(error))
            return None
        known = (self._trusted or {}).get(entry["by"])
        if known is not None and known.until is not None and self.size > known.until:
            self._findings.differ(table, key, f"was signed by a key that counts until {known.until}")
        return entry

    def _start_keys(self, entry: Json) -> Keys:
        """Who may sign a `start`: a key that was valid before; the first one, and after a loss, one from outside."""
        listed = of_start(entry)
        if self._trusted is not None:
            outside = {by: key.public for by, key in self._trusted.items() if by in listed}
            return {**self._keys, **outside}
        return listed if not self._keys else self._keys

    def follow(self, entry: Json, table: str, key: object) -> None:
        """Take over what an entry says."""
        try:
            match entry["kind"]:
                case "start":
                    self._start(entry)
                case "page":
                    self._source(entry).page(entry["window"])
                    self._windows(entry, entry.get("windows", []))
                case "window":
                    self._windows(entry, entry["windows"])
                case "claim":
                    self._claim(entry, table, key)
        except (KeyError, TypeError, ValueError) as error:
            self._findings.differ(table, key, f"lacks what its kind has ({type(error).__name__})")

    def _start(self, entry: Json) -> None:
        self._keys = of_start(entry)
        self.all_keys |= self._keys
        self.origin = entry["origin"]
        findings = self._findings
        match entry["event"]:
            case "init":
                self.place = LedgerStart(entry["first_page"], entry["at"], baselined=entry["first_page"] == 1)
                self._complete = self.place.baselined
                (first, *_) = self._keys.values()
                findings.fingerprint = signing.fingerprint(first)
                findings.trusted = self._trusted is not None and entry["by"] in self._trusted
            case "baseline":
                self.place = self.place._replace(baselined=True)
                self._complete = True
            case "resume":
                self._resumptions.append((self.size - 1, entry))
                self._say_lost(self.size - 1, entry)
        if self._trusted is not None and entry["event"] == "init" and not findings.trusted:
            findings.differ("ledger", self.size - 1, "the ledger begins with another key than --vkey names")

    def _say_lost(self, began: int, entry: Json) -> None:
        previous = entry.get("previous") or {}
        if previous.get("size", 0) > began:
            text = f"entries {began} to {previous['size'] - 1} of {previous['origin']}"
            self._findings.lost.append(f"{text}, as the resumption at {began} says")

    def _source(self, entry: Json) -> SourceClaim:
        return self.sources.setdefault((entry["app"], entry["source"]), SourceClaim())

    def _windows(self, entry: Json, listed: Sequence[Json]) -> None:
        walked = entry.get("baseline", False)
        for number, problem in self._source(entry).enter(listed):
            if not walked:
                self._findings.differ("windows", number, problem)

    def _claim(self, entry: Json, table: str, key: object) -> None:
        name = entry["app"], entry["source"]
        if "holes" in entry:
            self._uncovered[name] = [tuple(hole) for hole in entry["holes"] if hole[2] == "uncovered"]
        if not self._complete:
            return
        problem = self._source(entry).claim_problem(entry, self._uncovered.get(name, []))
        if problem is not None:
            self._findings.differ(table, key, f"the claim of {name[0]} ({name[1]}) is not borne out: {problem}")

    @property
    def is_complete(self) -> bool:
        return self._complete

    def note(self, given: GivenNote) -> None:
        """Compare a note with the ledger at its size."""
        findings, note = self._findings, given.signed.note
        if not is_signed(given, self._keys if given.ours else self.all_keys):
            if given.ours:
                findings.differ(given.table, given.id, "no valid key has signed it")
            else:
                findings.classes[FOREIGN_NOTES] += 1
            return
        if (theirs := notes.epoch(note.origin, self._name)) is None:
            findings.classes[FOREIGN_NOTES] += 1
            return
        findings.checked["notes"] += 1
        lost = self._lost_since(theirs)
        if lost is not None and note.size > lost[0]:
            if note.size > lost[1]:
                findings.differ(given.table, given.id, f"more entries are lost than the {lost[1]} that were declared")
        elif note.size > self.size:
            findings.differ(given.table, given.id, f"the ledger ends at {self.size}: its end was cut off")
        elif note.root != self._frontier.root():
            text = f"the ledger has another root at {note.size}: it was written anew, or there are two"
            findings.differ(given.table, given.id, text)

    def _lost_since(self, epoch: int) -> tuple[int, int] | None:
        """From which size on entries of an epoch are lost by a restore, and up to which the next epoch says so."""
        for began, entry in self._resumptions:
            if epoch < (notes.epoch(entry["origin"], self._name) or 1):
                return began, max(began, (entry.get("previous") or {}).get("size", 0))
        return None

    def _checkpoints(self, tx: Tx, rows: Sequence[Row]) -> list[GivenNote]:
        found = []
        for row in checkpoints.of_sizes(tx, self.size, rows[-1][0] + 1):
            given = of_checkpoint(row)
            if isinstance(given, str):
                self._findings.differ("checkpoints", f"{row.origin} {row.size}", given)
            else:
                found.append(given)
        return found

    def _nodes(self, tx: Tx, completed: Sequence[tuple[int, int, bytes]]) -> None:
        """The stored roots of the subtrees that end among these entries."""
        self._completed += len(completed)
        for level in sorted({level for level, _, _ in completed}):
            expected = {n: node for at, n, node in completed if at == level}
            there = verifying.nodes_of(tx, level, min(expected), max(expected))
            for n, node in expected.items():
                if there.get(n) != node:
                    self._findings.differ("ledger_nodes", f"{level} {n}", "is not the root of its subtree")

    def _seals(self, tx: Tx, rows: Sequence[Row]) -> None:
        """The seals that these entries carry the roots of; those of pages are compared with the pages."""
        ids = [row[2] for row in rows if row[2] is not None]
        found = verifying.seals_by_id(tx, ids) if ids else {}
        for seq, kind, seal_id, line, _ in rows:
            if kind not in ("page", "rows"):
                continue
            try:
                entry = entries.read(line.encode(errors="replace"))
            except EntryRefused:
                continue  # which has been reported
            seal = None if seal_id is None else found.get(seal_id)
            if seal is None:
                self._findings.differ("ledger", seq, f"its seal {seal_id} is not there")
            elif kind == "page" and seal.page_id != entry.get("page"):
                self._findings.differ("seals", seal.id, f"is not the seal of page {entry.get('page')}")
            elif kind == "rows" and seal.page_id is not None:
                self._findings.differ("seals", seal.id, f"is not the seal of rows that entry {seq} has")
            elif kind == "rows":
                self.rows.seal(tx, seal, entry)

    def end(self, tx: Tx, anchors: Iterable[GivenNote]) -> None:
        """What can be said when no entry is left. `anchors`: notes of greater sizes."""
        head = ledger.head(tx)
        if head is None or head.size != self.size:
            self._findings.differ("ledger_head", 1, f"says another size than the {self.size} entries that are there")
        if verifying.count_nodes(tx) != self._completed:
            self._findings.differ("ledger_nodes", "-", "has other rows than the ledger has subtrees")
        for row in checkpoints.of_sizes(tx, self.size, 2**62):
            given = of_checkpoint(row)
            if isinstance(given, str):
                self._findings.differ("checkpoints", f"{row.origin} {row.size}", given)
            else:
                self.note(given)
        for given in anchors:
            self.note(given)
        for number, origin, size in checkpoints.lost(tx):
            self._findings.differ("checkpoints", f"{origin} {size}", f"was anchored ({number}), and is not there")
        for number in verifying.seals_without_entry(tx):
            self._findings.differ("seals", number, "no entry carries its root")
