"""What an interrupted export goes on from: a line that says what is exported, and one for every finished day.

A line is read again when it is needed: the lines of a large export, of which an index is made, need not fit in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import IO, Any, NamedTuple

Key = tuple[str, str | None]
"""An app and a day."""
Line = Mapping[str, Any]


class ExportJournal(Mapping[Key, Line]):
    """The finished days of an export in a file, by app and day; the latest line of a day counts."""

    def __init__(self, file: IO[bytes], errors: Callable[[], AbstractContextManager[None]]) -> None:
        """Read it as far as it is whole: the last line may be torn, and its day is written again. `errors`: within it
        the file system's are raised as the export's."""
        self._file, self._errors = file, errors
        self._places: dict[Key, tuple[int, int]] = {}
        """Offset and length of lines."""
        self._end = 0
        self.header: Line | None = None
        for line in file:
            if not line.endswith(b"\n"):
                break
            content = json.loads(line)
            if self.header is None:
                self.header = content
            else:
                self._places[content["app"], content["day"]] = self._end, len(line)
            self._end += len(line)
        file.seek(self._end)
        file.truncate()

    def begin(self, header: Line) -> None:
        self._append(header)
        self.header = header

    def add(self, line: Line) -> None:
        self._places[line["app"], line["day"]] = self._append(line)

    def _append(self, line: Line) -> tuple[int, int]:
        """Gives where the line lies. Past the file's buffer, which would try once more when it is closed."""
        data = json.dumps(line).encode() + b"\n"
        begun, self._end = self._end, self._end + len(data)
        with self._errors():
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fileno(), data[written:], begun + written)
            os.fsync(self._file.fileno())
        return begun, len(data)

    def forget(self, key: Key) -> None:
        """Not in the file: the next attempt finds the day without its files, and writes it again."""
        del self._places[key]

    def __getitem__(self, key: Key) -> Line:
        offset, length = self._places[key]
        with self._errors():
            content: Line = json.loads(os.pread(self._file.fileno(), length, offset))
        return content

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        self._file.close()


class JournalLines(NamedTuple):
    """Lines of some days in their order, read one after the other, as often as somebody asks."""

    journal: ExportJournal
    keys: tuple[Key, ...]

    def days(self) -> Iterator[Line]:
        return map(self.journal.__getitem__, self.keys)

    def files(self) -> Iterator[dict[str, Any]]:
        """Every file of messages, as the manifest lists it; the journal has more of some, for the index."""
        for day in self.days():
            for part in day["files"]:
                yield {name: part[name] for name in ("path", "bytes", "sha256", "messages")}
