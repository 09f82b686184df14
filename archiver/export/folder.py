"""The folder of an export: files appear under their names only when they are whole; a journal remembers whole days.

The journal is removed when the manifest stands, so a folder has the one or the other.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, cast
from urllib.parse import quote

from archiver import host
from archiver.errors import TryAgainLater, UsageError
from archiver.export.journal import ExportJournal, Key, Line

log = logging.getLogger("archiver.export.run")

MANIFEST, CHECKSUM, JOURNAL = "manifest.json", "manifest.json.sha256", "export.journal"
MESSAGES, ATTACHMENTS, SCRATCH = "messages", "attachments", "export.scratch"
_PARTIAL = ".partial"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_SUFFIXES = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "audio/amr": "amr",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "application/pdf": "pdf",
    "application/zip": "zip",
}
ATTACHMENT_NAME = re.compile(rf"{ATTACHMENTS}/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})\.[0-9a-z]{{2,4}}")


def attachment_path(sha256: str, media_type: str | None) -> str:
    """Where a content lies in an export. Only types that no browser runs have a suffix of their own."""
    return f"{ATTACHMENTS}/{sha256[:2]}/{sha256}.{_SUFFIXES.get(media_type or '', 'bin')}"


def day_folder(app: str, day: str | None) -> str:
    """The folder of a day, relative; a program that reads all of `messages/` has `app` and `day` as columns.

    "unknown" and not Hive's word for NULL: pandas cannot read that one.
    """
    return f"{MESSAGES}/app={quote(app, safe='')}/day={day or 'unknown'}"


class Written(NamedTuple):
    """A whole file below the folder."""

    path: str
    bytes: int
    sha256: str


class ExportSink:
    """A file that is written from front to back, and knows its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        self._sha256.update(data)
        count = memoryview(data).nbytes
        self.size += count
        self._file.write(data)
        return count

    def sha256(self) -> str:
        return self._sha256.hexdigest()

    # What libraries ask of a file before they write to it.
    closed = False

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._file.flush()


class ExportFiles:
    """The files of an export, each written by one process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def clear(self, folder: str) -> None:
        """Remove what an earlier attempt has written of a day."""
        with _told(self.path):
            if (self.path / folder).is_dir():
                shutil.rmtree(self.path / folder)

    def clear_files(self, path: str) -> None:
        """Remove what an earlier attempt has written of a day, or of a single file, whose first file has this path."""
        first = self.path / path
        if first.parent != self.path:
            self.clear(first.parent.relative_to(self.path).as_posix())
            return
        with _told(self.path):
            stem, _, suffixes = first.name.partition(".")
            for file in self.path.glob(f"{stem}*.{suffixes}"):
                file.unlink()

    def _make(self, folder: Path) -> None:
        """A folder that nobody else may read, and those above it as well."""
        if folder != self.path and not folder.is_dir():
            self._make(folder.parent)
            host.make_folder(folder, exist_ok=True)  # another process of the export may be faster

    @contextmanager
    def create(self, relative: str) -> Iterator[ExportSink]:
        """Write a file: it has its name when all of it is on the disk, or never."""
        final = self.path / relative
        partial = final.with_name(final.name + _PARTIAL)
        with _told(self.path):
            self._make(final.parent)
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, host.file_mode())
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield ExportSink(file)
                    file.flush()
                    os.fsync(file.fileno())
                partial.rename(final)
                host.sync_folder(final.parent)
            except BaseException:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise


class Folder(ExportFiles):
    """One export's folder, held by one process at a time."""

    def __init__(self, path: Path, header: Line) -> None:
        """Begin, or go on where the same export was interrupted. Raises UsageError for any other folder."""
        super().__init__(path)
        self.days = self._open(json.loads(json.dumps(header)))
        """What the journal has of every finished day, by app and day."""

    def _open(self, header: Line) -> ExportJournal:
        with _told(self.path):
            host.make_folder(self.path, parents=True, exist_ok=True)
            journal = self.path / JOURNAL
            if (self.path / MANIFEST).exists():
                raise UsageError(f"{self.path} holds a finished export", hint="another --output, or export verify")
            self.resumed = journal.exists()
            if not self.resumed and any(self.path.iterdir()):
                raise UsageError(f"{self.path} is not empty, and holds no export of ours", hint="another --output")
            file = os.fdopen(os.open(journal, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, host.file_mode()), "r+b")
            try:
                return self._take(file, header)
            except BaseException:
                file.close()
                raise

    def _take(self, file: IO[bytes], header: Line) -> ExportJournal:
        try:
            if not host.lock(file):
                log.warning("%s has no locks: see that no other export writes there at the same time", self.path)
        except BlockingIOError:
            raise TryAgainLater(f"another process exports into {self.path}") from None
        journal = ExportJournal(file, partial(_told, self.path))
        first = journal.header
        if first is None:
            self.resumed = False
            journal.begin(header)
        elif first != header:
            differing = ", ".join(
                sorted(name for name in header.keys() | first.keys() if header.get(name) != first.get(name))
            )
            raise UsageError(
                f"{self.path} holds an unfinished export that differs in: {differing}",
                hint="the same options to go on with it, or another --output",
            )
        return journal

    def keep_only(self, days: Iterable[Key]) -> None:
        """Forget, and remove, finished days that this snapshot does not have."""
        for app, day in self.days.keys() - set(days):
            self.clear(day_folder(app, day))
            self.days.forget((app, day))

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """A folder for temporary files below this one, which no other account reads; killed exports leave one behind
        that the next attempt removes."""
        self.clear(SCRATCH)
        with _told(self.path):
            self._make(self.path / SCRATCH)
        try:
            yield
        finally:
            self.clear(SCRATCH)

    def finished_day(self, line: Line) -> None:
        """Remember a day whose files are all there."""
        self.days.add(line)

    def holds(self, line: Line) -> bool:
        """Whether the files of a finished day are still what the journal says."""
        for part in line["files"]:
            path = self.path / part["path"]
            if path.is_symlink() or not path.is_file():
                return False
            with _told(self.path), path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != part["sha256"]:
                    return False
        return True

    def attachments(self) -> Iterator[Written]:
        """Every attachment that was copied; its digest was checked when it was."""
        root = self.path / ATTACHMENTS
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            for file in sorted(folder.iterdir()):
                if match := ATTACHMENT_NAME.fullmatch(f"{ATTACHMENTS}/{folder.name}/{file.name}"):
                    yield Written(match[0], file.stat().st_size, match[2])

    def finish(self) -> None:
        """Let go of the journal: the manifest stands."""
        with _told(self.path):
            (self.path / JOURNAL).unlink()
            host.sync_folder(self.path)

    def close(self) -> None:
        self.days.close()


def binary(sink: ExportSink) -> IO[bytes]:
    """A sink has all of a file that writers use."""
    return cast("IO[bytes]", sink)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """The file system's errors in our words."""
    try:
        yield
    except OSError as error:
        problem = f"{path}: {error.strerror or type(error).__name__}"
        if error.errno in _NO_ROOM:
            raise TryAgainLater(problem, hint="make room, and run the same command again: whole days stay") from None
        if host.passes(error.errno):
            raise TryAgainLater(problem) from None
        raise UsageError(problem, hint="another --output, or the rights to write there") from None
