"""How the provider delivers callbacks: one retry at once, then dropped; and a ban for who fails too often.

By its documentation: a failure is any status but 200, an answer of more than 1,000 characters, or none in ten seconds;
90 failures within 30 s are a ban of 5 minutes, then 10, 15, 20 and 25, and nothing is sent again.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter, deque
from collections.abc import Callable
from urllib.parse import urlsplit

_MOST_FAILURES, _WITHIN_MS = 90, 30_000
_BAN_MS, _LONGEST_BAN_MS = 300_000, 1_500_000
_LONGEST_ANSWER, _PATIENCE_S = 1_000, 10.0


class CallbackDelivery:
    """To one URL. `counts`: taken, failed (attempts), dropped, banned (not sent). Safe to call from many threads."""

    def __init__(self, url: str, clock_ms: Callable[[], int]) -> None:
        parts = urlsplit(url)
        self._address, self._path = (parts.hostname or "", parts.port or 80), parts.path
        self._clock_ms, self._lock = clock_ms, threading.Lock()
        self._connections = threading.local()
        self._failures: deque[int] = deque()
        self._bans, self._banned_until = 0, 0
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    @property
    def bans(self) -> int:
        """How often the receiver was banned."""
        return self._bans

    def post(self, body: bytes) -> str:
        """Send a callback: "taken", "dropped" or "banned"."""
        with self._lock:
            if self._clock_ms() < self._banned_until:
                self.counts["banned"] += 1
                return "banned"
        for _ in range(2):
            if self._attempt(body):
                self._count("taken")
                return "taken"
            self._note_failure()
        self._count("dropped")
        return "dropped"

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _attempt(self, body: bytes) -> bool:
        connection: http.client.HTTPConnection | None = getattr(self._connections, "open", None)
        if connection is None:
            connection = http.client.HTTPConnection(*self._address, timeout=_PATIENCE_S)
            self._connections.open = connection
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read(_LONGEST_ANSWER + 1)
        except (OSError, http.client.HTTPException):
            connection.close()
            self._connections.open = None
            return False
        with self._lock:
            self.statuses[answer.status] += 1
        return answer.status == 200 and len(said) <= _LONGEST_ANSWER

    def _note_failure(self) -> None:
        now_ms = self._clock_ms()
        with self._lock:
            self.counts["failed"] += 1
            self._failures.append(now_ms)
            while self._failures[0] <= now_ms - _WITHIN_MS:
                self._failures.popleft()
            if len(self._failures) >= _MOST_FAILURES:
                self._bans += 1
                self._banned_until = now_ms + min(self._bans * _BAN_MS, _LONGEST_BAN_MS)
                self._failures.clear()

    def close(self) -> None:
        """Close this thread's connection."""
        if (connection := getattr(self._connections, "open", None)) is not None:
            connection.close()
            self._connections.open = None
