"""The daemon is tried on SQLite, with a place of its own to keep things."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.databases import Database


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """What the daemon does around its pulls does not depend on the kind; the tests that differ name theirs."""
    return sqlite_database


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a service may keep things."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
