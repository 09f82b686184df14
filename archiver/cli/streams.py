"""Standard output and error: a full or closed output ends a command in one line; errors never end one."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any


class OutputLost(OSError):
    """What a command printed went nowhere: the disk behind standard output is full, or nothing is behind it."""


class _Output(io.FileIO):
    """Standard output. Its first failure is raised; what comes after that, as at the interpreter's end, is dropped."""

    def __init__(self, *, closed: bool) -> None:
        super().__init__(1, "wb", closefd=False)
        self._closed, self._lost = closed, False

    def write(self, data: Any, /) -> int:
        if self._lost:
            return memoryview(data).nbytes
        try:
            if self._closed:
                raise OSError(errno.EBADF, "it is closed")  # noqa: TRY301 - as the system would say it of its own
            while (count := super().write(data)) is None:
                select.select((), (self,), ())  # somebody has made it non-blocking, and its reader is slow
        except BrokenPipeError:
            self._lost = True
            raise
        except OSError as error:
            self._lost = True
            raise OutputLost(error.errno, error.strerror) from None
        return count


class _Errors(io.FileIO):
    """Standard error: a log on a full disk must not keep a pull from its work."""

    def __init__(self) -> None:
        super().__init__(2, "wb", closefd=False)

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or memoryview(data).nbytes
        except OSError:
            return memoryview(data).nbytes


def prepare() -> None:
    """Replace both streams. Chat text must not break off a command on an ASCII terminal, so it is escaped there."""
    before = sys.stdout, sys.stderr
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # or a file that is opened next would be printed into
        pass
    os.close(descriptor)
    sys.stdout = _text(_Output(closed=before[0] is None), before[0], line_buffering=os.isatty(1))
    sys.stderr = _text(_Errors(), before[1], line_buffering=True)


def _text(raw: io.FileIO, before: Any, *, line_buffering: bool) -> io.TextIOWrapper:
    encoding, through = getattr(before, "encoding", "utf-8"), getattr(before, "write_through", False)
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding, "backslashreplace", None, line_buffering, through)
