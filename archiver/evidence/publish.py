"""From the queue to the anchors: entries get their places, a checkpoint is signed, and goes where we cannot write.

Nothing here ever changes a page's transaction or a pull's exit code: what fails is logged, alarmed and tried next time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from archiver import entries, notes
from archiver.config.evidence import Evidence
from archiver.errors import ArchiverError, UsageError
from archiver.evidence import claims, state
from archiver.evidence.keys import Epoch, epoch_at, of_start
from archiver.model import MINUTE_MS
from archiver.notes import Note, NoteRefused
from archiver.signing import Key
from archiver.store import checkpoints, ledger, owner
from archiver.store.checkpoints import BEHIND, FORK, NO_STATE, SIGNED, SIGNING, TWO_SIGNERS, UNSIGNED, Checkpoint
from archiver.store.engine import Store, Tx
from archiver.store.ledger import Head
from archiver.store.seals import Signer

log = logging.getLogger("archiver.evidence")

WITHIN_S = 10.0
"""So long a pull waits for all of this together."""
_ALONE_MS = 5 * MINUTE_MS
_CHECKED_AT_ONCE = 500


class Put(Protocol):
    """What came of anchoring a note: "anchored", "unverified" (a token that nobody accepts) or "failed"."""

    @property
    def state(self) -> str: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def proof(self) -> bytes | None: ...


class Sink(Protocol):
    """Where checkpoints go. Both calls end in time."""

    @property
    def name(self) -> str: ...

    @property
    def every_ms(self) -> int: ...

    @property
    def readable(self) -> bool: ...

    def put(self, note: bytes, *, within_s: float) -> Put:
        """Anchor a note. Raises nothing."""

    def newer(self, size: int, *, within_s: float) -> Sequence[bytes]:
        """The notes of greater sizes, as they are there. Raises ArchiverError where the sink cannot be read."""


@dataclass(frozen=True)
class Published:
    """What came of it: everything has its place, is signed, and is where it was due."""

    sequenced: bool = False
    signed: Checkpoint | None = None
    anchored: bool = False
    problem: str | None = None

    @property
    def whole(self) -> bool:
        return self.sequenced and self.problem is None and self.anchored


class Publisher:
    """Publishes the ledger of one archive with one key."""

    def __init__(self, store: Store, evidence: Evidence, key: Key, sinks: Sequence[Sink] = ()) -> None:
        self._store, self._evidence, self._key, self._sinks = store, evidence, key, sinks
        self.signer = Signer(evidence.name, key.id, key.sign)

    def __call__(self, *, within_s: float = WITHIN_S, force: bool = False) -> Published:
        """Publish what waits; a failure is in the log and in what it gives. `force`: every sink is due."""
        try:
            return self._publish(time.monotonic() + within_s, force=force)
        except (
            Exception
        ) as error:  # a pull must end as if there were no ledger, and the daemon's next round does better
            log.exception("the ledger was not published")
            return Published(problem=type(error).__name__)

    def _publish(self, deadline: float, *, force: bool) -> Published:
        try:
            self.sequence(deadline)
        except ArchiverError as error:
            log.error("the ledger does not grow: %s", error)
            return Published(problem=str(error))
        if not self._evidence.publish:
            return Published(sequenced=True, anchored=True)
        try:
            signed, problem = self._sign(deadline)
        except ArchiverError as error:
            log.error("no checkpoint was signed: %s", error)
            signed, problem = None, str(error)
        try:
            anchored = self._anchor(deadline, force=force)
        except ArchiverError as error:
            log.error("checkpoints are not anchored: %s", error)
            anchored, problem = False, problem or str(error)
        return Published(True, signed, anchored, problem)

    def sequence(self, deadline: float) -> None:
        """Give all that waits its place in the ledger, some at a time."""
        first: int | None = None
        while True:
            with self._store.read() as tx:
                seen = ledger.waiting(tx)
                if seen is None:
                    raise UsageError("the archive has no ledger yet", hint="archiver evidence init")
                first = seen.size if first is None else first
                few = len(seen.ids) <= ledger.MOST_AT_ONCE
                due = claims.due(tx, exported=ledger.export_waits(tx)) if few else []
            if seen.ids or due:
                with self._store.write() as tx:
                    done = ledger.sequence(tx, self.signer, seen=seen, claims=due)
            if few or not seen.ids or not done.taken or time.monotonic() > deadline:
                break
        self._check_signatures(first)

    def _check_signatures(self, first: int) -> None:
        """An entry that no valid key has signed has its place all the same, and somebody must hear of it."""
        while True:
            with self._store.read() as tx:
                batch = ledger.entries_from(tx, first, _CHECKED_AT_ONCE)
                epoch = epoch_at(tx, first)
            if not batch or epoch is None:
                return
            valid = epoch.keys
            for seq, kind, _, line, _ in batch:
                try:
                    entry = entries.check(line.encode(), self._evidence.name, valid)
                    valid = of_start(entry) if kind == "start" else valid
                except ValueError as error:
                    log.critical("entry %d of the ledger is not signed by a valid key: %s", seq, error)
                    with self._store.write() as tx:
                        checkpoints.note(tx, SIGNING, epoch.origin, seq, UNSIGNED, reason=f"entry {seq}: {error}")
            first += len(batch)

    def _sign(self, deadline: float) -> tuple[Checkpoint | None, str | None]:
        """Sign a checkpoint of all that has its place, unless something speaks against it; also gives what does."""
        known, reached = self._known(deadline)
        with self._store.write() as tx:
            end, epoch = ledger.lock(tx, within_s=_left(deadline, 5.0)), epoch_at(tx)
            if end is None or epoch is None:
                raise UsageError("the archive has no ledger yet", hint="archiver evidence init")
            newest = checkpoints.newest(tx, epoch.origin)
            found = self._problem(tx, end, epoch, known, reached=reached)
            if found is not None:
                outcome, problem = found
                log.critical("no checkpoint was signed: %s", problem)
                checkpoints.note(tx, SIGNING, epoch.origin, end.size, outcome, reason=problem)
                return None, problem
            if newest is not None and checkpoints.only_tokens_behind(tx, newest.size, end.size):
                return newest, None
            note = Note(epoch.origin, end.size, ledger.root(tx, end.size))
            checkpoints.add(tx, note.origin, note.size, self._signed(note), owner.place())
            before = checkpoints.last(tx, SIGNING)
            if before is not None and before.outcome in (BEHIND, FORK, NO_STATE, TWO_SIGNERS):
                checkpoints.note(tx, SIGNING, epoch.origin, end.size, SIGNED)
            newest = checkpoints.newest(tx, epoch.origin)
        state.write(self._evidence.state_file, note)
        return newest, None

    def _signed(self, note: Note) -> bytes:
        return notes.sign(note, [(self._key.public, self._key.sign)])

    def known(self) -> list[Note]:
        """The notes that are known outside the database."""
        return self._known(time.monotonic() + WITHIN_S)[0]

    def _known(self, deadline: float) -> tuple[list[Note], bool]:
        """The notes that are known outside the database; and whether anything that could know one was reached."""
        kept = state.read(self._evidence.state_file)
        known = [] if kept is None else [kept]
        reached = kept is not None
        readable = [sink for sink in self._sinks if sink.readable]
        with self._store.read() as tx:
            epoch = epoch_at(tx)
            taken = {sink.name: checkpoints.last(tx, sink.name, checkpoints.ANCHORED) for sink in readable}
        keys = [self._key.public, *(epoch.keys.values() if epoch else ())]
        for sink in readable:
            # From the last one that it took, so that a sink that works has a note to show: it may lag by its `every`.
            last = taken[sink.name]
            after = 0 if last is None else max(0, last.size - 1)
            try:
                texts = sink.newer(after, within_s=_left(deadline, WITHIN_S))
            except ArchiverError as error:
                log.warning("%s could not be read: %s", sink.name, error)
                continue
            verified = [note for text in texts if (note := self._verified(text, keys)) is not None]
            reached |= bool(verified)
            known += verified
        return known, reached

    def _verified(self, text: bytes, keys: Sequence[bytes]) -> Note | None:
        """The note in a text of a sink; None where no key of ours has signed it: anybody may write there."""
        try:
            signed = notes.parse(text)
            notes.verify(signed, keys)
        except NoteRefused:
            return None
        return signed.note if notes.epoch(signed.note.origin, self._evidence.name) is not None else None

    def _problem(
        self, tx: Tx, end: Head, epoch: Epoch, known: Sequence[Note], *, reached: bool
    ) -> tuple[str, str] | None:
        """What speaks against a signature: notes that are known outside, and that this ledger does not bear out."""
        ours = notes.epoch(epoch.origin, self._evidence.name) or 1
        for note in known:
            theirs = notes.epoch(note.origin, self._evidence.name) or 1
            if theirs > ours or (theirs == ours and note.size > end.size):
                return (
                    BEHIND,
                    f"the ledger ends at {end.size}, and a checkpoint of {note.size} is known ({note.origin})",
                )
            if theirs == ours and ledger.root(tx, note.size) != note.root:
                return FORK, f"another ledger was signed with this key: its first {note.size} entries are not ours"
        if not reached:
            return NO_STATE, "neither the state file nor a sink says which checkpoint was the last one"
        readable = any(sink.readable for sink in self._sinks)
        other = end.signer is not None and end.signer != owner.place()
        if not readable and other and end.signed_ms is not None and tx.now_ms() - end.signed_ms < _ALONE_MS:
            return TWO_SIGNERS, f"another host signed a moment ago ({end.signer}); set publish = false on one of them"
        return None

    def _anchor(self, deadline: float, *, force: bool) -> bool:
        """Give the newest checkpoint to every sink that is due; whether all of them have it, or are not due."""
        with self._store.read() as tx:
            epoch = epoch_at(tx)
            newest = None if epoch is None else checkpoints.newest(tx, epoch.origin)
            due = [] if newest is None else [one for one in self._sinks if self._is_due(tx, one, newest, force=force)]
        well = True
        for sink in due:
            assert newest is not None  # noqa: S101 - nothing is due without one
            well &= self._put(sink, newest, deadline)
        return well

    def _is_due(self, tx: Tx, sink: Sink, newest: Checkpoint, *, force: bool) -> bool:
        last = checkpoints.last(tx, sink.name, checkpoints.ANCHORED)
        if last is None:
            return True
        if (last.origin, last.size) == (newest.origin, newest.size):
            return False
        # Rounds come by the minute, and a note is anchored some moments after its round began: a sink that is due
        # a moment after this round would get every other checkpoint only.
        due_ms = last.at_ms + sink.every_ms - min(sink.every_ms, self._evidence.checkpoint_ms) // 2
        # A clock that was set back must not keep a sink waiting.
        return force or not last.at_ms <= tx.now_ms() < due_ms

    def _put(self, sink: Sink, newest: Checkpoint, deadline: float) -> bool:
        done = sink.put(newest.note.encode(), within_s=_left(deadline, WITHIN_S))
        if done.state != checkpoints.ANCHORED:
            log.error("%s: the checkpoint of %d is %s: %s", sink.name, newest.size, done.state, done.reason)
        with self._store.write() as tx:
            checkpoints.note(
                *(tx, sink.name, newest.origin, newest.size, done.state), proof=done.proof, reason=done.reason
            )
        return done.state == checkpoints.ANCHORED


def _left(deadline: float, most: float) -> float:
    """What is left of the time for all of it, but a moment for everybody."""
    return min(most, max(0.5, deadline - time.monotonic()))
