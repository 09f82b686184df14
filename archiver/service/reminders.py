"""Alerts about a database that cannot remember them: a small file, so that a pull every minute sends one an hour.

Where no file can be kept, every pull sends it: too many alerts are better than none.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from archiver.config import Settings

_LARGEST = 4096


class Reminders:
    """Names of alerts, and when they were sent, in seconds since 1970."""

    def __init__(self, place: Path) -> None:
        self._place = place

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str]) -> Reminders:
        """Where systemd lets the service keep things; beside an SQLite file; or among the temporary files."""
        url = settings.database.safe_url
        folders = [environ.get("STATE_DIRECTORY", "").partition(":")[0]]
        if url.startswith("sqlite:///"):
            folders.append(str(Path(url.removeprefix("sqlite:///")).parent))
        with suppress(OSError):  # there may be none
            folders.append(tempfile.gettempdir())
        usable = (folder for folder in folders if folder and os.access(folder, os.W_OK | os.X_OK))
        return cls(
            Path(next(usable, os.devnull))
            / f".archiver-told-{os.getuid()}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        )

    def is_due(self, name: str, repeat_s: float, now: float) -> bool:
        """Whether to send it now. A clock that was set back must not silence it for as long."""
        sent_at = self._read().get(name)
        return sent_at is None or not sent_at <= now < sent_at + repeat_s

    def note(self, name: str, now: float) -> None:
        """It has been sent."""
        self._write({**self._read(), name: now})

    def end(self) -> list[str]:
        """The alerts that were sent, which are forgotten from now on."""
        if sent := self._read():
            self._write({})
        return sorted(sent)

    def _read(self) -> dict[str, float]:
        try:
            with os.fdopen(self._open(os.O_RDONLY), "rb") as file:
                sent = json.loads(file.read(_LARGEST))
            return {str(name): float(sent_at) for name, sent_at in sent.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self, sent: Mapping[str, float]) -> None:
        with suppress(OSError), os.fdopen(self._open(os.O_WRONLY | os.O_CREAT), "wb") as file:
            file.truncate()
            file.write(json.dumps(sent).encode())

    def _open(self, how: int) -> int:
        """Among temporary files somebody else may have laid one of this name, or a link that leads to one of ours."""
        descriptor = os.open(self._place, how | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            os.close(descriptor)
            raise PermissionError(self._place)
        return descriptor
