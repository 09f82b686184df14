"""manifest.json: what was exported and may be claimed, and every file by its SHA-256; and the check of it, offline.

`manifest.json.sha256` guards the manifest against accidents. Against forgery stands the row of audit_log, which has the
manifest's SHA-256 as well: whoever doubts a folder asks for that.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from archiver.errors import UsageError
from archiver.export.folder import CHECKSUM, MANIFEST

VERSION = 1
_PIECE = 1 << 20


class Difference(NamedTuple):
    """One way in which a folder is not what its manifest says."""

    path: str
    problem: str


class Verified(NamedTuple):
    """The outcome of a check. `sha256`: the manifest's own, to be compared with audit_log."""

    files: int
    bytes: int
    messages: int
    sha256: str
    differences: list[Difference]


def write(file: IO[bytes], head: Mapping[str, Any], files: Iterable[Mapping[str, Any]]) -> None:
    """Write the manifest, one file a line, so that a long list costs no memory."""
    file.write(json.dumps({"manifest": VERSION, **head}, ensure_ascii=False, indent=1)[:-2].encode())
    file.write(b',\n "files": [')
    separator = "\n  "
    for entry in files:
        file.write((separator + json.dumps(entry, ensure_ascii=False)).encode())
        separator = ",\n  "
    file.write(b"\n ]\n}\n")


def checksum(sha256: str) -> bytes:
    """The content of manifest.json.sha256, as sha256sum writes it."""
    return f"{sha256}  {MANIFEST}\n".encode()


def verify(folder: Path, expected_sha256: str | None = None) -> Verified:
    """Compare a folder with its manifest. Opens only what lies in the folder itself: no link, no name from within."""
    on_disk = dict(_walk(folder))
    if MANIFEST not in on_disk:
        raise UsageError(
            f"{folder} has no {MANIFEST}: no finished export", hint="archiver export, with the same options"
        )
    differences = [Difference(path, "is no regular file") for path, entry in sorted(on_disk.items()) if entry is None]
    sha256, _ = _digest(folder / MANIFEST) if on_disk[MANIFEST] else ("", 0)
    if expected_sha256 and sha256 != expected_sha256.lower():
        differences.append(Difference(MANIFEST, f"has SHA-256 {sha256}, not {expected_sha256.lower()}"))
    differences += _check_checksum(folder, on_disk, sha256)
    listed, messages, problem = _listed(folder / MANIFEST) if on_disk[MANIFEST] else ({}, 0, "")
    if problem:
        differences.append(Difference(MANIFEST, problem))
    size = 0
    for path in sorted(on_disk.keys() - {MANIFEST, CHECKSUM}):
        if on_disk[path] is None:
            continue
        if path not in listed:
            differences.append(Difference(path, "is not in the manifest"))
            continue
        length, reason = _compare(folder / path, listed[path])
        size += length
        if reason:
            differences.append(Difference(path, reason))
    differences += [Difference(path, "is missing") for path in sorted(listed.keys() - on_disk.keys())]
    return Verified(len(listed), size, messages, sha256, differences)


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    """Everything below a folder but folders, by relative name; None for what is neither file nor folder."""
    for at, folders, files in os.walk(folder):
        for name in [*files, *folders]:
            path = Path(at, name)
            about = path.lstat()
            if stat.S_ISREG(about.st_mode) or not stat.S_ISDIR(about.st_mode):
                yield path.relative_to(folder).as_posix(), about if stat.S_ISREG(about.st_mode) else None


def _check_checksum(folder: Path, on_disk: Mapping[str, Any], sha256: str) -> Iterator[Difference]:
    if CHECKSUM not in on_disk:
        yield Difference(CHECKSUM, "is missing")
    elif on_disk[CHECKSUM] is not None:
        with (folder / CHECKSUM).open("rb") as file:
            if file.read(1000) != checksum(sha256):
                yield Difference(MANIFEST, f"is not what {CHECKSUM} says")


def _listed(path: Path) -> tuple[dict[str, Mapping[str, Any]], int, str]:
    try:
        content = json.loads(path.read_bytes())
        listed = {str(entry["path"]): entry for entry in content["files"]}
        if len(listed) != len(content["files"]):
            return listed, 0, "lists a file twice"
        return (
            listed,
            int(content["counts"]["messages"]),
            "" if content["manifest"] == VERSION else "has another version",
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}, 0, "cannot be read"


def _compare(path: Path, listed: Mapping[str, Any]) -> tuple[int, str]:
    sha256, size = _digest(path)
    if size != listed.get("bytes"):
        return size, f"has {size} bytes, not {listed.get('bytes')}"
    return size, "" if sha256 == listed.get("sha256") else "has other content"


def _digest(path: Path) -> tuple[str, int]:
    whole, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            whole.update(piece)
            size += len(piece)
    return whole.hexdigest(), size
