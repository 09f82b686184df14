"""`evidence proof`: a folder with the records of one message, their proofs and what verifies them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archiver import host, notes
from archiver.errors import ArchiveIncomplete, TryAgainLater, UsageError
from archiver.evidence import offline
from archiver.evidence.proofs import NOT_SIGNED, Prover
from archiver.store.engine import Tx
from archiver.store.read import proofs

Json = dict[str, Any]
Before = Callable[[str, str | None, int], None]
"""Called with app, conversation and number of records before anything is written."""


def write(tx: Tx, msg_id: str, app: str | None, folder: Path, before: Before = lambda *_: None) -> int:
    """Write the folder; gives the number of records: the first copy, and every revision.

    Raises ArchiveIncomplete where one of them has no proof, TryAgainLater where its entry is not signed yet.
    """
    app_id, name = _app(tx, msg_id, app)
    contents, records = files(tx, msg_id, app)
    before(name, proofs.conversation(tx, app_id, msg_id), records)
    _create(folder, contents)
    return records


def files(tx: Tx, msg_id: str, app: str | None) -> tuple[list[tuple[str, bytes]], int]:
    """The same in memory: names and contents, and the number of records. Raises as `write`."""
    app_id, name = _app(tx, msg_id, app)
    prover = Prover(tx)
    records = []
    for place in proofs.of_messages(tx, app_id, name, [msg_id]):
        raw = proofs.raw(tx, app_id, place)
        proof = prover.proof(place, raw)
        if proof.get("missing") == NOT_SIGNED:
            raise TryAgainLater("the entry of its page is not signed yet", hint="archiver evidence seal")
        if "missing" in proof:
            raise ArchiveIncomplete(f"there is no proof of revision {place.revision}: {proof['missing']}")
        records.append({"revision": place.revision, **_verbatim(raw), "proof": proof})
    record = {"app": name, "msg_id": msg_id, "records": records, "entries": list(prover.entries())}
    return _files(prover, record), len(records)


def _app(tx: Tx, msg_id: str, app: str | None) -> tuple[int, str]:
    matching = proofs.apps_with(tx, msg_id, app)
    if not matching:
        raise ArchiveIncomplete("the archive has no message of this id")
    if len(matching) > 1:
        names = ", ".join(name for _, name in matching)
        raise UsageError(f"several apps have a message of this id: {names}", hint="--app")
    return matching[0]


def _create(folder: Path, contents: list[tuple[str, bytes]]) -> None:
    try:
        host.make_folder(folder, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", hint="another --output")
        for name, content in contents:
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, host.file_mode())
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", hint="another --output") from None


def _files(prover: Prover, record: Json) -> list[tuple[str, bytes]]:
    """Names are numbers of revisions: nothing that a user wrote becomes a path."""
    files = [
        ("record.json", json.dumps(record, ensure_ascii=False, indent=1).encode() + b"\n"),
        ("note", prover.signed),
        ("verify.py", offline.program().encode()),
    ]
    for one in record["records"]:
        seq = one["proof"]["entry"]
        files.append((f"{one['revision']}.entry", prover.entry(seq)["entry"].encode()))
        files.append((f"{one['revision']}.tlog-proof", notes.proof(seq, prover.path(seq), prover.signed)))
    return files


def _verbatim(raw: bytes) -> Json:
    """As the format `jsonl` has it."""
    try:
        return {"raw": raw.decode()}
    except UnicodeDecodeError:
        return {"raw": None, "raw_base64": base64.b64encode(raw).decode("ascii")}
