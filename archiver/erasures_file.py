"""The file of erasures beside the database: what it lacks after a restore, this knows.

Lines of JSON, each synced before the erasure commits: {app, msg_id, request, at}. The only place where ids of messages
are kept outside the database.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from archiver import host
from archiver.config import Settings
from archiver.errors import ConfigurationError, TryAgainLater, UsageError


class ErasureLine(NamedTuple):
    """One erased message; `at`: an instant as text."""

    app: str
    msg_id: str
    request: int
    at: str


def append(path: Path, lines: Sequence[ErasureLine]) -> None:
    """Add lines, safe from a power cut when this returns.

    Raises UsageError or TryAgainLater where that cannot be, and then nothing may be erased.
    """
    text = encoded(lines)
    try:
        host.make_folder(path.parent, parents=True, exist_ok=True)
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, host.file_mode())
        try:
            _write(descriptor, text)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            host.sync_folder(path.parent)
    except OSError as error:
        problem = f"[lifecycle] erasures_file: {path} cannot be written: {error.strerror}"
        kind = TryAgainLater if host.passes(error.errno) else UsageError
        raise kind(problem, hint="a file in a folder that this account may write") from None


def encoded(lines: Sequence[ErasureLine]) -> bytes:
    """Lines as the file and sinks have them."""
    texts = (json.dumps(line._asdict(), ensure_ascii=True, sort_keys=True) for line in lines)
    return "".join(f"{text}\n" for text in texts).encode("ascii")


def _write(descriptor: int, text: bytes) -> None:
    end = os.fstat(descriptor).st_size
    if end and os.pread(descriptor, 1, end - 1) != b"\n":  # what a power cut has left
        text = b"\n" + text
    if os.write(descriptor, text) != len(text):
        raise TryAgainLater("[lifecycle] erasures_file took a part only: its disk is full", hint="make room")


def read(path: Path) -> Iterator[ErasureLine]:
    """All lines that are whole; none where there is no file.

    Raises ConfigurationError without the right to read it, and TryAgainLater for what passes.
    """
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            for text in file:
                if (line := parsed(text)) is not None:
                    yield line
    except FileNotFoundError:
        return
    except PermissionError:
        problem = f"[lifecycle] erasures_file: {path} cannot be read by this account"
        raise ConfigurationError(problem, hint="the right to read it: it says what a restored database lacks") from None
    except OSError as error:
        raise TryAgainLater(f"[lifecycle] erasures_file: {path} cannot be read: {error.strerror}") from None


def lost(settings: Settings) -> Path | None:
    """Where the file belongs, if there is none although deletion is configured, and this account could make it."""
    section, path = settings.lifecycle, settings.erasures_file
    if section is None or not section.deletion or path is None:
        return None
    try:
        return path if not path.exists() and _could_be_made(path.parent) else None
    except OSError:
        return None


def _could_be_made(folder: Path) -> bool:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return os.access(there, os.W_OK | os.X_OK)


def begin(path: Path, texts: Iterable[str]) -> None:
    """Make the file of what other places have; without any lines it is empty, so that nobody is asked again.

    Raises as `append`.
    """
    lines = [line for line in map(parsed, texts) if line is not None]
    append(path, list(dict.fromkeys(lines)))


def last(path: Path, most: int) -> list[ErasureLine]:
    """The last lines: a database that was set back lacks the latest."""
    return list(deque(read(path), most))


def parsed(text: str) -> ErasureLine | None:
    """A line; None for what is none."""
    try:
        given = json.loads(text)
        line = ErasureLine(given["app"], given["msg_id"], given["request"], given["at"])
    except (ValueError, KeyError, TypeError):
        return None
    well = all(isinstance(one, str) for one in (line.app, line.msg_id, line.at)) and isinstance(line.request, int)
    return line if well else None
