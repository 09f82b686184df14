"""Sealed rows of other tables: what was sealed is there unchanged, and what is there was sealed."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from archiver import merkle, salts
from archiver.evidence.verify.findings import NOT_SEALED_YET, VerifyFindings
from archiver.model import MINUTE_MS
from archiver.store import sealed_rows, tombstones, verifying
from archiver.store.engine import Tx
from archiver.store.sealed_rows import TABLES, SealedTable
from archiver.store.seals import ROW, key_text, root_text
from archiver.store.verifying import SealOfRows

_AT_ONCE = 1_000
_SOON_MS = 5 * MINUTE_MS
"""So old a row may become before it has to be sealed."""


class RowCheck:
    """Remembers by eight bytes each which rows have a seal."""

    def __init__(self, findings: VerifyFindings) -> None:
        self._findings = findings
        self._sealed = {name: array("q") for name in TABLES}

    def seal(self, tx: Tx, seal: SealOfRows, entry: Mapping[str, Any]) -> None:
        """Compare the rows of one seal with it."""
        findings, sealed = self._findings, TABLES.get(seal.table)
        keys = _keys(seal.keys)
        if sealed is None or keys is None or entry["table"] != seal.table:
            findings.differ("seals", seal.id, "table_name or keys are not those of its entry")
            return
        if (seal.leaves, root_text(seal.root)) != (entry["n"], entry["root"]) or len(keys) != seal.leaves:
            findings.differ("seals", seal.id, "is not that of its entry")
        rows = sealed_rows.read(tx, sealed, keys)
        self._sealed[seal.table].extend(_short(key_text(key)) for key in keys)
        gone = tombstones.of_seal(tx, seal.id)
        missing = [text for at, text in enumerate(map(key_text, keys)) if text not in rows and at not in gone]
        for text in missing:
            findings.differ(seal.table, text, "was sealed, and is not there")
        if not missing and self._root(seal, sealed, [rows.get(key_text(key)) for key in keys], gone) != entry["root"]:
            named = key_text(keys[0]) if len(keys) == 1 else f"{key_text(keys[0])} to {key_text(keys[-1])}"
            findings.differ(seal.table, named, "is not as it was sealed")
        findings.checked["rows"] += len(keys)

    def _root(
        self, seal: SealOfRows, sealed: SealedTable, rows: Sequence[Sequence[Any] | None], gone: Mapping[int, bytes]
    ) -> str | None:
        try:
            salted = salts.salts(salts.unpack(seal.seeds or b""), len(rows))
            leaves = [
                gone[at] if at in gone or row is None else salts.leaf(salt, ROW, at, sealed_rows.content(sealed, row))
                for at, (salt, row) in enumerate(zip(salted, rows, strict=True))
            ]
        except (ValueError, OverflowError):
            return None
        return root_text(merkle.root(leaves))

    def unsealed(self, tx: Tx, sealed: SealedTable, *, begun_ms: int, baselined: bool) -> None:
        """Look for rows that are there, and have no seal although they are old enough to have one."""
        known = array("q", sorted(self._sealed[sealed.name]))
        waiting = verifying.waiting_keys(tx, sealed.name)
        after: tuple[Any, ...] | None = None
        while keys := sealed_rows.keys_behind(tx, sealed, after, _AT_ONCE):
            lacking = [key for key in keys if not _has(known, _short(key_text(key))) and key_text(key) not in waiting]
            for key, made_ms in sealed_rows.times(tx, sealed, lacking):
                if made_ms is not None and made_ms < begun_ms and not baselined:
                    self._findings.classes[NOT_SEALED_YET] += 1
                elif made_ms is None or made_ms < tx.now_ms() - _SOON_MS:
                    self._findings.differ(sealed.name, key_text(key), "has no seal")
            after = keys[-1]


def _keys(text: str | None) -> list[list[Any]] | None:
    try:
        keys = json.loads(text or "null")
    except ValueError:
        return None
    return keys if isinstance(keys, list) and keys and all(isinstance(key, list) for key in keys) else None


def _short(text: str) -> int:
    return int.from_bytes(sha256(text.encode(errors="replace")).digest()[:8], "big", signed=True)


def _has(known: array[int], short: int) -> bool:
    at = bisect_left(known, short)
    return at < len(known) and known[at] == short
