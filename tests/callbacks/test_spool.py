"""Segments: what a record is, and what is left of a segment that broke off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.callbacks import spool
from archiver.callbacks.crc32c import crc32c
from archiver.callbacks.spool import Received
from archiver.callbacks.spooling import SpoolRefused, SpoolWriter
from archiver.errors import UsageError
from tests.callbacks.posting import spooled

SOME = [Received("support", 1_000 + number, b"%d" % number * number) for number in range(50)]


def test_the_checksum_is_that_of_the_standard() -> None:
    """The examples of RFC 3720, B.4, and the usual one."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(range(31, -1, -1))) == 0x113FDB5C


@given(st.binary(max_size=300), st.integers(0, 299), st.integers(1, 255))
def test_the_checksum_notices_every_changed_byte(data: bytes, place: int, change: int) -> None:
    if place < len(data):
        other = bytearray(data)
        other[place] ^= change
        assert crc32c(bytes(other)) != crc32c(data)


def segment_of(folder: Path, some: list[Received]) -> Path:
    path = folder / "0000000001000-1-1.segment"
    path.write_bytes(b"".join(map(spool.encoded, some)))
    return path


def test_a_segment_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = segment_of(tmp_path, SOME)
    assert [received for received, _ in spool.records(path)] == SOME
    assert [end for _, end in spool.records(path)][-1] == path.stat().st_size


def test_a_segment_ends_at_its_first_bad_record_wherever_it_is_torn(tmp_path: Path) -> None:
    path = segment_of(tmp_path, SOME)
    whole, ends = path.read_bytes(), [0, *(end for _, end in spool.records(path))]
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        assert len(list(spool.records(path))) == sum(end <= size for end in ends) - 1
        path.write_bytes(whole[:size] + bytes(len(whole) - size))  # a file system may leave zeros where bytes were
        read = [received for received, _ in spool.records(path)]
        assert read == SOME[: len(read)]
        assert len(read) >= sum(end <= size for end in ends) - 1


def test_what_a_receiver_left_open_is_cut_and_handed_over_at_the_next_start(tmp_path: Path) -> None:
    spool.make(tmp_path)
    path = segment_of(tmp_path / spool.INCOMING, SOME)
    path.write_bytes(path.read_bytes() + b"half a record")
    (tmp_path / spool.INCOMING / "0000000002000-1-2.segment").write_bytes(b"half")
    writer = SpoolWriter(tmp_path, lambda: 0)
    writer.close()
    assert writer.cut == len(b"half a record") + len(b"half")
    assert list((tmp_path / spool.INCOMING).iterdir()) == []
    (ready,) = (tmp_path / spool.READY).iterdir()
    assert [received for received, _ in spool.records(ready)] == SOME
    assert ready.stat().st_size == [end for _, end in spool.records(ready)][-1]


def test_a_segment_is_handed_over_after_five_seconds(tmp_path: Path) -> None:
    now = [1_000]
    writer = SpoolWriter(tmp_path, lambda: now[0])
    writer.append(SOME[1])
    now[0] += 4_999
    assert handed_over(tmp_path, writer) == 0
    now[0] += 1
    assert handed_over(tmp_path, writer) == 1
    writer.append(SOME[2])
    writer.close()
    assert handed_over(tmp_path, writer) == 2
    assert spooled(tmp_path) == SOME[1:3]


@pytest.mark.full
def test_a_segment_is_handed_over_at_sixteen_mebibytes(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, lambda: 0)
    for _ in range(16):
        assert handed_over(tmp_path, writer) == 0
        writer.append(Received("support", 0, bytes(2**20)))
    assert handed_over(tmp_path, writer) == 1
    writer.close()
    assert len(spooled(tmp_path)) == 16


def handed_over(folder: Path, writer: SpoolWriter) -> int:
    writer.close_due()
    return len(list((folder / spool.READY).iterdir()))


def test_a_spool_has_one_receiver_and_is_for_its_account_alone(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    writer = SpoolWriter(folder, lambda: 0)
    assert folder.stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="another receiver"):
        SpoolWriter(folder, lambda: 0)
    writer.append(SOME[1])
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*"))
    writer.close()
    SpoolWriter(folder, lambda: 0).close()


def test_after_a_failed_fsync_nothing_is_said_to_be_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(tmp_path, lambda: 0)
    sync = os.fsync

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(SpoolRefused):
            writer.append(SOME[1])
    assert os.fsync is sync
    writer.append(SOME[2])  # in a segment of its own: the first one's bytes may be lost, whatever the kernel says now
    assert len(list((tmp_path / spool.INCOMING).iterdir())) == 1
    writer.close()
    assert SOME[2] in spooled(tmp_path)
