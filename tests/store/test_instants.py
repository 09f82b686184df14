"""Instants as texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from archiver.store.schema import iso

LAST = 253_402_300_799_999


@given(st.integers(0, LAST))
def test_an_instant_is_24_characters_that_the_calendar_agrees_with(ms: int) -> None:
    text = iso(ms)
    assert text is not None
    assert len(text) == 24
    assert datetime.fromisoformat(text) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def test_beyond_the_calendar_there_is_none() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(LAST) == "9999-12-31T23:59:59.999Z"
    assert iso(LAST + 1) is None
    assert iso(-1) is None
