"""Which export formats there are; what they write stands in tests/export/test_formats.py."""

from __future__ import annotations

import sys

import pytest

from archiver.errors import UsageError
from archiver.export import FORMATS, FormatOptions, form
from archiver.sources import decode


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_writes_files_of_its_own_suffix(name: str) -> None:
    assert form(name, FormatOptions(decode)).suffix == name


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="there is no format 'yaml'") as refused:
        form("yaml", FormatOptions(decode))
    assert all(name in str(refused.value.hint) for name in FORMATS)


@pytest.mark.parametrize(("name", "package"), [("xlsx", "XlsxWriter"), ("parquet", "pyarrow")])
def test_the_remedy_for_a_missing_package_names_that_package(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never this program's own name with an extra: on PyPI it belongs to somebody else."""
    monkeypatch.delitem(sys.modules, f"archiver.export.formats.{name}", raising=False)
    monkeypatch.setitem(sys.modules, package.lower(), None)
    with pytest.raises(UsageError, match=f"--format {name} needs {package}") as refused:
        form(name, FormatOptions(decode))
    assert refused.value.hint == f"pip install {package}"
