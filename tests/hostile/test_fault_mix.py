"""More than twenty kinds of faults at once, at a third of all requests: each run is complete, or says that it is not."""

from __future__ import annotations

from functools import partial

import pytest

from archiver import sessions
from archiver.http import Limits
from archiver.sandbox import Faults
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database

SHARE = 0.35
WIRE = (
    "http_500", "http_502_html", "http_503", "http_429", "http_401", "html_200", "error_200", "redirect", "reset", "hang",
    "drip", "cut_body", "cut_unframed", "cut_json", "cut_gzip", "gzip_bomb", "silent_close",
)  # fmt: skip
PAGES = (
    "empty_entities_missing", "duplicate_rows", "short_pages", "empty_pages", "repeat_pages", "dead_cursor", "lost_cursor",
    "loop_cursor", "outside_rows",
)  # fmt: skip
HOURS = ("hour_cut", "hour_bomb")
HOURLY_ALWAYS = {
    "hour_members": True,
    "hour_duplicates": True,
    "hour_bad_line": True,
    "hour_blank_lines": True,
    "hour_bom": True,
}


def mixed(source: str) -> Faults:
    """All faults of a source, each as often as makes `SHARE` of the requests meet one."""
    kinds = (*WIRE, *(PAGES if source == "cursor" else HOURS))
    rate = 1 - (1 - SHARE) ** (1 / len(kinds))
    more = HOURLY_ALWAYS if source == "hourly" else {}
    assert len(kinds) + len(more) >= 20
    faults = Faults(**dict.fromkeys(kinds, rate), **more, hour_growth=0.0)  # type: ignore[arg-type]
    faults.hang_s, faults.drip_ms, faults.drip_pieces, faults.bomb_mb, faults.retry_after = 0.05, 2, 5, 40, "0"
    return faults


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts are short, so that many runs fit into a test."""
    monkeypatch.setattr(sessions, "Limits", partial(Limits, first_wait_s=0.001))


def begin(database: Database, make: MakeArchive, source: str) -> tuple[Archive, int]:
    hours = {"hour_growth": 0.0} if source == "hourly" else {}
    archive = make(database, messages=400, span_ms=2 * 86_400_000, faults=Faults(**hours))  # type: ignore[arg-type]
    archive.settings |= {"page_size": 20, "give_up": "2s"}
    if source == "hourly":
        archive.settings |= {"source": "hourly", "settle": "1h", "early": "off", "retention": "72h"}
    return archive, 400


@pytest.mark.full
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("source", ["cursor", pytest.param("hourly", marks=pytest.mark.full)])
def test_each_run_is_complete_or_says_that_it_is_not(
    database: Database,
    make_archive: MakeArchive,
    source: str,
) -> None:
    archive, wanted = begin(database, make_archive, source)
    calm = archive.server.faults
    archive.server.faults = mixed(source)
    ends: list[int] = []
    for _ in range(30):
        ends.append(archive("pull"))
        assert ends[-1] in (0, 4, 75), archive.errors
        if ends[-1] == 0:
            break
        assert archive.errors, "a run that is not complete says so"
        stored = archive.count("messages")
        assert stored <= wanted
    if ends[-1] == 0:
        assert _archived(archive) >= _claimed(archive)
    archive.server.faults = calm
    assert archive("pull", "--retry-stuck") in (0, 3)
    assert archive("pull", "--retry-stuck") == 0, archive.errors
    served = {row.msg_id: row.raw for row in archive.server.records}
    kept = {msg_id: bytes(raw) for msg_id, raw in database.rows("SELECT msg_id, raw FROM messages")}
    assert _archived(archive) >= _claimed(archive)
    assert len(_claimed(archive)) > wanted * 0.9, "all but the hours whose file is yet to come"
    if source == "cursor":  # files have a form of their own
        assert all(served[msg_id] == raw for msg_id, raw in kept.items())
    archive.check_sums()


def _claimed(archive: Archive) -> set[str]:
    """The ids of all messages stamped within what the archive claims to have."""
    ((low, high),) = archive.database.rows("SELECT complete_from_ms, complete_until_ms FROM watermarks")
    return {row.msg_id for row in archive.server.records if low <= row.timestamp_ms < high}


def _archived(archive: Archive) -> set[str]:
    return {row[0] for row in archive.database.rows("SELECT msg_id FROM messages")}
