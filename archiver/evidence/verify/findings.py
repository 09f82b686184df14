"""What a verification finds: differences by table and id, what it can say less about, and how much it looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_MOST = 10_000


class SealDifference(NamedTuple):
    """Something that is not as it was sealed. `id`: the row's, as people name it; no text of any record."""

    table: str
    id: str
    problem: str


@dataclass
class VerifyFindings:
    """Filled while a verification goes on. `classes`: what is no difference, and why less can be said about it."""

    differences: list[SealDifference] = field(default_factory=list)
    count: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Entries that are gone, as a later `start` says itself."""
    fingerprint: str | None = None
    trusted: bool = False
    """Whether the first key was compared with one from outside."""

    def differ(self, table: str, key: object, problem: str) -> None:
        """Note a difference."""
        self.count += 1
        if len(self.differences) < _MOST:
            self.differences.append(SealDifference(table, str(key), problem))

    def to_json(self) -> dict[str, Any]:
        """The content of `evidence verify --format json`."""
        return {
            "version": 1,
            "differences": self.count,
            "listed": [difference._asdict() for difference in self.differences],
            "classes": dict(self.classes),
            "checked": dict(self.checked),
            "lost": self.lost,
            "fingerprint": self.fingerprint,
            "trusted": self.trusted,
        }


NOT_SEALED_YET, DECODER, FOREIGN_NOTES = "not sealed yet", "decoder", "foreign notes"
