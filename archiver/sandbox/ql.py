"""The query language of the listing, as far as messages need it, and the slice that a query reads.

A query reads one slice of one index: the timestamps between two bounds in one direction or, without any word about
timestamps, all records in the order they were ingested. A cursor belongs to a slice, identified by its hash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "="}
_TOKEN = re.compile(r"\s*(?:(>=|<=|>|<|=|\*|,)|(-?\d+(?![\w.]))|([a-z_][\w.]*)|(\S+))")


class QueryParse(Exception):
    """The query cannot be parsed."""


@dataclass(frozen=True, slots=True)
class QueryRange:
    """What a query reads. A bound is a (value, inclusive) pair, or None."""

    index: str = "uuid"
    descending: bool = False
    low: tuple[int, bool] | None = None
    high: tuple[int, bool] | None = None

    @property
    def lo_ms(self) -> int | None:
        """The first timestamp inside, or None."""
        return None if self.low is None else self.low[0] + (not self.low[1])

    @property
    def hi_ms(self) -> int | None:
        """The first timestamp behind, or None."""
        return None if self.high is None else self.high[0] + self.high[1]

    @property
    def hash(self) -> int:
        """Java's hashCode of Usergrid's QuerySlice; exact where there are no bounds, else only alike."""
        total = 1
        for part in (
            _of_bound(self.high),
            _of_text(self.index),
            1231 if self.descending else 1237,
            _of_bound(self.low),
            0,
        ):
            total = 31 * total + part
        return _signed(total)


def parse(text: str, *, lower_only: bool = False) -> QueryRange:
    """The slice that a `ql` reads. Raises QueryParse with the description the provider would give."""
    text = text.strip().lower()
    if text.startswith("order by"):
        text = "select * " + text
    elif text and not text.startswith("select"):
        text = "select * where " + text
    return _Parser(text, lower_only).slice() if text else QueryRange()


class _Parser:
    def __init__(self, text: str, lower_only: bool) -> None:
        self.tokens = [match for match in _TOKEN.finditer(text) if match.group().strip()]
        self.lower_only = lower_only
        self.at = 0

    def slice(self) -> QueryRange:
        self.expect("select")
        self.expect("*")
        low = high = None
        index, descending = "uuid", False
        if self.take("where"):
            index = "timestamp"
            low, high = self.conditions()
        if self.peek() == "order" and not self.lower_only:
            index, descending = "timestamp", self.order()
        if self.at < len(self.tokens):
            self.refuse()
        return QueryRange(index, descending, low, high)

    def conditions(self) -> tuple[tuple[int, bool] | None, tuple[int, bool] | None]:
        low: tuple[int, bool] | None = None
        high: tuple[int, bool] | None = None
        while True:
            operator, value = self.condition()
            if operator in (">", ">=", "="):
                bound = (value, operator != ">")
                low = bound if low is None else max(low, bound, key=lambda one: (one[0], not one[1]))
            if operator in ("<", "<=", "="):
                bound = (value, operator != "<")
                high = bound if high is None else min(high, bound)
            if self.lower_only or not self.take("and"):
                return low, high

    def condition(self) -> tuple[str, int]:
        self.expect("timestamp")
        operator = OPERATORS.get(self.peek(), self.peek())
        if operator not in OPERATORS.values():
            self.refuse()
        self.at += 1
        if not re.fullmatch(r"-?\d+", self.peek()):
            self.refuse()
        self.at += 1
        return operator, int(self.tokens[self.at - 1].group(2))

    def order(self) -> bool:
        self.expect("order")
        self.expect("by")
        self.expect("timestamp")
        return not self.take("asc") and self.take("desc")

    def peek(self) -> str:
        return self.tokens[self.at].group().strip() if self.at < len(self.tokens) else ""

    def take(self, word: str) -> bool:
        is_next = self.peek() == word
        self.at += is_next
        return is_next

    def expect(self, word: str) -> None:
        if not self.take(word):
            self.refuse()

    def refuse(self) -> None:
        column = self.tokens[self.at].end() - len(self.peek()) if self.at < len(self.tokens) else 0
        raise QueryParse(
            f"The query cannot be parsed. The token '{self.peek() or '<EOF>'}' at column {column} on line 1"
        )


def _signed(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def _of_text(text: str) -> int:
    total = 0
    for character in text:
        total = 31 * total + ord(character)
    return _signed(total)


def _of_bound(bound: tuple[int, bool] | None) -> int:
    if bound is None:
        return 0
    value, inclusive = bound
    return _signed((31 * (31 * 3 + (1231 if inclusive else 1237)) + (value ^ (value >> 32))) & 0xFFFFFFFF)
