"""Hands out a copy of what the archive has: one snapshot, a day at a time, and never without a row in audit_log.

An export that was interrupted goes on, from a later snapshot: every day that was finished is compared with that
snapshot, message by message, and written anew where it differs. So the whole is always of one snapshot, the last.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple, Protocol

from archiver import __version__, export, host, statement
from archiver.blobs import Blobs
from archiver.errors import ArchiveIncomplete, ArchiverError, DatabaseRefused, DatabaseUnavailable, Stopped
from archiver.export import days, folder, manifest, units, workers
from archiver.export.days import Unit
from archiver.export.folder import Folder
from archiver.export.formats import csv
from archiver.export.journal import JournalLines
from archiver.export.proofs import ProofFiles, Proved
from archiver.export.request import Request
from archiver.export.units import UnitWriter
from archiver.export.wording import Wording
from archiver.language import language
from archiver.looks import Conversations
from archiver.store import audit_log, looks, owner, snapshots
from archiver.store.engine import Store, Tx
from archiver.store.read import days as extracts
from archiver.store.read.days import Conditions
from archiver.store.schema import iso

log = logging.getLogger("archiver.export.run")


class ExportOutcome(NamedTuple):
    """What was written. `kept_days`: those of an interrupted export that were as this snapshot has them."""

    messages: int
    manifest_sha256: str
    days: int
    kept_days: int
    missing: int
    """Attachments that the archive says are stored, and the store does not have as they were."""
    is_whole: bool = True
    """Whether the range that was asked for is archived without a gap."""
    unproved: int = 0
    """Records that are not as they were sealed, where proofs were asked for."""


class ExportProgress(Protocol):
    """Who wants to know how it goes."""

    def begun(self, messages: int) -> None: ...

    def wrote(self, messages: int) -> None: ...


@dataclass(slots=True)
class _Totals:
    messages: int = 0
    bodies: int = 0
    revisions: int = 0
    kept_days: int = 0
    missing: dict[str, str] = field(default_factory=dict)


class Export:
    """One export. `claims` tells what may be claimed in a snapshot; without `blobs` no file is copied."""

    def __init__(
        self,
        store: Store,
        request: Request,
        *,
        claims: Callable[[Tx], list[dict[str, Any]]],
        decode: export.Decode,
        blobs: Blobs | None,
        stop: Event,
        watcher: ExportProgress,
        tsa_roots: Sequence[Path] = (),
        keeps_looks: bool = False,
    ) -> None:
        if request.workers > 1:
            snapshots.demand(store)
        self._store, self._request, self._claims, self._blobs = store.patient, request, claims, blobs
        self._tsa_roots, self._keeps_looks = tsa_roots, keeps_looks
        self._stop, self._watcher = stop, watcher
        self._decode, self._form = decode, units.form_of(request, decode)
        self._totals = _Totals()
        self._entry = audit_log.AuditEntry(
            export_id=str(uuid.uuid4()),
            who=request.who,
            owner=owner.me(),
            program=f"archiver {__version__}",
            format=request.format,
            filter=request.filter() | ({} if request.request_id is None else {"request": request.request_id}),
            case_id=request.case,
            reason=request.reason,
        )
        self._head = self._begin_head()
        wording = Wording(request.language, request.calendar)
        self._writer = UnitWriter(self._form, wording, self._head, self._look_up, watcher.wrote)

    def run(self) -> ExportOutcome:
        """Write it all. Raises Stopped when asked to stop; the same command goes on then."""
        with self._store.read() as tx:
            snapshot_at = iso(tx.now_ms())
            extracts.hold_snapshot(tx)
            conditions = units.conditions_of(tx, self._request)
            planned = extracts.days(tx, conditions, self._request.calendar)
            count = sum(day.messages for day in planned)
            taken = looks.conversations_of(tx, conditions) if self._keeps_looks else []
            with self._logged(count, taken):
                place = Folder(self._request.output, self._request.header())
                with closing(place), place.scratch():
                    self._watcher.begun(count)
                    about = {"snapshot_at": snapshot_at, "resumed": place.resumed, "claims": self._claimed(tx)}
                    self._head |= {**about, **self._answered(tx), "counts": {"messages": count, "days": len(planned)}}
                    whole = days.units(self._form, planned)
                    place.keep_only([unit.key for unit in whole])
                    self._write_all(tx, place, whole, conditions)
                    proved = self._prove(tx, place, whole, conditions)
                    return self._finish(place, JournalLines(place.days, tuple(unit.key for unit in whole)), proved)

    @contextmanager
    def _logged(self, planned: int, taken: Conversations) -> Iterator[None]:
        """No export without a row that says so, written before it begins; and one on how it ended."""
        try:
            self._log("begun", planned, taken=taken)
        except (DatabaseUnavailable, DatabaseRefused) as error:
            text = f"there is no export without its row in audit_log, and that could not be written: {error}"
            raise type(error)(text, hint=error.hint) from None
        try:
            yield
        except BaseException as error:
            try:
                self._log(
                    "stopped" if isinstance(error, Stopped | KeyboardInterrupt) else "failed", self._totals.messages
                )
            except ArchiverError as second:
                log.error("the end of the export could not be noted in audit_log: %s", second)
            raise

    def _log(self, outcome: str, messages: int, sha256: str | None = None, taken: Conversations = ()) -> None:
        if self._store.is_read_only:  # as on a disk for evidence; the manifest says that there is no row
            return
        with self._store.write() as tx:
            audit_log.append(tx, self._entry, outcome, messages, sha256)
            looks.add_conversations(tx, self._entry.export_id, taken)

    def _claimed(self, tx: Tx) -> list[dict[str, Any]]:
        name = self._request.criteria.app
        return [claim for claim in self._claims(tx) if name in (None, claim["app"], claim["app"].partition("#")[2])]

    def _answered(self, tx: Tx) -> dict[str, Any]:
        """Whether the range that was asked for is archived: in words, too, where it is not as a whole."""
        criteria = self._request.criteria
        wording = statement.StatementWording(language(self._request.language), self._request.calendar)
        answer = statement.of(tx, criteria.from_ms, criteria.to_ms, criteria.app)
        is_whole = answer.verdict == "complete" or (criteria.from_ms is None and criteria.to_ms is None)
        return {
            "asked": answer.asked_json(),
            "covered": answer.verdict,
            "holes": answer.holes_json(),
            "gaps": [] if is_whole else [wording.first_line(answer), *wording.gaps(answer)],
        }

    def _write_all(self, tx: Tx, place: Folder, whole: Sequence[Unit], conditions: Conditions) -> None:
        """Write all that is not there yet, in this process or in several, and copy the files of all units."""
        pending = []
        for unit in whole:
            self._look_up()
            line = place.days.get(unit.key)
            if line and self._still_is(tx, place, unit, line, conditions):
                self._totals.kept_days += len(unit.days)
                self._watcher.wrote(unit.messages)
                self._finish_unit(tx, place, unit, line, conditions)
            else:
                pending.append(unit)
        for unit, line in self._written(tx, place, pending, conditions):
            place.finished_day(line)
            self._finish_unit(tx, place, unit, line, conditions)

    def _written(
        self, tx: Tx, place: Folder, pending: Sequence[Unit], conditions: Conditions
    ) -> Iterator[tuple[Unit, dict[str, Any]]]:
        if self._request.workers > 1 and len(pending) > 1:
            orders = workers.Orders(
                snapshots.hand_on(self._store, tx), self._request, self._decode, self._head, host.is_shared()
            )
            count = self._request.workers
            yield from workers.write(orders, pending, count, look_up=self._look_up, wrote=self._watcher.wrote)
            return
        for unit in pending:
            self._look_up()
            yield unit, self._writer.write(tx, place, unit, conditions)

    def _finish_unit(self, tx: Tx, place: Folder, unit: Unit, line: Mapping[str, Any], conditions: Conditions) -> None:
        self._totals.messages += line["messages"]
        self._totals.bodies += line["bodies"]
        self._totals.revisions += line["revisions"]
        if self._blobs is not None:
            for day in unit.days:
                for sha256, media_type in extracts.stored_contents(tx, day, conditions):
                    self._copy(place, self._blobs, sha256, media_type)

    def _still_is(self, tx: Tx, place: Folder, unit: Unit, line: Mapping[str, Any], conditions: Conditions) -> bool:
        """Whether a finished day has what this snapshot has; the cheap comparisons come first."""
        writer = self._writer
        same = line["messages"] == unit.messages and line.get("about") == writer.about(unit) and place.holds(line)
        return same and line["signature"] == writer.signature(tx, unit, conditions)

    def _look_up(self) -> None:
        if self._stop.is_set():
            raise Stopped(hint="the same command again: it goes on, whole days stay")

    def _copy(self, place: Folder, blobs: Blobs, sha256: str, media_type: str | None) -> None:
        """Copy a content, and read it in doing so: what is not what its name says is not handed out."""
        path = folder.attachment_path(sha256, media_type)
        self._look_up()
        if (place.path / path).exists():
            return
        try:
            with place.create(path) as sink:
                for piece in blobs.pieces(sha256):
                    sink.write(piece)
                _demand_content(sink.sha256() == sha256)
        except ArchiveIncomplete as error:
            self._totals.missing[sha256] = str(error)

    def _prove(self, tx: Tx, place: Folder, units: Iterable[Unit], conditions: Conditions) -> Proved | None:
        if not self._request.proofs:
            return None
        proved = ProofFiles(tx, place, self._tsa_roots).write(units, conditions, self._look_up)
        self._head["proofs"] = proved.about
        return proved

    def _finish(self, place: Folder, written: JournalLines, proved: Proved | None) -> ExportOutcome:
        """The index, the manifest, and the second row; the manifest gets its name last."""
        totals, day_count = self._totals, self._head["counts"]["days"]
        counts = {"messages": totals.messages, "bodies": totals.bodies, "revisions": totals.revisions}
        head = self._head | {"counts": counts | {"days": day_count}, "attachments_missing": totals.missing}
        files = [*written.files(), *(file._asdict() for file in (proved.files if proved else ()))]
        if self._form.write_index is not None:
            with place.create("index.html") as sink:
                self._form.write_index(folder.binary(sink), head, written)
            files.append({"path": "index.html", "bytes": sink.size, "sha256": sink.sha256()})
        with place.create(folder.MANIFEST) as sink:
            manifest.write(folder.binary(sink), head, chain(files, (entry._asdict() for entry in place.attachments())))
            sha256 = sink.sha256()
            with place.create(folder.CHECKSUM) as beside:
                beside.write(manifest.checksum(sha256))
            self._log("done", self._totals.messages, sha256)
        place.finish()
        missing, is_whole = len(totals.missing), not self._head["gaps"]
        unproved = 0 if proved is None else proved.differences
        return ExportOutcome(totals.messages, sha256, day_count, totals.kept_days, missing, is_whole, unproved)

    def _begin_head(self) -> dict[str, Any]:
        """What the manifest says first; places are kept for what is not known yet."""
        entry = self._entry
        head: dict[str, Any] = {
            "export_id": entry.export_id,
            "program": entry.program,
            "who": entry.who,
            "case": entry.case_id,
            "reason": entry.reason,
            "format": entry.format,
            "filter": entry.filter,
            "filter_in_words": self._request.filter_in_words(),
            "zone": self._request.calendar.name,
            "recorded": not self._store.is_read_only,
            "counts": {},
            "attachments": self._request.attachments,
            "attachments_missing": {},
        }
        if entry.format == "csv":
            head |= {"formula_prefix": csv.PREFIX, "formula_rule": csv.RULE}
        return head


def _demand_content(holds: bool) -> None:
    if not holds:
        raise ArchiveIncomplete("the store has other bytes under this name")
