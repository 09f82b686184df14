"""`evidence init`, `resume` and `rotate`: the `start` entries, by which everything else in the ledger is judged."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from archiver import notes, signing
from archiver.config import Settings
from archiver.config.evidence import Evidence
from archiver.errors import ArchiverError, ConfigurationError, TryAgainLater, UsageError
from archiver.evidence import state
from archiver.evidence.keys import epoch_at
from archiver.notes import Note
from archiver.signing import Key
from archiver.store import checkpoints, ledger, owner, runs
from archiver.store.engine import Store, Tx
from archiver.store.ledger import Line
from archiver.store.seals import Signer

Json = dict[str, Any]


class Begun(NamedTuple):
    """What a keeper keeps: the key as verifiers take it, and its fingerprint."""

    vkey: str
    fingerprint: str


def section(settings: Settings) -> Evidence:
    """The settings of the evidence. Raises ConfigurationError where there are none."""
    if settings.evidence is None:
        raise ConfigurationError("[evidence] is not configured", hint="[evidence] with name and key_file")
    return settings.evidence


def init(store: Store, settings: Settings, keeper: str, who: str) -> Begun:
    """Make the key, and the ledger with its first entry and checkpoint.

    Raises ArchiverError where there is one already, TryAgainLater while somebody pulls.
    """
    evidence = section(settings)
    with store.read() as tx:
        if ledger.head(tx) is not None:
            raise ArchiverError("this archive has a ledger already", hint="archiver status")
    if evidence.key_file.exists():
        raise ArchiverError(f"{evidence.key_file} exists, and will not be overwritten", hint="another key_file")
    _refuse_beside_the_database(settings, evidence.key_file)
    with store.write() as tx:
        runs.bar(tx)  # a pull that begins now waits, and then finds the ledger
        if (alive := runs.alive(tx)) is not None:
            raise TryAgainLater(f"a pull is at work ({alive}); a ledger begins between two pulls")
        key = signing.create(evidence.key_file)
        try:
            note = _begin(tx, evidence, key, keeper, who)
        except BaseException:
            evidence.key_file.unlink(missing_ok=True)
            raise
    state.write(evidence.state_file, note)
    return Begun(notes.vkey(evidence.name, key.public), key.fingerprint)


def _begin(tx: Tx, evidence: Evidence, key: Key, keeper: str, who: str) -> Note:
    ledger.begin(tx)
    start = _start(tx, "init", evidence.name, [key.public], keeper, None)
    _append(tx, evidence, key, start)
    checkpoints.log_event(tx, who, "init", keeper)
    return _sign(tx, evidence.name, [key])


def _start(
    tx: Tx, event: str, origin: str, keys: Sequence[bytes], keeper: str | None, previous: Json | None, **more: Any
) -> Json:
    return {
        "kind": "start",
        "at": tx.now_ms(),
        "event": event,
        "origin": origin,
        "keys": [notes.vkey(origin, public) for public in keys],
        "keeper": keeper,
        "first_page": ledger.next_page(tx),
        "previous": previous,
        **more,
    }


def _append(tx: Tx, evidence: Evidence, key: Key, entry: Json) -> None:
    end = ledger.lock(tx)
    if end is None:
        raise UsageError("the archive has no ledger yet", hint="archiver evidence init")
    signer = Signer(evidence.name, key.id, key.sign)
    ledger.append(tx, end, [Line(signer.line(entry))])


def _sign(tx: Tx, origin: str, keys: Sequence[Key]) -> Note:
    """Sign the whole ledger in the transaction that appended to it."""
    end = ledger.head(tx)
    assert end is not None  # noqa: S101 - the caller has just appended to it
    note = Note(origin, end.size, ledger.root(tx, end.size))
    checkpoints.add(tx, origin, end.size, notes.sign(note, [(key.public, key.sign) for key in keys]), owner.place())
    return note


def _refuse_beside_the_database(settings: Settings, path: Path) -> None:
    match = re.fullmatch(r"sqlite:///(.+)", settings.database.sqlalchemy_url)
    if match and Path(match[1]).parent.resolve() == path.parent.resolve():
        raise UsageError(
            f"[evidence] key_file: {path} lies in the database's folder, and whoever copies that could sign",
            hint="another folder, which no backup of the archive takes along",
        )


def resume(store: Store, settings: Settings, reason: str, who: str, known: Sequence[Note]) -> Note:
    """Open the next epoch, behind what a restore or a loss has left; gives the checkpoint that begins it.

    `known`: notes that are known outside; the newest is what verification compares the gap with.
    """
    evidence = section(settings)
    key = signing.load(evidence.key_file)
    kept = _kept(evidence)
    before = max(
        [*known, *([kept] if kept else [])], key=lambda note: (_epoch(note, evidence), note.size), default=None
    )
    with store.write() as tx:
        epoch = epoch_at(tx)
        if epoch is None or ledger.lock(tx) is None:
            raise UsageError("the archive has no ledger yet", hint="archiver evidence init")
        number = max(notes.epoch(epoch.origin, evidence.name) or 1, _epoch(before, evidence) if before else 1) + 1
        origin = notes.origin(evidence.name, number)
        previous = None if before is None else _note_json(before)
        keeper = ledger.latest(tx, "start", 1)[0][1].get("keeper")
        _append(tx, evidence, key, _start(tx, "resume", origin, [key.public], keeper, previous))
        checkpoints.log_event(tx, who, "resume", reason)
        note = _sign(tx, origin, [key])
    state.write(evidence.state_file, note)
    return note


def _kept(evidence: Evidence) -> Note | None:
    try:
        return state.read(evidence.state_file)
    except TryAgainLater:
        return None  # a file that holds nothing is what `resume` is for


def _epoch(note: Note, evidence: Evidence) -> int:
    return notes.epoch(note.origin, evidence.name) or 1


def _note_json(note: Note) -> Json:
    return {"origin": note.origin, "size": note.size, "root": base64.b64encode(note.root).decode("ascii")}


def rotate(
    store: Store,
    settings: Settings,
    successor: Callable[[], Key] | None,
    who: str,
    begin: Callable[[Tx], None] = lambda _: None,
) -> Begun:
    """List another key beside ours, signed by both, or, without a `successor`, ours alone from now on.

    `begin` is called in the transaction. Raises UsageError where our key is not valid any more, or there is nothing to
    finish.
    """
    evidence = section(settings)
    key = signing.load(evidence.key_file)
    with store.write() as tx:
        begin(tx)
        epoch = epoch_at(tx)
        if epoch is None or ledger.lock(tx) is None:
            raise UsageError("the archive has no ledger yet", hint="archiver evidence init")
        if key.id not in epoch.keys:
            raise UsageError(f"[evidence] key_file holds another key ({key.id}) than those that the ledger names")
        if successor is None and len(epoch.keys) == 1:
            raise UsageError("no other key is valid: there is nothing to finish", hint="archiver evidence rotate --to")
        keys = [key] if successor is None else [key, successor()]
        keeper = ledger.latest(tx, "start", 1)[0][1].get("keeper")
        start = _start(tx, "rotate", epoch.origin, [one.public for one in keys], keeper, None)
        _append(tx, evidence, key, start)
        checkpoints.log_event(tx, who, "rotate", None)
        note = _sign(tx, epoch.origin, keys)
    state.write(evidence.state_file, note)
    return Begun(notes.vkey(epoch.origin, keys[-1].public), keys[-1].fingerprint)
