"""Compressed exports hold the bytes of plain ones, and fail as these do."""

from __future__ import annotations

import errno
import gzip
import io
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from archiver.errors import UsageError
from archiver.export import FormatOptions, form
from archiver.export.compression import CompressingSink
from archiver.sources import decode
from tests.fixtures.archive import Archive


def inflated(path: Path) -> bytes:
    """What other programs read: gzip's own, and Arrow for zstd."""
    if path.suffix == ".gz":
        return subprocess.run(["/bin/gzip", "-dc", path], check=True, capture_output=True).stdout
    return bytes(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd").read())


def parts(folder: Path, suffix: str) -> dict[str, Path]:
    """The files of messages by the names that they have without compression."""
    named = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.removesuffix(suffix): path
        for name, path in named.items()
        if name.removesuffix(suffix).endswith((".jsonl", ".csv"))
    }


@pytest.mark.parametrize(("method", "suffix"), [("gzip", ".gz"), ("zstd", ".zst")])
@pytest.mark.parametrize("options", [("jsonl",), ("csv",), ("csv", "--single-file", "--bom")], ids="-".join)
def test_a_compressed_export_has_the_bytes_of_a_plain_one(
    archive: Archive, tmp_path: Path, method: str, suffix: str, options: tuple[str, ...]
) -> None:
    plain, packed, again = tmp_path / "plain", tmp_path / "packed", tmp_path / "again"
    assert archive("export", "--output", str(plain), "--format", *options) == 0
    for folder in (packed, again):
        assert archive("export", "--output", str(folder), "--format", *options, "--compress", method) == 0
        assert archive("export", "verify", str(folder)) == 0
    expected = {name: path.read_bytes() for name, path in parts(plain, "").items()}
    assert {name: inflated(path) for name, path in parts(packed, suffix).items()} == expected
    assert (len(expected) == 1) == ("--single-file" in options)
    for name, path in parts(packed, suffix).items():
        assert path.read_bytes() == parts(again, suffix)[name].read_bytes()


@pytest.mark.parametrize("name", ["xlsx", "html", "parquet"])
def test_only_formats_of_plain_text_are_compressed(name: str) -> None:
    with pytest.raises(UsageError, match="--compress is for --format jsonl and csv"):
        form(name, FormatOptions(decode, compress="gzip"))


class FullDisk(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "no room")


def write_much(sink: CompressingSink) -> None:
    for number in range(1_000):
        sink.write(number.to_bytes(4, "big") * (1 << 18))


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_an_error_of_the_thread_is_raised_where_it_is_written(method: str) -> None:
    sink = CompressingSink(FullDisk(), method)
    with pytest.raises(OSError, match="no room"):
        write_much(sink)
    sink.abandon()
    sink = CompressingSink(FullDisk(), method)
    sink.write(b"short")
    with pytest.raises(OSError, match="no room"):
        sink.close()


def test_gzip_has_neither_a_time_nor_a_name() -> None:
    file = io.BytesIO()
    sink = CompressingSink(file, "gzip")
    sink.write(b"content")
    sink.close()
    assert file.getvalue()[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    assert gzip.decompress(file.getvalue()) == b"content"
