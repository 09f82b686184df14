"""Archives to export from, with what is odd in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.export.samples import FORMULAS, HIDDEN, MARKUP, said
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database

_ON_BOTH = (
    *("two_rows", "no_row_of_the_audit_log", "without_the_row", "one_snapshot", "an_interrupted_export"),
    *("a_workbook_has_every_body", "filter_is_in_words"),
)
_LONG = ("test_both_databases", "postgresql-term", "sqlite-term", "postgresql-kill")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What has little to do with the database is tried on one of them, and on both in the full run."""
    for item in items:
        if "tests/export/" not in item.nodeid:
            continue
        again = "[postgresql" in item.nodeid and not any(name in item.nodeid for name in _ON_BOTH)
        if again or any(name in item.nodeid for name in _LONG):
            item.add_marker("full")


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Iterator[Archive]:
    """60 messages of two days, hostile texts, two bodies, none, one beyond the calendar, and one seen changed."""
    found = make_archive(database, messages=60)
    stamp_ms = found.server.start_ms + 5_000
    for number, text in enumerate([*FORMULAS, *MARKUP]):
        found.server.add(said(f"h{number}", text, stamp_ms + number), visible_ms=0)
    two: dict[str, Any] = said("two", "one\nof two", stamp_ms + 100, ext={"order": 7, "名": "字"})
    two["payload"]["bodies"].append({"type": "file", "filename": "../../=x.exe", "url": "http://x.example/y", **HIDDEN})
    two["payload"]["bodies"].append({"type": "odd", **HIDDEN})
    none = said("none", "", stamp_ms + 101)
    none["payload"]["bodies"] = []
    far = said("far", "beyond", 253_402_300_800_000)
    for record in (two, none):
        found.server.add(record, visible_ms=0)
    found.server.add(far, timestamp_ms=stamp_ms + 102, visible_ms=0)
    assert found("pull") == 0
    found.server.add(said("h0", "another content", stamp_ms), visible_ms=0)
    start = str(found.server.start_ms)
    assert found("audit", "--from", start, "--to", str(found.server.start_ms + 60_000)) == 0
    assert found.count("message_revisions") == 1
    yield found
    found.check_sums()
