"""Who holds a window: one line that says host, boot and process, so that the next process there can tell the dead.

The fence makes an early take-over safe, so a wrong guess (two containers that look alike) costs a page, never a row.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from archiver import host


@cache
def place() -> str:
    """This host, this boot and this process namespace."""
    boot = _read("/proc/sys/kernel/random/boot_id") or "-"
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = "-"
    return f"{host.name()} {boot} {namespace}"


def me() -> str:
    """The owner's line of this process."""
    return f"{place()} {os.getpid()} {_started(os.getpid()) or '-'}"


def dead(owners: Iterable[str]) -> list[str]:
    """Those of these owners that lived in this place and are gone."""
    return [owner for owner in owners if _is_dead(owner)]


def _is_dead(owner: str) -> bool:
    there, _, process = owner.rpartition(" ")
    there, _, pid = there.rpartition(" ")
    if there != place() or not pid.isdigit():
        return False
    started = _started(int(pid))
    return started is None or (process != "-" and started != process)


def _started(pid: int) -> str | None:
    """When a process began, in clock ticks since boot: a pid alone may have been given out again. None: it is gone."""
    stat = _read(f"/proc/{pid}/stat")
    if stat is not None:
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "-"


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
