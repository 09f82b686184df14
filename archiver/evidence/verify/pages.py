"""Pages against their seals, both ways: a record has its leaf, a leaf its record, and counts and columns agree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from archiver import __version__, merkle, salts
from archiver.evidence.verify import columns
from archiver.evidence.verify.columns import Decode
from archiver.evidence.verify.findings import DECODER, NOT_SEALED_YET, VerifyFindings
from archiver.model import Reject
from archiver.store import sealed_pages, tombstones
from archiver.store.engine import Tx
from archiver.store.sealed_pages import KeptRecord, PageRow, SealRow, StoredRecord
from archiver.store.seals import CHANGED, NEW, Leaf, root_text
from archiver.store.tombstones import TombstoneRow

Json = dict[str, Any]
_FIELDS = ("page", "window", "fence", "app", "source", "counts", "outside", "server", "fetched")


class Sealing(NamedTuple):
    """From which page on everything is sealed, and whether what lies before is by now, too."""

    first_page: int
    baselined: bool


class PageRecords(NamedTuple):
    """What a page has, what of it is in quarantine, and what stands for what is gone."""

    stored: Sequence[StoredRecord]
    kept: Sequence[KeptRecord]
    gone: Mapping[int | None, TombstoneRow]


class PageCheck:
    """Compares pages; `decode`: None where columns are left alone."""

    def __init__(self, findings: VerifyFindings, sealing: Sealing, decode: Decode, *, with_columns: bool) -> None:
        self._findings, self._sealing, self._decode = findings, sealing, decode
        self._with_columns = with_columns

    def part(self, tx: Tx, lo: int, hi: int, rows: Sequence[PageRow]) -> None:
        """Compare the pages in a range of ids, `hi` included; `rows` are all that the archive has there."""
        pages = {row.id: row for row in rows}
        seals = sealed_pages.by_page(sealed_pages.seal_rows(tx, lo, hi))
        stored = sealed_pages.stored(tx, lo, hi, columns=self._with_columns)
        kept = sealed_pages.by_page(sealed_pages.kept(tx, lo, hi))
        bodies = sealed_pages.bodies(tx, lo, hi) if self._with_columns else {}
        gone = tombstones.read(tx, lo, hi)
        for page_id in sorted({*pages, *seals, *stored, *kept, *gone}):
            mine, quarantined = stored.get(page_id, []), kept.get(page_id, [])
            self._count(gone.get(page_id, {}))
            if page_id not in pages:
                self._missing(page_id, seals.get(page_id, []), mine, quarantined)
                continue
            page = pages[page_id]
            records = PageRecords(mine, quarantined, gone.get(page_id, {}))
            entry = self._seal(page, seals.get(page_id, []), records)
            for one in [one for one in mine if one.app_id != page.app_id]:
                self._findings.differ(_table(one), _name(one), f"is another app's than its page {page.id}")
            for one in mine if self._with_columns else ():
                self._record(page, entry, one, bodies.get((one.app_id, one.msg_id, one.revision), ()))
            for one_kept in quarantined:
                self._quarantined(tx, page, one_kept, mine)
        self._findings.checked["pages"] += len(pages)
        self._findings.checked["records"] += sum(map(len, stored.values()))

    def _missing(
        self, page_id: int, seals: Sequence[SealRow], stored: Sequence[StoredRecord], kept: Sequence[KeptRecord]
    ) -> None:
        if seals:
            self._findings.differ("pages", page_id, "is sealed, and is not there")
        for one in stored:
            self._findings.differ(_table(one), _name(one), f"its page {page_id} is not there")
        for row in kept:
            self._findings.differ("quarantine", row.id, f"its page {page_id} is not there")

    def _seal(self, page: PageRow, seals: Sequence[SealRow], records: PageRecords) -> Json | None:
        """Compare a page with its seal; gives the entry."""
        findings = self._findings
        if not seals:
            if page.id < self._sealing.first_page and not self._sealing.baselined:
                findings.classes[NOT_SEALED_YET] += 1
            else:
                findings.differ("pages", page.id, "has no seal")
            return None
        for seal in seals[1:]:
            findings.differ("seals", seal.id, f"page {page.id} is sealed a second time")
        seal = seals[0]
        entry = _parsed(seal.entry)
        if entry is None:
            findings.differ("seals", seal.id, f"page {page.id} has a seal, and no entry in the ledger")
            return None
        if (wrong := _wrong_field(page, entry)) is not None:
            findings.differ("pages", page.id, f"its {wrong} is not that of its entry")
        if (seal.leaves, root_text(seal.root), seal.made_ms) != (entry["n"], entry["root"], entry["at"]):
            findings.differ("seals", seal.id, f"is not that of the entry of page {page.id}")
        self._compare_leaves(page, seal, entry, records)
        return entry

    def _compare_leaves(self, page: PageRow, seal: SealRow, entry: Json, records: PageRecords) -> None:
        leaves = sealed_pages.leaves(records.stored, records.kept)
        if None in records.gone:
            if leaves:
                self._findings.differ("pages", page.id, f"has expired as a whole, and has {len(leaves)} records")
            return
        kept_leaves = tombstones.leaves_of(records.gone)
        count = len({leaf[0] for leaf in leaves} | kept_leaves.keys()) if kept_leaves else len(leaves)
        if count != entry["n"]:
            self._findings.differ("pages", page.id, f"has {count} records, and {entry['n']} were sealed")
        elif (root := _root(seal, leaves, records.gone)) is None:
            self._findings.differ("seals", seal.id, f"its salts are not those of page {page.id}")
        elif root_text(root) != entry["root"]:
            self._findings.differ("pages", page.id, "its records are not those that were sealed")
        fates = [fate for _, fate, _ in leaves]
        new, changed = fates.count(NEW), fates.count(CHANGED)
        wrong = (new, changed) != (page.new, page.changed)
        if kept_leaves:  # what of these was in quarantine first, and counted so, nobody knows any more
            wrong = new > page.new or changed > page.changed
        if page.fence and wrong:
            self._findings.differ("pages", page.id, f"counts {page.new} new and {page.changed} changed, and has others")

    def _count(self, gone: Mapping[int | None, TombstoneRow]) -> None:
        for stone in gone.values():
            self._findings.checked[stone.kind] += stone.messages

    def _record(self, page: PageRow, entry: Json | None, one: StoredRecord, bodies: Sequence[Sequence[Any]]) -> None:
        if one.revision and entry is not None and one.columns[1] != page.fetched_ms and "baseline" not in entry:
            self._findings.differ(_table(one), _name(one), "seen_at is not the time of its page")
        if (problem := columns.problem(self._decode, one, bodies)) is None:
            return
        if entry is not None and entry.get("program") == __version__:
            self._findings.differ(_table(one), _name(one), problem)
        else:  # what another version made of the same bytes
            self._findings.classes[DECODER] += 1

    def _quarantined(self, tx: Tx, page: PageRow, row: KeptRecord, stored: Sequence[StoredRecord]) -> None:
        findings = self._findings
        if (row.app_id, row.source, row.window_id) != (page.app_id, page.source, page.window_id):
            findings.differ("quarantine", row.id, f"is another app's, source's or window's than its page {page.id}")
        if sha256(row.raw).digest() != row.digest:
            findings.differ("quarantine", row.id, "digest is not that of raw")
        moved = [one for one in stored if one.position == row.position]
        if moved and not row.resolved:
            findings.differ("quarantine", row.id, "is stored as a message, and was not resolved")
        if moved or not row.resolved:
            return
        record = self._decode(row.raw, row.position)
        if isinstance(record, Reject) or not sealed_pages.has_content(tx, row.app_id, record.msg_id, record.digest):
            findings.differ("quarantine", row.id, "is resolved, and its message is not there")


def _parsed(line: str | None) -> Json | None:
    try:
        entry = json.loads(line or "null")
        return entry if isinstance(entry, dict) and {"n", "root", "at"} <= entry.keys() else None
    except ValueError:
        return None


def _wrong_field(page: PageRow, entry: Json) -> str | None:
    there = (page.id, page.window_id, page.fence, page.app, page.source, list(page.counts), page.outside)
    found = (*there, page.server_ms, page.fetched_ms)
    for name, value in zip(_FIELDS, found, strict=True):
        if value != (entry.get("fetched", entry["at"]) if name == "fetched" else entry.get(name)):
            return name
    return None


def _root(seal: SealRow, leaves: Sequence[Leaf], gone: Mapping[int | None, TombstoneRow]) -> bytes | None:
    """The root over leaves under the salts of a seal, and those kept of records that are gone; None without salts."""
    try:
        if gone:
            hashes = tombstones.leaf_hashes(seal.seeds, seal.leaves, leaves, gone)
        else:
            hashes = salts.leaves(salts.salts(salts.unpack(seal.seeds or b""), len(leaves)), leaves)
    except (ValueError, OverflowError):
        return None
    return None if hashes is None else merkle.root(hashes)


def _table(one: StoredRecord) -> str:
    return "message_revisions" if one.revision else "messages"


def _name(one: StoredRecord) -> str:
    return f"{one.msg_id} ({one.revision})" if one.revision else one.msg_id
