"""Archived messages as files for others: one module a format, the folder they lie in, and the manifest over them.

A writer takes batches of `model.Archived` and writes bytes; it knows neither database nor file system. Names of
folders and files are made of configured names, days and numbers, never of what a chat user wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import IO, Any, NamedTuple, Protocol

from archiver.errors import UsageError
from archiver.model import Archived, Message, Reject
from archiver.zones import Calendar

Decode = Callable[[bytes, int], Message | Reject]
"""Reads a record's stored bytes; the second argument is its place in its page."""

FORMATS = ("jsonl", "csv", "parquet", "html")
FOR_PEOPLE = ("csv", "html")
"""Whose days and clocks may be those of a zone; the others, for machines, are in UTC."""


class Writer(Protocol):
    """One file being written."""

    def add(self, batch: Sequence[Archived]) -> None:
        """Write some more messages."""

    def close(self) -> None:
        """Write what is left; the file itself stays open."""


class Form(NamedTuple):
    """How a format divides and orders a day, and how its files begin."""

    suffix: str
    most: int
    """How many messages a file holds at most."""
    by_conversation: bool
    write: Callable[[IO[bytes], str], Writer]
    """Begin a file of messages; the text is a title for people."""
    write_index: Callable[[IO[bytes], Mapping[str, Any], Sequence[Mapping[str, Any]]], None] | None = None
    """Write index.html from the head of the manifest and the days."""


def form(
    name: str, decode: Decode, *, bom: bool = False, linked: bool = False, calendar: Calendar | None = None
) -> Form:
    """The format of this name; `linked`: attachments lie beside the messages. `decode` reads a revision's record.

    `calendar`: of the times in formats for people; UTC where there is none.

    Raises UsageError where something that it needs is not installed.
    """
    calendar = calendar or Calendar()
    if name == "jsonl":
        from archiver.export.formats import jsonl

        return Form("jsonl", 1_000_000, False, lambda file, _: jsonl.Lines(file))
    if name == "csv":
        from archiver.export.formats import csv

        return Form("csv", 1_000_000, False, lambda file, _: csv.Sheet(file, bom=bom, calendar=calendar))
    if name == "html":
        from archiver.export.formats import html

        begin = partial(html.Transcript, decode=decode, linked=linked, calendar=calendar)
        return Form("html", 2_000, True, begin, html.write_index)
    if name != "parquet":
        raise UsageError(f"there is no format {name!r}", hint=f"--format {', '.join(FORMATS)}")
    try:
        from archiver.export.formats import parquet
    except ImportError:
        raise UsageError("--format parquet needs pyarrow", hint="pip install 'archiver[parquet]'") from None
    return Form("parquet", 1_000_000, False, lambda file, _: parquet.Table(file))
