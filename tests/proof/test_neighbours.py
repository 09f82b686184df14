"""Two connections close neighbouring windows at once: without the lock the watermark would be left short."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fixtures.databases import Database
from tests.proof import scenarios


def test_neighbours_closed_at_once_are_both_counted(both: Sequence[Database]) -> None:
    scenarios.close_neighbours(both[1])
