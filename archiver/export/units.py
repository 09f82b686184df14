"""Writes units of an export, which are days or the whole: in the process of the export, or in several beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from archiver import export, logs
from archiver.errors import ArchiveIncomplete
from archiver.export import days, folder
from archiver.export.days import Unit
from archiver.export.folder import ExportFiles
from archiver.export.request import Request
from archiver.export.wording import Wording
from archiver.store.engine import Tx
from archiver.store.read import days as extracts
from archiver.store.read import filters
from archiver.store.read.days import Conditions
from archiver.store.search import query
from archiver.store.search import text as terms

_T = TypeVar("_T")


def conditions_of(tx: Tx, request: Request) -> Conditions:
    """Which messages are asked for, as a database has it."""
    conditions = filters.of_messages(tx, request.criteria)
    if request.text is not None:
        conditions.append(query.holding(tx, terms.query_for(request.text), request.criteria))
    return conditions


def form_of(request: Request, decode: export.Decode) -> export.Form:
    """The format that was asked for. Raises UsageError where something that it needs is not installed."""
    options = export.FormatOptions(
        decode=decode,
        wording=Wording(request.language, request.calendar),
        scratch=request.output / folder.SCRATCH,
        bom=request.bom,
        linked=request.attachments,
        single_file=request.single_file,
        compress=request.compress,
    )
    return export.form(request.format, options)


@contextmanager
def _read(tx: Tx, batches: Generator[days.Batch, None, None]) -> Iterator[Iterator[days.Batch]]:
    """From PostgreSQL a batch ahead: its server computes rows meanwhile. `tx` is for them alone within the block.

    SQLite computes in this process, and its driver would ask for the interpreter for every row. What ends the block
    early waits for the batch that is being read.
    """
    with closing(batches):
        if tx.postgres:
            with ThreadPoolExecutor(1, thread_name_prefix="export-read", **logs.carried()) as thread:
                yield _ahead(thread, batches)
        else:
            yield batches


def _ahead(thread: ThreadPoolExecutor, batches: Iterator[days.Batch]) -> Iterator[days.Batch]:
    coming = thread.submit(next, batches, None)
    while (batch := coming.result()) is not None:
        coming = thread.submit(next, batches, None)
        yield batch


class UnitWriter:
    """Writes units of one snapshot. `head`: the manifest's beginning. `look_up` raises what ends it early, between
    batches; `wrote` is given the messages of each.
    """

    def __init__(
        self,
        form: export.Form,
        wording: Wording,
        head: Mapping[str, Any],
        look_up: Callable[[], None],
        wrote: Callable[[int], None],
    ) -> None:
        self._form, self._wording, self._head = form, wording, head
        self._look_up, self._wrote = look_up, wrote

    def write(self, tx: Tx, place: ExportFiles, unit: Unit, conditions: Conditions) -> dict[str, Any]:
        """Write the files of a unit; gives its line of the journal."""
        place.clear_files(unit.paths[0])
        files = []
        with _read(tx, self._batches(tx, unit, conditions)) as batches:
            counted = days.Counted(self._unless_stopped(batches), self._form)
            portions = days.portions(self._watched(counted), self._form.most)
            for number, path in enumerate(unit.paths):
                cover = unit.cover(number, self._title(unit), self._head)
                with place.create(path) as sink:
                    about = days.fill(self._form, folder.binary(sink), cover, next(portions, iter(())))
                files.append({"path": path, "bytes": sink.size, "sha256": sink.sha256(), **about})
        if not counted.messages == sum(file["messages"] for file in files) == unit.messages:
            raise ArchiveIncomplete(
                f"{unit.app}: the archive counts {unit.messages} messages and gives {counted.messages}",
                hint="an index may be damaged: REINDEX, or on SQLite PRAGMA integrity_check",
            )
        counts = {"messages": counted.messages, "bodies": counted.bodies, "revisions": counted.revisions}
        line = {"app": unit.app, "day": unit.day, **counts, "signature": counted.signature, "files": files}
        return line if (about_all := self.about(unit)) is None else line | {"about": about_all}

    def _batches(self, tx: Tx, unit: Unit, conditions: Conditions) -> Generator[days.Batch, None, None]:
        for day in unit.days:
            yield from extracts.batches(tx, day, conditions, self._form.by_conversation)

    def about(self, unit: Unit) -> list[Any] | None:
        """What files say beside messages, as far as another snapshot could differ in it: a workbook has the claim,
        a page the links to its neighbours."""
        if self._form.states_claims:
            return [json.loads(json.dumps([self._head["claims"], self._head["gaps"]]))]
        return list(unit.around) if self._form.write_index else None

    def signature(self, tx: Tx, unit: Unit, conditions: Conditions) -> str:
        """What the snapshot would write of a unit, in brief."""
        signature = days.DaySignature(self._form)
        for day in unit.days:
            for batch in self._unless_stopped(extracts.known(tx, day, conditions, self._form.by_conversation)):
                signature.add(batch)
        return signature.hex()

    def _title(self, unit: Unit) -> str:
        if self._form.single_file:
            return self._wording["title"]
        return f"{unit.app}, {unit.day or self._wording['without_day']}"

    def _unless_stopped(self, batches: Iterable[list[_T]]) -> Iterator[list[_T]]:
        for batch in batches:
            self._look_up()
            yield batch

    def _watched(self, batches: Iterable[list[_T]]) -> Iterator[list[_T]]:
        for batch in batches:
            yield batch
            self._wrote(len(batch))
