"""Whether files fail by their own fault or by their server's, from what those beside them came to. Pure.

A server counts by how its urls begin, as they are written. Only files say something of it that it should have, and that
did not fail before: thousands of dead ones prove nothing.
"""

from __future__ import annotations

FAILURES_IN_A_ROW, _DOUBTFUL = 10, 5
"""So many files that fail one after the other are the server's fault: the rest of its files are left as they are.

From the first half on the next ones are taken from anywhere, as files that lie side by side may have a fate in common.
"""


class Services:
    """What the files of all servers came to in one run."""

    def __init__(self) -> None:
        self._services: dict[str, Fortune] = {}

    def answers(self, url: str) -> None:
        """A file came, or will never."""
        self._of(url).succeed()

    def fails(self, url: str) -> None:
        """A file did not come."""
        self._of(url).failing += 1

    @property
    def down(self) -> list[str]:
        """How the urls begin whose server is down."""
        return [head for head, service in self._services.items() if service.is_down]

    @property
    def doubt(self) -> int | None:
        """How many files were taken from anywhere because some server may be down; None: there is no doubt."""
        failing = max((service.failing for service in self._services.values() if not service.is_down), default=0)
        return failing - _DOUBTFUL if failing >= _DOUBTFUL else None

    def _of(self, url: str) -> Fortune:
        scheme, mark, rest = url.partition("://")
        host, slash, _ = rest.partition("/")
        return self._services.setdefault(scheme + mark + host + slash, Fortune(FAILURES_IN_A_ROW))


class Fortune:
    """What different things that were asked of one service came to; `limit` failures in a row are its fault."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.answered = self.failed = 0
        self.failing = 0
        """How many failed since the last one that did not; `failed` are those before."""

    def succeed(self) -> None:
        """Something came: what failed before it failed by its own fault."""
        self.answered, self.failed, self.failing = self.answered + 1, self.failed + self.failing, 0

    @property
    def is_down(self) -> bool:
        """Where much fails anyway, it takes as many failures as would have brought `limit` others before."""
        expected = self.failing * self.answered
        asked = self.answered + self.failed
        return self.failing >= self._limit and expected >= self._limit * asked


def anywhere(first_ms: int, last_ms: int, number: int) -> int:
    """A place in a range: its end, its middle, its quarters, and so on, by the bits of `number`."""
    share, width = 0.0 if number else 1.0, 0.5
    while number:
        share, number, width = share + width * (number & 1), number >> 1, width / 2
    return first_ms + int(max(0, last_ms - first_ms) * share)
