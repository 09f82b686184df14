"""Archived messages as files for others: one module a format, the folder they lie in, and the manifest over them.

A writer takes batches of `model.Archived` and writes bytes; it knows neither database nor file system. Names of
folders and files are made of configured names, days and numbers, never of what a chat user wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

from archiver.errors import UsageError
from archiver.export.journal import JournalLines
from archiver.export.wording import Wording
from archiver.model import Archived, Message, Reject

Decode = Callable[[bytes, int], Message | Reject]
"""Reads a record's stored bytes; the second argument is its place in its page."""

FORMATS = ("jsonl", "csv", "xlsx", "parquet", "html")
FOR_PEOPLE = ("csv", "xlsx", "html")
"""Whose days and clocks may be those of a zone; the others, for machines, are in UTC."""
TRANSLATED = ("xlsx", "html")
COMPRESSED = ("jsonl", "csv")
"""Which may be compressed; the others are already."""
_PAGE = 2_000
"""Messages of a page that a browser shows at once."""
_WORKBOOK = 1_000_000
"""Messages of a workbook: with more, the programs that open it run out of memory."""


class Cover(NamedTuple):
    """What a file says of itself and of its neighbours."""

    title: str
    head: Mapping[str, Any]
    """The manifest's beginning, as far as it is known before the last message is written."""
    previous: str | None = None
    following: str | None = None
    """Paths in the folder of the export, of the pages before and after."""


class Writer(Protocol):
    """One file being written."""

    def add(self, batch: Sequence[Archived]) -> None:
        """Write some more messages."""

    def close(self) -> dict[str, Any]:
        """Write what is left; the file itself stays open. Gives what an index has to know of the file."""

    def abandon(self) -> None:
        """Release what the writer holds, after an error; most hold nothing."""
        return


class Form(NamedTuple):
    """How a format divides and orders a day, and how its files begin."""

    suffix: str
    most: int
    """How many messages a file holds at most."""
    by_conversation: bool
    write: Callable[[IO[bytes], Cover], Writer]
    """Begin a file of messages."""
    single_file: bool = False
    """Whether a file goes on over days and apps, and is begun again as a whole after an interruption."""
    states_claims: bool = False
    """Whether the files themselves say what may be claimed."""
    shows_marks: bool = False
    """Whether the files show what callbacks report of messages."""
    write_index: Callable[[IO[bytes], Mapping[str, Any], JournalLines], None] | None = None
    """Write index.html from the head of the manifest and the days."""


class FormatOptions(NamedTuple):
    """What somebody chose for a format. `linked`: attachments lie beside the messages. `scratch`: for temporary
    files, removed afterwards."""

    decode: Decode
    """Reads a revision's record."""
    wording: Wording = Wording()
    scratch: Path | None = None
    bom: bool = False
    linked: bool = False
    single_file: bool = False
    compress: str | None = None
    """"gzip" or "zstd"; for COMPRESSED alone."""


def form(name: str, options: FormatOptions) -> Form:
    """The format of this name. Raises UsageError where something that it needs is not installed."""
    plain = _plain(name, options)
    if options.compress is None:
        return plain
    from archiver.export import compression

    if name not in COMPRESSED:
        raise UsageError(f"--compress is for --format {' and '.join(COMPRESSED)}; the others are already")
    compression.check(options.compress)

    def begin(file: IO[bytes], cover: Cover) -> Writer:
        sink = compression.CompressingSink(file, str(options.compress))
        return compression.Compressed(plain.write(cast("IO[bytes]", sink), cover), sink)

    return plain._replace(suffix=f"{plain.suffix}.{compression.SUFFIXES[options.compress]}", write=begin)


def _plain(name: str, options: FormatOptions) -> Form:
    calendar = options.wording.calendar
    if name == "jsonl":
        from archiver.export.formats import jsonl

        return Form("jsonl", 1_000_000, False, lambda file, _: jsonl.Lines(file))
    if name == "csv":
        from archiver.export.formats import csv

        most = sys.maxsize if options.single_file else 1_000_000
        write = partial(csv.Sheet, bom=options.bom, calendar=calendar)
        return Form("csv", most, False, lambda file, _: write(file), options.single_file)
    if name == "html":
        from archiver.export.formats import html, index

        begin = partial(html.Transcript, decode=options.decode, linked=options.linked, wording=options.wording)
        write_index = partial(index.write, wording=options.wording)
        return Form("html", _PAGE, True, begin, shows_marks=True, write_index=write_index)
    if name == "xlsx":
        xlsx = _optional("xlsx", "XlsxWriter")
        begin = partial(xlsx.Workbook, wording=options.wording, scratch=options.scratch)
        return Form("xlsx", _WORKBOOK, False, begin, single_file=True, states_claims=True)
    if name == "parquet":
        parquet = _optional("parquet", "pyarrow")
        return Form("parquet", 1_000_000, False, lambda file, _: parquet.Table(file))
    raise UsageError(f"there is no format {name!r}", hint=f"--format {', '.join(FORMATS)}")


def _optional(name: str, package: str) -> Any:
    """The module of a format whose package is installed only where somebody needs it."""
    try:
        return import_module(f"archiver.export.formats.{name}")
    except ImportError:
        hint = f"pip install {package}"
        raise UsageError(f"--format {name} needs {package}", hint=hint) from None
