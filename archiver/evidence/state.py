"""The last note that this host knows of, in a file beside the archive's reach: what shows a database that was set back.

It must not be restored together with the database, so it lies elsewhere; `check-config` warns where it does not.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from archiver import host
from archiver.errors import TryAgainLater
from archiver.notes import Note


def read(path: Path) -> Note | None:
    """The note that was written last; None where there is none. Raises TryAgainLater where it cannot be read."""
    try:
        content = json.loads(path.read_bytes())
        return Note(content["origin"], content["size"], base64.b64decode(content["root"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TryAgainLater(f"[evidence] state_file: {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise TryAgainLater(f"[evidence] state_file: {path} holds no note") from None


def write(path: Path, note: Note) -> None:
    """Replace the file as a whole, and force it to the disk. Raises TryAgainLater where that cannot be done."""
    content = {"origin": note.origin, "size": note.size, "root": base64.b64encode(note.root).decode("ascii")}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(content) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        host.sync_folder(path.parent)
    except OSError as error:
        raise TryAgainLater(f"[evidence] state_file: {path} cannot be written: {error.strerror}") from None
