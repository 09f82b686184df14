"""`export --proofs`: what a stranger needs to check an export, beside it: docs/evidence.md has the formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from archiver import notes
from archiver.evidence import offline
from archiver.evidence.proofs import NOT_SEALED, NOT_SIGNED, Prover
from archiver.export.days import Unit
from archiver.export.folder import Folder, Written
from archiver.store.engine import Tx
from archiver.store.read import proofs
from archiver.store.read.days import Conditions
from archiver.store.schema import iso

Json = dict[str, Any]
README = """\
proofs.jsonl 证明：自封存以来，导出的每条记录（raw）一个字节都没有改动。核验：python3 verify.py --vkey 保管人的公钥文件
谁删除某条消息的正文，也必须删除它在 proofs.jsonl 中的那一行：其中的盐（salt）可以用来检验对正文的猜测。
谁还持有这份导出的其他副本，可以用 manifest.json 的 SHA-256 在归档的 audit_log 中查到。

proofs.jsonl proves that no byte of an exported record (raw) has changed since it was sealed. To check it:
python3 verify.py --vkey FILE, with the keeper's copy of the public key.
If you delete the text of a message, delete its line in proofs.jsonl as well: with the salt, guesses of the text can be
tested. Who else has a copy of this export is in the archive's audit_log, by the SHA-256 of manifest.json.
"""


class Proved(NamedTuple):
    """What was written: files for the manifest, what the manifest says of them, and whether all records are proved."""

    files: list[Written]
    about: Json
    differences: int


class ProofFiles:
    """Writes the files of one export's proofs. `roots`: certificates of time-stamping authorities, in PEM."""

    def __init__(self, tx: Tx, place: Folder, roots: Sequence[Path]) -> None:
        self._tx, self._place, self._roots = tx, place, roots
        self._prover = Prover(tx)
        self._files: list[Written] = []
        self._counts = {"records": 0, NOT_SEALED: 0, NOT_SIGNED: 0, "differences": 0}

    def write(self, units: Iterable[Unit], conditions: Conditions, look_up: Callable[[], None]) -> Proved:
        """Write all of them; `look_up` raises when somebody wants this to stop."""
        self._create("proofs.jsonl", _lines(self._records(units, conditions, look_up)))
        self._create("ledger/note", [self._prover.signed])
        self._create("ledger/entries.jsonl", _lines(self._prover.entries()))
        self._anchors()
        self._create("ledger/README.txt", [README.encode()])
        self._create("verify.py", [offline.program().encode()])
        note, counts = self._prover.note, self._counts
        about = {"origin": note.origin, "size": note.size, "records": counts["records"]}
        about |= {"not_sealed": counts[NOT_SEALED], "not_signed": counts[NOT_SIGNED]}
        return Proved(self._files, about, counts["differences"])

    def _create(self, name: str, pieces: Iterable[bytes]) -> None:
        with self._place.create(name) as sink:
            for piece in pieces:
                sink.write(piece)
            self._files.append(Written(name, sink.size, sink.sha256()))

    def _records(self, units: Iterable[Unit], conditions: Conditions, look_up: Callable[[], None]) -> Iterator[Json]:
        """The proofs in the order of the records in the files."""
        for unit in units:
            for day in unit.days:
                for batch in proofs.of_day(self._tx, day, conditions):
                    look_up()
                    for place in batch:
                        proof = self._prover.proof(place)
                        missing = proof.get("missing", "records")
                        self._counts[missing if missing in self._counts else "differences"] += 1
                        yield proof

    def _anchors(self) -> None:
        """Checkpoints that sinks have, by checkpoint, and the tokens among them."""
        self._place.clear("anchors")  # an attempt that was interrupted may have written other tokens
        by_note: dict[str, Json] = {}
        for one in proofs.anchored(self._tx):
            line = by_note.setdefault(one.note, {"note": one.note, "consistency": None, "sinks": [], "tokens": []})
            line["sinks"].append({"sink": one.sink, "at": iso(one.at_ms)})
            if one.proof is not None:
                name = f"anchors/tokens/{len(self._files):06}.tsr"
                self._create(name, [one.proof])
                line["tokens"].append(name)
        for text, line in by_note.items():
            line["consistency"] = self._prover.consistency(notes.parse(text.encode()).note)
        self._create("anchors/checkpoints.jsonl", _lines(by_note.values()))
        self._create("anchors/roots.pem", [path.read_bytes() for path in self._roots if path.is_file()])


def _lines(values: Iterable[Json]) -> Iterator[bytes]:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for value in values)
