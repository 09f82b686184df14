"""The encoders that are in a hurry write what the library writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.jsontext import canonical, compact

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
PLAIN_SCALARS = st.none() | st.booleans() | st.integers() | st.text()
PLAIN = st.recursive(PLAIN_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def librarys(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")


@pytest.mark.full
@given(VALUES)
def test_canonical_text_is_the_librarys(value: Any) -> None:
    assert canonical(value, plain=False) == librarys(value)


@pytest.mark.full
@settings(max_examples=500)
@given(PLAIN)
def test_canonical_text_of_plain_values_is_the_librarys(value: Any) -> None:
    assert canonical(value, plain=True) == librarys(value)


@given(VALUES)
def test_compact_text_is_the_librarys(value: Any) -> None:
    try:
        expected = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        with pytest.raises(ValueError, match="JSON compliant"):
            compact(value, plain=False)
    else:
        assert compact(value, plain=False) == expected


@pytest.mark.full
@given(PLAIN)
def test_compact_text_of_plain_values_is_the_librarys(value: Any) -> None:
    assert compact(value, plain=True) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
