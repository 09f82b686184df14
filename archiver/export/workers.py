"""Units of an export in several processes, all of one snapshot.

A process has a pipe, on which it gets a unit at a time and answers with its line. A pipe that closes ends its
process: so none outlives the export, however that ends.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from archiver import export, host
from archiver.errors import ArchiverError, Stopped
from archiver.export import units
from archiver.export.days import Unit
from archiver.export.folder import ExportFiles
from archiver.export.request import Request
from archiver.export.wording import Wording
from archiver.store import snapshots
from archiver.store.snapshots import Snapshot

_LOOK_UP_S = 0.2
_END_S = 10.0
_AGAIN = "the same command again: it goes on, whole days stay"


class Orders(NamedTuple):
    """What every process of an export is told."""

    snapshot: Snapshot
    request: Request
    decode: export.Decode
    head: Mapping[str, Any]
    for_group: bool = False
    """Whether files are for the group of the account as well."""


def write(
    orders: Orders,
    pending: Sequence[Unit],
    count: int,
    *,
    look_up: Callable[[], None],
    wrote: Callable[[int], None],
) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """Have units written by so many processes; gives them with their lines, as they are finished.

    Raises what `look_up` raises, and what stopped one of the processes.
    """
    left = deque(pending)
    writers = [_Writer(orders) for _ in range(min(count, len(left)))]
    try:
        for writer in writers:
            writer.give(left)
        while busy := [writer for writer in writers if writer.unit]:
            look_up()
            ready = wait([writer.pipe for writer in busy], _LOOK_UP_S)
            for writer in [one for one in busy if one.pipe in ready]:
                kind, answer = writer.hear()
                if kind == "wrote":
                    wrote(answer)
                elif writer.unit is not None:
                    yield writer.unit, answer
                    writer.give(left)
    finally:
        for writer in writers:
            writer.end()


class _Writer:
    """One process, and the unit it is at work on."""

    def __init__(self, orders: Orders) -> None:
        context = multiprocessing.get_context("spawn")  # a copy of this process would share its connections
        self.pipe, theirs = context.Pipe()
        self.unit: Unit | None = None
        self._process: BaseProcess = context.Process(target=_work, args=(theirs, orders, gc.get_threshold()))
        self._process.start()
        theirs.close()

    def give(self, left: deque[Unit]) -> None:
        self.unit = left.popleft() if left else None
        if self.unit is not None:
            with suppress(BrokenPipeError):  # why it has ended is in the pipe
                self.pipe.send(self.unit)

    def hear(self) -> tuple[str, Any]:
        try:
            kind, answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise ArchiverError("a process of the export was ended", hint="the same command again") from None
        if kind == "error":
            raise _raised(*answer)
        return kind, answer

    def end(self) -> None:
        self.pipe.close()
        self._process.join(_END_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()


def _raised(kind: type[Exception], text: str, hint: str | None) -> Exception:
    return kind(text, hint=hint) if issubclass(kind, ArchiverError) else ArchiverError(f"{kind.__name__}: {text}")


def _work(pipe: Connection, orders: Orders, threshold: tuple[int, int, int]) -> None:
    """What a process does. Signals are for the process of the export, which closes the pipe then."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.set_threshold(*threshold)
    if orders.for_group:
        host.share_with_group()
    with suppress(EOFError, OSError):
        try:
            _write_units(pipe, orders)
        except EOFError:
            raise
        except Exception as error:
            hint = error.hint if isinstance(error, ArchiverError) else None
            pipe.send(("error", (type(error), str(error), hint)))


def _write_units(pipe: Connection, orders: Orders) -> None:
    def look_up() -> None:
        if pipe.poll():  # nothing is sent before the unit is done: it was closed
            raise Stopped

    request = orders.request
    form = units.form_of(request, orders.decode)
    wording = Wording(request.language, request.calendar)
    writer = units.UnitWriter(form, wording, orders.head, look_up, lambda messages: pipe.send(("wrote", messages)))
    place = ExportFiles(request.output)
    with snapshots.opened(orders.snapshot) as tx:
        conditions = units.conditions_of(tx, request)
        while True:
            unit = pipe.recv()
            pipe.send(("line", writer.write(tx, place, unit, conditions)))
