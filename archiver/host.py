"""What the machine says of itself, and what it may lack: an account without a name, a folder that cannot be synced."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import socket
import stat
import tempfile
from pathlib import Path
from typing import IO

from archiver import logs
from archiver.errors import TryAgainLater, UsageError

_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EISDIR, errno.EACCES, errno.EPERM)
_CANNOT_LOCK = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_PASSES = frozenset(
    getattr(errno, name)
    for name in (
        *("EAGAIN", "EBUSY", "EDQUOT", "EHOSTDOWN", "EHOSTUNREACH", "EINTR", "EIO", "EMFILE", "ENFILE", "ENOMEM"),
        *("ENOSPC", "ENOTCONN", "EREMOTEIO", "ESTALE", "ETIMEDOUT", "ETXTBSY"),
    )
)


def passes(number: int | None) -> bool:
    """Whether what the system refused by this error may be done later; rights and names somebody has to mend."""
    return number is None or number in _PASSES


def account() -> str:
    """Who runs this, by the operating system's word: a variable as $LOGNAME says what anybody wants it to say."""
    return account_of(os.getuid())


def account_of(number: int) -> str:
    """What an account is called. Containers run under numbers that have no name; then the number is the name."""
    try:
        return _text(pwd.getpwuid(number).pw_name)
    except KeyError:
        return str(number)


def name() -> str:
    """What this machine is called."""
    return _text(socket.gethostname())


def _text(given: str) -> str:
    """The system holds bytes in any encoding, and a manifest and a database take text alone."""
    return logs.visible(given.encode(errors="surrogateescape").decode(errors="backslashreplace"))


class _Modes:
    """Of what is made: for this account alone, or for its group as well."""

    shared = False


def share_with_group() -> None:
    """Make files and folders for the group from now on, and folders so that what is in them stays the group's."""
    _Modes.shared = True
    os.umask(0o007)


def is_shared() -> bool:
    """Whether what is made is for the group as well."""
    return _Modes.shared


def file_mode() -> int:
    """The rights of a file that is made."""
    return 0o660 if _Modes.shared else 0o600


def make_folder(path: Path, *, parents: bool = False, exist_ok: bool = False) -> None:
    """Make a folder that others can neither list nor enter. Raises OSError as `Path.mkdir`."""
    if exist_ok and path.is_dir():
        return
    path.mkdir(mode=0o700, parents=parents, exist_ok=exist_ok)
    if _Modes.shared:
        path.chmod(0o2770)


def is_open_to_all(path: Path) -> bool:
    """Whether every account of this machine may read a file, or list a folder, as far as its own mode says."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def is_shared_folder(path: Path) -> bool:
    """Whether a group may write in a folder, and what is made there is the group's."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWGRP and mode & stat.S_ISGID)


def temporary_file() -> IO[bytes]:
    """A file without a name. Raises TryAgainLater, or UsageError where that does not pass by itself."""
    try:
        return tempfile.TemporaryFile(prefix="archiver-")
    except OSError as error:
        raise _no_temporary(error) from None


def check_temporary_folder() -> None:
    """Raise what `temporary_file` would; downloads check this before the first request."""
    try:
        with temporary_file() as file:
            file.write(b"x")
    except OSError as error:
        raise _no_temporary(error) from None


def _no_temporary(error: OSError) -> TryAgainLater | UsageError:
    problem = f"a temporary file cannot be made: {error.strerror or type(error).__name__}"
    if passes(error.errno):
        return TryAgainLater(problem, hint="make room there, or name another folder in TMPDIR")
    return UsageError(problem, hint="a folder in TMPDIR in which this account may write")


def sync_folder(path: Path) -> None:
    """Force the names in a folder to the disk, where that can be done: many network file systems cannot.

    There nothing better is to be had, and what was written is whole all the same, unless the power fails.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def lock(file: IO[bytes]) -> bool:
    """Take a file for this process until it is closed; False where the file system has no locks.

    Raises BlockingIOError where another process has it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        return False
    return True
