"""What the machine says of itself, and what it may lack: an account without a name, a folder that cannot be synced."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from archiver import logs


def account() -> str:
    """Who runs this, by the operating system's word: a variable as $LOGNAME says what anybody wants it to say.

    Containers run under numbers that have no name; then the number is the name.
    """
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
    # A directory service may hold bytes in any encoding, and the manifest and a database take text alone.
    return logs.visible(name.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def is_open_to_all(path: Path) -> bool:
    """Whether every account of this machine may read a file, or list a folder, as far as its own mode says."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
