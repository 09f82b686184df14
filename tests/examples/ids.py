"""Ids of messages, one a line: the worked example of an export format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

from archiver.export import Writer
from archiver.model import Archived


class Ids(Writer):
    """A file of ids."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, batch: Sequence[Archived]) -> None:
        for archived in batch:
            self._file.write(archived.message.msg_id.encode() + b"\n")

    def close(self) -> dict[str, Any]:
        return {}
