"""Files of messages, compressed on a thread of their own: the libraries let go of the interpreter meanwhile.

The same content makes the same bytes: the header has no time and no name.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from queue import Queue
from threading import Thread
from typing import IO, Any, Protocol

from archiver.errors import UsageError
from archiver.export import Writer
from archiver.model import Archived

SUFFIXES = {"gzip": "gz", "zstd": "zst"}
_PORTIONS_AHEAD = 4
"""Batches that wait for the compressor: what one takes is bounded by `store.read.days`."""


class _Compressor(Protocol):
    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """Write the end; the file itself stays open."""


class _Borrowed:
    """The file that what is compressed goes to: Arrow does not close it, and after an error it takes nothing."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file: IO[bytes] | None = file

    def write(self, data: Any) -> int:
        return len(data) if self._file is None else self._file.write(data)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        pass

    def give_up(self) -> None:
        """Arrow writes what it still holds when it is let go of, and could tell nobody that it failed."""
        self._file = None


class _Gzip:
    def __init__(self, file: _Borrowed) -> None:
        self._file = file
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)

    def write(self, data: bytes) -> None:
        self._file.write(self._deflate.compress(data))

    def close(self) -> None:
        self._file.write(self._deflate.flush())


def _zstd(file: _Borrowed) -> _Compressor:
    import pyarrow as pa

    stream: _Compressor = pa.CompressedOutputStream(pa.PythonFile(file, mode="w"), "zstd")
    return stream


def check(method: str) -> None:
    """Raises UsageError where what it takes is not installed."""
    if method == "zstd":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UsageError("--compress zstd needs pyarrow", hint="pip install pyarrow") from None


class CompressingSink:
    """A file to write to, whose bytes arrive compressed in another; an error of the thread is raised by the writer."""

    def __init__(self, file: IO[bytes], method: str) -> None:
        self._file = _Borrowed(file)
        self._compressor = _Gzip(self._file) if method == "gzip" else _zstd(self._file)
        self._waiting: Queue[bytes | None] = Queue(_PORTIONS_AHEAD)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name=f"export-{method}", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> int:
        if self._error is not None:
            raise self._error
        self._waiting.put(data)
        return len(data)

    def close(self) -> None:
        """Wait until all is written. Raises what the file under it raised."""
        self._end()
        if self._error is not None:
            raise self._error
        self._compressor.close()

    def abandon(self) -> None:
        """End the thread, when the file is of no use any more."""
        self._end()
        self._file.give_up()

    def _end(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (data := self._waiting.get()) is not None:
            if self._error is None:  # after an error only take what comes, so that nobody waits for room
                try:
                    self._compressor.write(data)
                except BaseException as error:
                    self._error = error
                    self._file.give_up()


class Compressed(Writer):
    """Another format's writer into such a file."""

    def __init__(self, writer: Writer, sink: CompressingSink) -> None:
        self._writer, self._sink = writer, sink

    def add(self, batch: Sequence[Archived]) -> None:
        self._writer.add(batch)

    def close(self) -> dict[str, Any]:
        about = self._writer.close()
        self._sink.close()
        return about

    def abandon(self) -> None:
        self._writer.abandon()
        self._sink.abandon()
