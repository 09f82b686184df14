"""What is handed out for running the archive, tried with the tools that will read it; skipped where they are not.

`make deploy-test` installs what it can, runs these, and lists what was skipped with the reason.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.databases import Database

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
Tool = Callable[[str], str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Not part of test-full: there a skip is a failure, and these need tools of the system."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.deploy)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """What is handed out does not depend on the kind; the tests that differ name theirs."""
    return sqlite_database


@pytest.fixture
def tool() -> Tool:
    """The path of a program of the system; the test is skipped where there is none."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find
