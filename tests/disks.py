"""Disks that lack something, as a network's or a container's do."""

from __future__ import annotations

import os
import stat

import pytest

_SYNC = os.fsync


def refuse_folder_sync(patch: pytest.MonkeyPatch, problem: int) -> None:
    """From now on the fsync of a folder fails with this errno; files are synced as ever."""

    def sync_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(problem, os.strerror(problem))
        _SYNC(descriptor)

    patch.setattr(os, "fsync", sync_files)
