"""Archives to export from, with what is odd in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.conftest import Database
from tests.flow.conftest import Archive, MakeArchive, make_archive

__all__ = ["make_archive"]

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


FORMULAS = (
    '=HYPERLINK("http://x.example","go")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1",
    "'=1",
    "＝1+1",
    " \u200b=1",
)
MARKUP = (
    '</bdi></p><script>document.title="owned"</script>',
    '<img src="http://127.0.0.1:9/x" onerror="document.title=\'owned\'">',
    "\u202eevil\u2066 \x1b[2J line\r\nbreak\tcell",
    '" onmouseover="x" <a href="javascript:1">&amp;</a>',
)

HIDDEN: dict[str, Any] = {"secret": ["hidden-1"], "more": [{"thumb_secret": {"a": "hidden-2"}, "kept": "in sight"}]}
"""Secrets where no column takes them: in `extra`."""


def said(msg_id: str, text: str, stamp_ms: int, **more: Any) -> dict[str, Any]:
    """A record as the provider sends it."""
    payload = {"bodies": [{"type": "txt", "msg": text}], **more}
    head = {"msg_id": msg_id, "timestamp": stamp_ms, "from": "iris", "to": "xingchen", "chat_type": "chat"}
    return {**head, "payload": payload}


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


class Stopping:
    """Asks an export to stop after its first messages."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def begun(self, messages: int) -> None: ...

    def wrote(self, messages: int) -> None:
        self._stop.set()


def files(folder: Path) -> list[str]:
    """Every file below a folder, by relative name."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
