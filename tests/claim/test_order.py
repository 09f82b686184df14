"""The server's order is distrusted by the page that breaks it, and what rested on it is looked at again, or says so."""

from __future__ import annotations

import json

import pytest

from archiver.model import HOUR_MS, SECOND_MS, Page
from tests.claim.archive import T0, Archive, Make, message
from tests.proof.provider import Nature, Record
from tests.proof.world import LEASE_MS, Crash

KEPT = 12 * HOUR_MS
HIDDEN = "m250"
LATER_MS = T0 + 2 * HOUR_MS


def turned(from_ms: int) -> list[Record]:
    """One a second, which the server lists in pairs the wrong way round."""
    return [message(500 + number, from_ms + (number ^ 1) * SECOND_MS) for number in range(150)]


def make(make_pages: Make, more: list[Record], retention_ms: int | None = None) -> Archive:
    """One a second, listed by number. One of the first lies behind 250 others, where no walk sees it at first."""
    stamps = [T0 + number * SECOND_MS for number in range(300)]
    stamps.insert(250, T0 + 7 * SECOND_MS + 1)
    records = [message(number, stamp_ms) for number, stamp_ms in enumerate(stamps)]
    nature = Nature(eager_end=True, order="numbered", retention_ms=retention_ms)
    ways = {"nature": nature, "page_size": 10, "retention_ms": retention_ms}
    archive: Archive = make_pages([*records, *more], now_ms=T0 + HOUR_MS, **ways)
    archive.excused = {HIDDEN}
    archive.pull()
    assert archive.status()["order_trusted"]
    assert archive.until_ms > T0 + 10 * SECOND_MS
    assert HIDDEN not in archive.stored(), "else this shows nothing"
    return archive


def is_turned(page: Page) -> bool:
    stamps = [each.timestamp_ms for each in page.messages]
    return stamps != sorted(stamps)


@pytest.mark.parametrize("fate", ["fails", "is stopped", "dies"])
def test_disorder_is_noted_with_its_page_whatever_becomes_of_the_walk(make_pages: Make, fate: str) -> None:
    archive = make(make_pages, turned(LATER_MS))
    provider, broken = archive.provider, False

    def saw(page: Page) -> None:
        nonlocal broken
        if broken and fate == "dies":
            raise Crash
        broken = broken or is_turned(page)
        provider.trouble.rates["error"] = float(broken and fate == "fails")
        if broken and fate == "is stopped":
            archive.stop.set()

    provider.saw = saw  # type: ignore[union-attr]
    archive.clock.now_ms = T0 + 3 * HOUR_MS
    try:
        archive.pull()
    except Crash:
        archive.clock.now_ms += LEASE_MS
    assert broken
    assert not archive.status()["order_trusted"]
    assert "The server's order is not trusted" in archive.words()
    provider.saw, provider.trouble.rates["error"] = (lambda _: None), 0.0  # type: ignore[union-attr]
    archive.excused = set()
    archive.pull_each(HOUR_MS, 3)
    assert archive.until_ms > LATER_MS
    assert HIDDEN in archive.stored(), "what rested on the order was looked at again, though that walk never ended"


@pytest.mark.full
def test_what_can_be_looked_at_no_more_is_called_unproven(make_pages: Make) -> None:
    archive = make(make_pages, turned(T0 + 20 * HOUR_MS), retention_ms=KEPT)
    archive.pull_each(5 * HOUR_MS, 4)
    entry = archive.status()
    assert not entry["order_trusted"]
    (first, *_) = entry["unproven"]
    assert first["lo_ms"] <= T0 + 7 * SECOND_MS + 1 < first["hi_ms"]
    assert archive.coverage()["unproven"] == entry["unproven"]
    assert "rest on an order of the server that proved false later (unproven)" in archive.words()
    in_sql = [hole for hole in archive.holes_in_sql() if hole[2] == "unproven"]
    assert min(hole[0] for hole in in_sql) == first["lo_ms"]
    assert "unproven" in json.dumps(entry)
    archive.excused = set()
    assert archive.unlisted() == [], "what that order hid lies in a range that is listed"
