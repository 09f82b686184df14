"""Appends callbacks to the spool, each on the disk before `append` returns; waiting callers share an fsync."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Condition
from typing import IO

from archiver import host
from archiver.callbacks import spool
from archiver.callbacks.crc32c import crc32c
from archiver.callbacks.spool import Received
from archiver.errors import ArchiverError, UsageError

SEGMENT_BYTES, SEGMENT_MS = 16 * 2**20, 5_000


class SpoolRefused(ArchiverError):
    """A callback could not be written to the disk, so nobody may say that it was."""


class _Segment:
    """The open file. `written` and `synced` count bytes; `broken`: nothing more may be appended."""

    def __init__(self, path: Path, begun_ms: int) -> None:
        self.path, self.begun_ms = path, begun_ms
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.fchmod(self.descriptor, host.file_mode())
        self.written = self.synced = 0
        self.broken = False


class SpoolWriter:
    """The one writer of a spool. Safe to call from many threads.

    Raises UsageError where the folder cannot be used, or another receiver has it.
    """

    def __init__(self, folder: Path, now_ms: Callable[[], int]) -> None:
        self._folder, self._now_ms = folder, now_ms
        self._changed = Condition()
        self._segment: _Segment | None = None
        self._syncing = False
        self._made = 0
        crc32c(b"")  # or every callback would be refused where the library is missing
        try:
            spool.make(folder)
            self._lock = _locked(folder)
            self.cut = spool.recover(folder)
        except OSError as error:
            problem = f"{folder}: the spool cannot be used: {error.strerror or type(error).__name__}"
            raise UsageError(problem, hint="[callbacks] spool: a folder of this account's own") from None

    def append(self, received: Received) -> None:
        """Write a callback, and return when it is on the disk. Raises SpoolRefused; then it may be there or not."""
        record = spool.encoded(received)
        with self._changed:
            try:
                segment = self._writable()
                self._write(segment, record)
            except OSError as error:
                raise SpoolRefused(f"the spool cannot be written: {error.strerror}") from None
            mark = segment.written
            while segment.synced < mark and not segment.broken:
                if self._syncing:
                    self._changed.wait()
                else:
                    self._sync(segment)
            if segment.synced < mark:
                raise SpoolRefused("the spool cannot be written: an fsync failed")

    def close_due(self, *, at_once: bool = False) -> None:
        """Hand over the open segment if it is old or large enough; for a timer, and `at_once` for the end."""
        with self._changed:
            self._wait_for_sync()
            segment = self._segment
            if segment is not None and (at_once or self._is_due(segment)):
                try:
                    self._hand_over(segment)
                except OSError as error:
                    raise SpoolRefused(f"a segment cannot be handed over: {error.strerror}") from None

    def close(self) -> None:
        """Hand over what is open, and leave the spool to others."""
        try:
            self.close_due(at_once=True)
        finally:
            self._lock.close()

    def _writable(self) -> _Segment:
        while (segment := self._segment) is not None and (segment.broken or self._is_due(segment)):
            if self._syncing:
                self._changed.wait()
            else:
                self._hand_over(segment)
        if self._segment is None:
            self._made += 1
            begun_ms = self._now_ms()
            name = f"{begun_ms:013}-{os.getpid()}-{self._made}.segment"
            self._segment = _Segment(self._folder / spool.INCOMING / name, begun_ms)
        return self._segment

    def _write(self, segment: _Segment, record: bytes) -> None:
        """All of it or nothing: what stands behind half a record would be cut off with it."""
        view = memoryview(record)
        try:
            while view:
                view = view[os.write(segment.descriptor, view) :]
        except OSError:
            if len(view) < len(record):
                segment.broken = True  # unless the half can be taken back
                os.ftruncate(segment.descriptor, segment.written)
                segment.broken = False
            raise
        segment.written += len(record)

    def _sync(self, segment: _Segment) -> None:
        """The caller becomes the one who syncs for all that has been written so far."""
        mark, is_new = segment.written, segment.synced == 0
        self._syncing = True
        self._changed.release()
        try:
            os.fsync(segment.descriptor)
            if is_new:
                host.sync_folder(self._folder / spool.INCOMING)
        except OSError:
            # What the kernel could not write it may have forgotten: a second fsync would say that all is well.
            segment.broken = True
        finally:
            self._changed.acquire()
            self._syncing = False
            segment.synced = segment.synced if segment.broken else mark
            self._changed.notify_all()

    def _wait_for_sync(self) -> None:
        while self._syncing:
            self._changed.wait()

    def _is_due(self, segment: _Segment) -> bool:
        age_ms = self._now_ms() - segment.begun_ms
        return segment.written >= SEGMENT_BYTES or not 0 <= age_ms < SEGMENT_MS

    def _hand_over(self, segment: _Segment) -> None:
        """Also those who still wait for an fsync are served by this one."""
        self._segment = None
        try:
            if not segment.broken:
                os.fsync(segment.descriptor)
                segment.synced = segment.written
        except OSError:
            segment.broken = True
            raise
        finally:
            os.close(segment.descriptor)
            self._changed.notify_all()
        if segment.written:
            spool.publish(self._folder, segment.path)
        else:
            segment.path.unlink()


def _locked(folder: Path) -> IO[bytes]:
    """The spool for this process alone, until the file is closed."""
    file = os.fdopen(os.open(folder / "receiver.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, host.file_mode()), "rb")
    try:
        host.lock(file)
    except BlockingIOError:
        file.close()
        raise UsageError(f"{folder}: another receiver has this spool", hint="stop it, or name another folder") from None
    return file
