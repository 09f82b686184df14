"""What fits into a cell of a spreadsheet, and what of a text is kept of one that does not."""

from __future__ import annotations

import re

from archiver.export.wording import Wording

MOST = 32_767
"""Of a cell, in units of UTF-16."""
_ALWAYS_FITS = MOST // 7
# XML cannot hold these, and a workbook spells them _x001B_; a text that looks like that is spelled _x005F_x001B_.
_ESCAPED = re.compile("[&<>_\x00-\x1f]")
_SPELLED = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def units(text: str) -> int:
    """The length of a text as a workbook counts and spells it."""
    return len(text) + sum(sign > "\uffff" for sign in text) + 6 * len(_SPELLED.findall(text))


def fitting(text: str, wording: Wording) -> str:
    """The text itself; or as much as fits of it, and a note that says so."""
    if len(text) <= _ALWAYS_FITS or units(text) <= MOST:
        return text
    room = MOST - len(wording["cut"].format(len(text), len(text)))
    low, high = 0, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if units(text[:middle]) <= room else (low, middle - 1)
    return text[:low] + wording["cut"].format(low, len(text))


def size(text: str) -> int:
    """About how many bytes a text takes as XML, at most."""
    return len(text.encode()) + 6 * len(_ESCAPED.findall(text))
