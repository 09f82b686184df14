"""An archive whose callbacks are received here: a spool, secrets, and callbacks as the provider makes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.callbacks.spool import Received
from tests.callbacks.sending import Receiving
from tests.fixtures.archive import MakeArchive
from tests.fixtures.databases import Database


@pytest.fixture
def receiving(database: Database, make_archive: MakeArchive, tmp_path: Path) -> Iterator[Receiving]:
    """An archive of 40 messages that has been pulled once, and its spool."""
    archive = make_archive(database, messages=40)
    found = Receiving(archive, tmp_path / "spool")
    assert archive("pull") == 0, archive.errors
    yield found
    found.close()
    archive.check_sums()


__all__ = ["Received", "receiving"]
