"""The store of contents, in a folder and behind a real S3 API: once, whole, under its digest, or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import obstore
import pytest

from archiver.blobs import Blobs, name_of
from archiver.errors import ArchiveIncomplete, ConfigurationError, TryAgainLater
from tests.disks import refuse_folder_sync
from tests.fixtures.blobs import KEYS, Shelf
from tests.postgres import free_port


def save(shelf: Shelf, data: bytes) -> tuple[str, bool]:
    sha256 = hashlib.sha256(data).hexdigest()
    return sha256, shelf.blobs.save(io.BytesIO(data), sha256, len(data))


@pytest.mark.full
@pytest.mark.parametrize("size", [0, 1, 5000, 9 << 20], ids=["empty", "a byte", "small", "in parts"])
def test_a_content_is_stored_once_under_its_digest(shelf: Shelf, size: int) -> None:
    data = os.urandom(size)
    sha256, fresh = save(shelf, data)
    assert fresh
    assert save(shelf, data) == (sha256, False)
    assert shelf.names() == [f"{sha256[:2]}/{sha256[2:4]}/{sha256}"]
    assert shelf.blobs.digest(sha256) == (sha256, size)
    assert shelf.blobs.read(sha256) == data


@pytest.mark.full
def test_many_at_once_store_it_once(shelf: Shelf) -> None:
    data = os.urandom(9 << 20)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: save(shelf, data)[1], range(4)))
    assert sum(done) == 1 or shelf.endpoint  # moto looks and writes in two steps; the content is the same
    assert any(done)
    assert len(shelf.names()) == 1
    assert not [name for name in everything(shelf) if name.startswith("incoming/")]


def everything(shelf: Shelf) -> list[str]:
    return [each["path"] for batch in obstore.list(shelf.blobs._store) for each in batch]


def test_nothing_is_ever_overwritten(shelf: Shelf) -> None:
    sha256, _ = save(shelf, b"the content")
    shelf.damage(sha256, b"short")
    with pytest.raises(ArchiveIncomplete, match=r"the store holds 5 bytes under .*, and not 11"):
        save(shelf, b"the content")
    assert shelf.blobs.read(sha256) == b"short"


def test_a_content_is_read_back_to_the_last_byte(shelf: Shelf) -> None:
    sha256, _ = save(shelf, b"the content")
    shelf.damage(sha256, b"thE content")
    found = shelf.blobs.digest(sha256)
    assert found is not None
    assert found != (sha256, 11)
    shelf.damage(sha256, None)
    assert shelf.blobs.digest(sha256) is None


HOSTILE_NAMES = [
    *(
        "/etc/passwd",
        "../../etc/passwd",
        "..\\..\\windows\\system32\\x",
        "C:\\boot.ini",
        "\\\\server\\share",
        "~root/.ssh/id",
    ),
    *("a\x00b", "", ".", "..", "a/../../b", "%2e%2e%2f", "%00", "\u202egnp.exe", "x" * 5000, "con", "nul.txt", "a\nb"),
    *("incoming/x", "ab/cd/" + "0" * 64, "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 63 + "/", "0" * 63 + "."),
    *("\ud83d" * 64, "０" * 64, "file:///etc/passwd", "s3://other/bucket", "$(id)", "`id`", "; rm -rf /", "a\r\nb"),
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_no_name_but_a_digest_becomes_a_path(name: str) -> None:
    """Paths are computed here, and never opened."""
    with pytest.raises(ValueError, match="not a SHA-256"):
        name_of(name)


def test_a_path_is_made_of_the_digest_alone() -> None:
    assert name_of("ab" * 32) == "ab/ab/" + "ab" * 32
    assert not Path(name_of("0" * 64)).is_absolute()


def test_what_a_killed_process_left_is_swept_after_a_day(folder: Shelf) -> None:
    root = Path(folder.url.removeprefix("file://"))
    for name in ("incoming/old", "incoming/new"):
        obstore.put(folder.blobs._store, name, b"half")
    (root / "incoming/cut#1").write_bytes(b"half")
    (root / "incoming/fresh#1").write_bytes(b"half")
    for name in ("old", "cut#1"):
        os.utime(root / "incoming" / name, (time.time() - 100_000,) * 2)
    assert folder.names() == []
    folder.blobs.sweep()
    assert sorted(path.name for path in (root / "incoming").iterdir()) == ["fresh#1", "new"]


def test_a_store_that_fails_says_so_without_any_credential(monkeypatch: pytest.MonkeyPatch, s3_endpoint: str) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    missing = Blobs("s3://nowhere-to-be-found/x", s3_endpoint)
    with pytest.raises(ConfigurationError) as caught:
        missing.save(io.BytesIO(b"x"), hashlib.sha256(b"x").hexdigest(), 1)
    assert str(caught.value).startswith("the store of attachments could not be written: ")
    assert "the bucket's name" in str(caught.value.hint)
    assert "made-up" not in str(caught.value)
    with pytest.raises(TryAgainLater):
        Blobs("s3://bucket/x", f"http://127.0.0.1:{free_port()}").digest(hashlib.sha256(b"x").hexdigest())


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    blobs = Blobs(f"file://{quote(str(tmp_path))}/{quote('a?b#c%20 数据')}")
    assert blobs.folder == tmp_path / "a?b#c%20 数据"
    sha256 = hashlib.sha256(b"x").hexdigest()
    assert blobs.save(io.BytesIO(b"x"), sha256, 1)
    assert (tmp_path / "a?b#c%20 数据" / name_of(sha256)).read_bytes() == b"x"


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("taken", "taken/x", "loop", "x" * 300):
        with pytest.raises(ConfigurationError, match="could not be opened"):
            Blobs(f"file://{tmp_path}/{name}")


@pytest.mark.parametrize("taken", ["incoming", "2d"])
def test_what_a_folder_refuses_by_its_names_or_rights_is_for_somebody_to_mend(tmp_path: Path, taken: str) -> None:
    blobs = Blobs(f"file://{tmp_path}/files")
    (tmp_path / "files" / taken).write_text("a file where a folder belongs")
    with pytest.raises(ConfigurationError) as caught:
        blobs.save(io.BytesIO(b"x"), hashlib.sha256(b"x").hexdigest(), 1)
    assert re.fullmatch(
        "the store of attachments could not be written: (File exists|Not a directory)", str(caught.value)
    )
    assert "may write" in str(caught.value.hint)


def test_the_bytes_are_forced_to_the_disk(folder: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    sha256, _ = save(folder, b"x")
    root = folder.url.removeprefix("file://")
    name = f"{root}/{name_of(sha256)}"
    assert synced == [name, str(Path(name).parent), str(Path(name).parents[1]), root]


MEASURE = """
import hashlib, resource, sys, tempfile
from archiver.blobs import Blobs
blobs = Blobs(sys.argv[1], sys.argv[2] or None)
blobs.save(__import__("io").BytesIO(b"warm"), hashlib.sha256(b"warm").hexdigest(), 4)
with tempfile.TemporaryFile() as file:
    whole = hashlib.sha256()
    for number in range(256):
        piece = number.to_bytes(2, "big") * (1 << 19)
        whole.update(piece)
        file.write(piece)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    blobs.save(file, whole.hexdigest(), 256 << 20)
    assert blobs.digest(whole.hexdigest()) == (whole.hexdigest(), 256 << 20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.full
def test_memory_is_bounded_whatever_the_size(shelf: Shelf) -> None:
    command = [sys.executable, "-c", MEASURE, shelf.url, shelf.endpoint or ""]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **KEYS}).stdout
    assert int(told) < 96 * 1024  # kB, for 256 MiB


WITHOUT_LINKS = """
import ctypes, errno, hashlib, io, platform, struct, sys
from archiver.blobs import Blobs

def refuse(*calls):
    \"\"\"These system calls end with EPERM from now on, as link() does on FAT and many network file systems.\"\"\"
    load, equal, give = 0x20, 0x15, 0x06
    rules = [(load, 0, 0, 0)]
    rules += [(equal, len(calls) - place, 0, call) for place, call in enumerate(calls)]
    rules += [(give, 0, 0, 0x7fff0000), (give, 0, 0, 0x00050000 | errno.EPERM)]
    program = b"".join(struct.pack("HBBI", *rule) for rule in rules)
    kept = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0, "no new privileges"
    assert libc.prctl(22, 2, ctypes.c_char_p(head)) == 0, ctypes.get_errno()

refuse(*{"x86_64": (86, 265), "aarch64": (37,)}[platform.machine()])
blobs = Blobs(sys.argv[1])
for size in (5, 9 << 20):
    data = b"x" * size
    sha256 = hashlib.sha256(data).hexdigest()
    saved = [blobs.save(io.BytesIO(data), sha256, size) for _ in range(2)]
    print(saved, blobs.digest(sha256) == (sha256, size))
"""


def test_a_file_system_without_hard_links_takes_contents_too(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_LINKS, f"file://{tmp_path}"], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[True, False] True"] * 2, done.stderr
    assert not list((tmp_path / "incoming").iterdir())


def test_a_folder_that_cannot_be_synced_takes_contents_and_a_broken_one_does_not(
    folder: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_folder_sync(monkeypatch, errno.EINVAL)
    assert save(folder, b"x")[1]
    refuse_folder_sync(monkeypatch, errno.EIO)
    with pytest.raises(TryAgainLater, match="Input/output error"):
        save(folder, b"y")
