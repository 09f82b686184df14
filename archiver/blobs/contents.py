"""Attachments' bytes by content: stored once, under its SHA-256, complete or not at all.

A name is made of the digest alone, so nothing that a user wrote can lead outside. Nothing is ever overwritten. What is
larger than a piece goes to `incoming/` first and is then copied under its name with create-only: that bounds memory
whatever the size (a conditional upload in one go would hold the whole file), and is how both kinds of store say
"unless it exists" for a whole object.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions as obstore_errors
from obstore.store import LocalStore, S3Store

from archiver import host
from archiver.blobs.opening import FAILURES, s3, translated_errors
from archiver.errors import ArchiveIncomplete

if TYPE_CHECKING:
    from obstore import GetResult

_PIECE, _SMALL = 8 << 20, 1 << 20
_INCOMING, _LEFT_BEHIND = "incoming", timedelta(days=1)
_MARK = "archive"
_OURS = (f"{_INCOMING}/", _MARK)
_HEX = set("0123456789abcdef")


def name_of(sha256: str) -> str:
    """Where the content with this digest lies, below the store's root."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError("not a SHA-256 in hexadecimal")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _pieces(content: GetResult) -> Iterable[bytes | obstore.Bytes]:
    """What is small at once: a stream costs more than the pictures of most chats."""
    return [content.bytes()] if content.meta["size"] <= _SMALL else content.stream(min_chunk_size=_SMALL)


class Blobs:
    """A store of content, at a `file://` or `s3://` URL; may be used from several threads at once.

    Credentials and region of S3 come from the environment (AWS_ACCESS_KEY_ID and so on); `endpoint` is the URL of a
    service that speaks S3. A failure of the store is TryAgainLater, or ConfigurationError where it does not pass by
    itself; none of them quotes a credential.
    """

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        parts = urlsplit(url)
        self._root: Path | None = None
        with translated_errors("opened"):
            if parts.scheme == "file":
                self._root = Path(unquote(parts.path))
                host.make_folder(self._root, parents=True, exist_ok=True)
                self._store: LocalStore | S3Store = LocalStore(prefix=self._root)
            else:
                self._store = s3(url, endpoint, patience_s=60)

    @property
    def folder(self) -> Path | None:
        """The store's root on this machine; None where it is elsewhere."""
        return self._root

    def save(self, file: IO[bytes], sha256: str, size: int, progress: Callable[[int], None] = lambda _: None) -> bool:
        """Store a whole file under its digest, safe from a power cut when this returns; False where it was there.

        Raises ArchiveIncomplete where something of another length lies under the name.
        """
        name = name_of(sha256)
        file.seek(0)
        with translated_errors("written"):
            stored = self._size(name)
            fresh = stored is None and self._create(name, cast("IO[bytes]", _ReportingFile(file, progress)), size)
            if fresh or stored is None:
                stored = self._size(name)
            self._sync(name)
        if stored != size:
            raise ArchiveIncomplete(f"the store holds {stored} bytes under {sha256}, and not {size}")
        return fresh

    def _create(self, name: str, file: IO[bytes], size: int) -> bool:
        """False where another process was faster; its content is the same."""
        if self._root is None and size <= _PIECE:
            with suppress(obstore_errors.AlreadyExistsError):
                obstore.put(self._store, name, file.read(), mode="create")
                return True
            return False
        incoming = f"{_INCOMING}/{uuid.uuid4().hex}"
        try:
            obstore.put(self._store, incoming, file, use_multipart=True, chunk_size=_PIECE, max_concurrency=2)
            with suppress(obstore_errors.AlreadyExistsError):
                self._name(incoming, name)
                return True
            return False
        finally:
            with suppress(*FAILURES):
                obstore.delete(self._store, incoming)

    def _name(self, incoming: str, name: str) -> None:
        """Give a whole file its name. Raises AlreadyExistsError where something has it."""
        try:
            obstore.copy(self._store, incoming, name, overwrite=False)
        except obstore_errors.GenericError:
            # On this machine that is a hard link, which FAT and many network file systems lack. A rename would replace
            # what another process stored a moment ago: the same content.
            if self._root is None or self._size(name) is not None:
                raise
            obstore.rename(self._store, incoming, name)

    def _size(self, name: str) -> int | None:
        try:
            return int(obstore.head(self._store, name)["size"])
        except (obstore_errors.NotFoundError, FileNotFoundError):
            return None

    def _sync(self, name: str) -> None:
        """A row that says `stored` must not be more durable than the bytes: a power cut comes when it will."""
        if self._root is not None:
            with (self._root / name).open("rb") as file:
                os.fsync(file.fileno())
            for folder in (self._root / name).parents[:3]:
                host.sync_folder(folder)

    def digest(self, sha256: str) -> tuple[str, int] | None:
        """SHA-256 and length of what lies under a digest's name, read again to the last byte; None: nothing does."""
        whole, size = hashlib.sha256(), 0
        with translated_errors("read"):
            try:
                for piece in _pieces(obstore.get(self._store, name_of(sha256))):
                    whole.update(piece)
                    size += len(piece)
            except (obstore_errors.NotFoundError, FileNotFoundError):
                return None
        return whole.hexdigest(), size

    def pieces(self, sha256: str) -> Iterator[bytes]:
        """The content under a digest, piece by piece. Raises ArchiveIncomplete where nothing lies there."""
        with translated_errors("read"):
            try:
                for piece in _pieces(obstore.get(self._store, name_of(sha256))):
                    yield bytes(piece)
            except (obstore_errors.NotFoundError, FileNotFoundError):
                raise ArchiveIncomplete(f"the store of attachments lacks {sha256}") from None

    def read(self, sha256: str) -> bytes:
        """The content of a small file, whole."""
        with translated_errors("read"):
            return bytes(obstore.get(self._store, name_of(sha256)).bytes())

    def names(self) -> Iterator[str]:
        """Every name in the store, `incoming/` and the mark left out."""
        with translated_errors("listed"):
            for batch in obstore.list(self._store):
                yield from (entry["path"] for entry in batch if not entry["path"].startswith(_OURS))

    def contents(self) -> Iterator[str]:
        """The digests of all contents in the store."""
        for name in self.names():
            digest = name.rpartition("/")[2]
            if len(digest) == 64 and set(digest) <= _HEX and name == name_of(digest):
                yield digest

    def has(self, sha256: str) -> bool:
        """Whether a content lies in the store."""
        with translated_errors("read"):
            return self._size(name_of(sha256)) is not None

    def remove(self, sha256: str) -> None:
        """Remove a content; nothing where there is none."""
        with translated_errors("swept"), suppress(obstore_errors.NotFoundError, FileNotFoundError):
            obstore.delete(self._store, name_of(sha256))

    def mark(self) -> str | None:
        """Which archive the store belongs to; None where nobody has said so."""
        with translated_errors("read"):
            try:
                return bytes(obstore.get(self._store, _MARK).bytes()).decode("ascii", "replace")
            except (obstore_errors.NotFoundError, FileNotFoundError):
                return None

    def set_mark(self, archive_id: str) -> None:
        """Say which archive the store belongs to, unless somebody has."""
        with translated_errors("written"), suppress(obstore_errors.AlreadyExistsError):
            obstore.put(self._store, _MARK, archive_id.encode("ascii"), mode="create")

    def sweep(self) -> None:
        """Remove what a process that was killed has left in `incoming/`; a day later, as it may be another's work."""
        before = datetime.now(UTC) - _LEFT_BEHIND
        with translated_errors("swept"):
            for batch in obstore.list(self._store, _INCOMING):
                for entry in batch:
                    if entry["last_modified"] < before:
                        obstore.delete(self._store, entry["path"])
            if self._root is not None:  # a local upload that was cut off has a name that obstore does not list
                for path in (self._root / _INCOMING).glob("*#*"):
                    if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
                        path.unlink(missing_ok=True)


class _ReportingFile:
    """A file that reports how many bytes were read from it."""

    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        self._file, self._progress = file, progress
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._progress(len(piece))
        return piece
