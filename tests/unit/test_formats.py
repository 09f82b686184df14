"""Which export formats there are; what they write stands in tests/export/test_formats.py."""

from __future__ import annotations

import pytest

from archiver.errors import UsageError
from archiver.export import FORMATS, form
from archiver.sources import decode


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_writes_files_of_its_own_suffix(name: str) -> None:
    assert form(name, decode).suffix == name


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="there is no format 'yaml'") as refused:
        form("yaml", decode)
    assert all(name in str(refused.value.hint) for name in FORMATS)
