"""How long a verification asks a server to keep what it sees: never to its end, however slow it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from archiver.evidence.verify import run
from archiver.evidence.verify.run import Verification, VerifyOptions
from archiver.sources import decode
from archiver.store import sealed_pages
from archiver.store.engine import Store, Tx
from tests.fixtures.archive import Archive
from tests.fixtures.evidence import NAME
from tests.fixtures.store import open_database

LONGEST_S = 30.0
_SLOW_S = 1.0


class Watched:
    """Simulated seconds, and the snapshots that were open in them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.lengths, self._open = 0.0, list[float](), 0
        self.rested_within: list[str] = []
        read = Store.read

        @contextmanager
        def watched(store: Store, *arguments: Any) -> Iterator[Tx]:
            begun_s, self._open = self.now_s, self._open + 1
            with read(store, *arguments) as tx:
                yield tx
            self._open -= 1
            self.lengths.append(self.now_s - begun_s)

        monkeypatch.setattr(Store, "read", watched)
        monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    def decode(self, *arguments: Any) -> Any:
        """As ever, at a record a second: some thousand times as slow as it is."""
        self.now_s += _SLOW_S
        return decode(*arguments)

    def progress(self, what: str, done: int, total: int) -> None:
        """Here the scrub of the daemon rests, for up to a minute."""
        if self._open:
            self.rested_within.append(what)
        self.now_s += 60.0


@pytest.mark.full
def test_a_slow_verification_opens_a_snapshot_after_the_other(begun: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    begun.write_config(page_size=5)
    assert begun("pull") == 0
    monkeypatch.setattr(sealed_pages, "RECORDS_AT_ONCE", 5)
    monkeypatch.setattr(run, "SLICE", 4)
    store, watched = open_database(begun.database), Watched(monkeypatch)
    verification = Verification(store, VerifyOptions(NAME), watched.decode, stop=Event(), progress=watched.progress)
    verification.entries()
    verification.pages()
    verification.claim()
    store.dispose()
    assert verification.findings.count == 0
    assert watched.now_s > 3 * LONGEST_S, "as a whole it took longer than any snapshot may"
    assert max(watched.lengths) <= LONGEST_S
    assert watched.rested_within == []
