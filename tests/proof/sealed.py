"""The evidence of a world: what is stored is sealed, and the ledger is filled by processes that die as well.

O17: the ledger has no gap, each page has one seal and one entry, and a verification finds nothing. It draws from a
generator of its own, so that a world is the same one whether it is sealed or not.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import sqlalchemy as sa

from archiver import notes
from archiver.config.evidence import Evidence
from archiver.errors import DatabaseUnavailable
from archiver.evidence.publish import Publisher
from archiver.evidence.verify.run import Verification, VerifyOptions
from archiver.sources import decode
from archiver.store import ledger, seals
from archiver.store.engine import Store, Tx
from archiver.store.ledger import Line
from archiver.store.postgres import ArchiveLock
from archiver.store.seals import Signer
from tests.fixtures.evidence import KEY, NAME

EVERY = 4
"""One of so many worlds is sealed."""
_FATES = 0.1


class _Dies(BaseException):
    """The process that fills the ledger is gone."""


class _LedgerStore(Store):
    """A store whose writers die before their commit, after it, or hear nothing of it."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], int], draw: random.Random) -> None:
        super().__init__(engine, clock=clock)
        self._draw = draw

    @contextmanager
    def write(self, *, durable: bool = True, lock: ArchiveLock | None = None) -> Iterator[Tx]:
        assert durable, "the ledger's commits must last"
        with super().write(lock=lock) as tx:
            yield tx
            if self._draw.random() < _FATES:
                raise _Dies
        if self._draw.random() < _FATES:
            raise DatabaseUnavailable("simulated: the commit is done, its reply lost")


class SealedWorld:
    """Seals what the store of a world stores, and fills its ledger after pulls."""

    def __init__(self, seed: int, store: Store, clock: Callable[[], int]) -> None:
        self._draw = random.Random(f"evidence of {seed}")
        signer = Signer(NAME, KEY.id, KEY.sign)
        self._plain = Store(store.engine, clock=clock)
        with self._plain.write() as tx:
            ledger.begin(tx)
            start = {"kind": "start", "at": 0, "event": "init", "origin": NAME, "keys": [notes.vkey(NAME, KEY.public)]}
            line = signer.line(start | {"keeper": None, "first_page": 1, "previous": None})
            end = ledger.lock(tx)
            assert end is not None
            ledger.append(tx, end, [Line(line)])
        seals.sign_with(store, signer)
        nowhere = Path("/nowhere")
        evidence = Evidence(name=NAME, key_file=nowhere, state_file=nowhere)
        self._dying = Publisher(_LedgerStore(store.engine, clock, self._draw), evidence, KEY)
        self._calm = Publisher(self._plain, evidence, KEY)

    def publish(self, *, calm: bool = False) -> None:
        """Fill the ledger, as at the end of a pull, unless the process dies of it or nobody does."""
        if calm:
            self._calm.sequence(time.monotonic() + 60)
        elif self._draw.random() < 0.8:
            with suppress(_Dies, DatabaseUnavailable):
                self._dying.sequence(time.monotonic() + 60)

    def problem(self) -> str | None:
        """What is wrong with the evidence as it stands; None: nothing."""
        verification = Verification(self._plain, VerifyOptions(NAME), decode, stop=Event())
        verification.entries()
        verification.pages()
        verification.claim()
        if verification.findings.count or verification.findings.classes:
            return f"{verification.findings.differences} {dict(verification.findings.classes)}"
        return None

    def problem_at_rest(self, ask: Callable[[str], list[tuple[object, ...]]]) -> str | None:
        """As `problem`, when all that waited has its place; and each page is sealed exactly once."""
        self.publish(calm=True)
        pages, sealed = ask("SELECT count(*) FROM pages")[0][0], "SELECT count(*), count(DISTINCT page_id) FROM seals"
        entered = ask("SELECT count(*), count(DISTINCT seal_id) FROM ledger WHERE kind = 'page'")[0]
        if {*ask(f"{sealed} WHERE page_id IS NOT NULL")[0], *entered} != {pages}:
            return f"{pages} pages, and seals and entries of others"
        if ask("SELECT count(*) FROM ledger_queue")[0][0]:
            return "something waits that has no place"
        return self.problem()
