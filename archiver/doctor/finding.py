"""What a check finds, and how a failing check becomes a finding."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Literal, NamedTuple

from archiver.errors import EXIT_DONE, ArchiverError


class Finding(NamedTuple):
    """One thing that was tried. `code`: how a command would end for it."""

    state: Literal["ok", "warning", "failed"]
    what: str
    text: str
    remedy: str | None = None
    code: int = EXIT_DONE


Check = Callable[[], Iterator[Finding]]
Findings = Generator[Finding, None, bool]
"""What was found, and at the end whether nothing failed."""


def tried(what: str, check: Check) -> Findings:
    """What a check finds, as it runs; the error that ends it is a finding as well."""
    is_well = True
    try:
        for finding in check():
            is_well = is_well and finding.state != "failed"
            yield finding
    except ArchiverError as error:
        yield Finding("failed", what, str(error), error.hint, error.exit_code)
        return False
    return is_well
