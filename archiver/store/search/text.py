"""What a search compares: texts without the tricks that hide them, and the pairs of characters that lead to them.

Chinese words have no spaces around them and mostly two characters, so the index knows every pair of neighbours. The
same is said in SQL by `archive_normal` and `archive_bigrams` on PostgreSQL; a test compares the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from operator import add
from typing import NamedTuple
from unicodedata import is_normalized, normalize

from archiver.errors import UsageError
from archiver.rendering import SECRET_KEYS

LONGEST_QUERY = 200
"""In characters, normalised: what the parts of a long text overlap by."""

MOST_QUERIES = 10
"""Texts of one search: every further one is compared with all that the first one finds."""

_PART = 8_000
"""Long texts are indexed in parts: a tsvector ends at 1 MiB, and one hostile text must not stop the index."""

# What is not seen: controls, formats (zero width, direction, tags), fillers, selectors, and the substitute for what
# no column can hold. U+FFFE, U+FFFF and half surrogate pairs can only come from a command line.
_UNSEEN = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4"
    "\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_SPACE = re.compile("[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def normal(text: str) -> str:
    """A text as a search compares it: compatibility forms and case folded, nothing unseen, single spaces."""
    if text.isascii() and text.isprintable():  # most ids and names: nothing unseen, and no space but one kind
        folded = text.lower().strip(" ")
        return _SPACE.sub(" ", folded) if "  " in folded else folded
    seen = _UNSEEN.sub("", text)
    if seen.isascii():
        folded = seen.lower()
    else:
        folded = _nfkc(_nfkc(seen).casefold())
        folded = _UNSEEN.sub("", folded)
    return _SPACE.sub(" ", folded).strip(" ")


def query_for(text: str) -> str:
    """What somebody searches for, as a search compares it. Raises UsageError where nothing could match it."""
    query = normal(text)
    if not 1 <= len(query) <= LONGEST_QUERY:
        raise UsageError(f"a search is for 1 to {LONGEST_QUERY} characters that can be seen")
    return query


def queries_for(texts: Sequence[str]) -> list[str]:
    """The same for several texts, none of them twice."""
    queries = list(dict.fromkeys(query_for(text) for text in texts))
    if not 1 <= len(queries) <= MOST_QUERIES:
        raise UsageError(f"a search is for 1 to {MOST_QUERIES} texts", hint='quotes make one of several: "order 1029"')
    return queries


class Terms(NamedTuple):
    """Normalised texts that one body must hold. `lead` is looked up; what it finds is compared with the others."""

    lead: str
    others: tuple[str, ...] = ()

    def bound(self) -> dict[str, str]:
        """The values of a statement that looks for them."""
        return {"query": self.lead} | {other(number): text for number, text in enumerate(self.others)}


def other(number: int) -> str:
    """The name of one of the others' values."""
    return f"query_{number + 1}"


def all_of(queries: Sequence[str]) -> Terms:
    """The terms for texts that must all be in one body: the longest leads, as it tends to be the rarest."""
    lead, *others = sorted(dict.fromkeys(queries), key=len, reverse=True)
    return Terms(lead, tuple(others))


def _nfkc(text: str) -> str:
    return text if is_normalized("NFKC", text) else normalize("NFKC", text)


def searchable(text: str | None, filename: str | None, addr: str | None, extra: str | None) -> str:
    """What of one body is searched, normalised, a line per text: text, file name, address, and the texts in `extra`."""
    lines = [normal(value) for value in (text, filename, addr) if value]
    if extra and '"' in extra:
        lines += [normal(value) for value in _texts(extra)]
    return "\n".join(line for line in lines if line)


def _texts(extra: str) -> Iterator[str]:
    """Every text within a JSON value but the secrets of files, wherever they lie; without recursion, as it may nest."""
    try:
        left = [json.loads(extra)]
    except RecursionError:
        left = [extra]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            left += [value[key] for key in reversed(value) if key not in SECRET_KEYS]
        elif isinstance(value, list):
            left += reversed(value)


def parts(text: str) -> Sequence[str]:
    """A searchable text in pieces that the index can take; what may be asked for lies whole in one of them."""
    longest = _PART + LONGEST_QUERY
    if len(text) <= longest:
        return (text,)
    return [text[start : start + longest] for start in range(0, len(text) - LONGEST_QUERY, _PART)]


def bigrams(text: str) -> list[str]:
    """Every pair of neighbours within a normalised text, and the last character of every run by itself."""
    pairs: list[str] = []
    for run in text.split():
        pairs += map(add, run, run[1:])
        pairs.append(run[-1])
    return pairs


def asked(query: str) -> tuple[list[str], list[str]]:
    """The bigrams that a text with this normalised query has, and the beginnings of those it has besides."""
    runs = query.split()
    pairs = [run[at : at + 2] for run in runs for at in range(len(run) - 1)]
    return list(dict.fromkeys(pairs)), list(dict.fromkeys(run for run in runs if len(run) == 1))
