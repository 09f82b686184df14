"""What a legal hold costs: asking for a batch of 1,000 messages which of them are held: `python -m bench.holds`.

One person wrote a tenth of 200,000 messages and is held as a participant; half of all messages lie in 50 groups of
thousands, in few of which that person wrote: there the answer is to be found for messages that are not held.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa

from archiver.store import holds
from archiver.store.admin import migrate
from archiver.store.engine import Store, open_store
from archiver.store.holds import HELD, HoldCriteria, HoldRow
from archiver.store.schema import apps, messages
from bench.archive import START_MS
from tests.postgres import own_server

MESSAGES, BATCH, ROUNDS = 200_000, 1_000, 5
COLUMNS = (
    *("app_id", "msg_id", "timestamp_ms", "sent_at", "sender", "recipient", "conversation", "chat_type"),
    *("raw", "digest", "lossy", "page_id", "position", "archived_at"),
)
_BATCH = f"""
SELECT count(*) FROM messages m
WHERE m.app_id = 1 AND m.msg_id >= :first AND m.msg_id < :last AND {HELD.replace("{holds}", "holds_in_force")}
"""


def envelopes(draw: random.Random) -> Iterator[tuple[str, str, str, str]]:
    """Sender, recipient, conversation and chat type."""
    users = [f"user{number}" for number in range(500)]
    for number in range(MESSAGES):
        sender = "Held" if number % 10 == 0 else draw.choice(users)
        if draw.random() < 0.5:
            group = f"group{draw.randrange(5 if sender == 'Held' else 50)}"
            yield sender, group, group, "groupchat"
        else:
            recipient = draw.choice(users)
            yield sender, recipient, "|".join(sorted((sender.lower(), recipient))), "chat"


def fill(store: Store) -> None:
    """Messages without bodies: a hold looks at nothing else."""
    with store.write() as tx:
        tx.conn.execute(apps.insert().values(id=1, name="bench#holds", created_at=START_MS))
        rows: list[tuple[Any, ...]] = []
        for number, envelope in enumerate(envelopes(random.Random(22))):
            at_ms = START_MS + number * 1_000
            stamp = tx.given.instant(at_ms)
            known = b"{}", number.to_bytes(32, "big"), False, 1, number, stamp
            rows.append((1, f"m{number:07}", at_ms, stamp, *envelope, *known))
        tx.append(messages, COLUMNS, rows)
    store.analyze()
    if store.engine.dialect.name == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.exec_driver_sql("ANALYZE")


def measure(store: Store) -> dict[str, float]:
    """Seconds: placing the hold, asking for batches (median and worst), and counting all that it covers."""
    began = time.perf_counter()
    with store.write(lock="exclusive") as tx:
        holds.place(tx, HoldRow(1, "x", "placed", "K7", "a letter", "me"), HoldCriteria(participant="held"))
    placed_s = time.perf_counter() - began
    batches = []
    for start in range(0, MESSAGES, MESSAGES // ROUNDS):
        limits = {"first": f"m{start:07}", "last": f"m{start + BATCH:07}"}
        with store.read() as tx:
            began = time.perf_counter()
            tx.conn.execute(sa.text(_BATCH), limits).scalar_one()
            batches.append(time.perf_counter() - began)
    with store.patient.read() as tx:
        began = time.perf_counter()
        count = holds.counts(tx, 1).messages
        counted_s = time.perf_counter() - began
    return {"place": placed_s, "batch": median(batches), "worst": max(batches), "count": counted_s, "held": count}


@contextmanager
def fresh(url: str) -> Iterator[Store]:
    store = open_store(url)
    migrate.upgrade(store)
    yield store
    store.dispose()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="archiver-bench-", dir="/tmp") as place, own_server() as postgres:
        server = postgres.url.replace("postgresql://", "postgresql+psycopg://")
        for kind, url in (("sqlite", f"sqlite:///{Path(place) / 'archive.db'}"), ("postgresql", server)):
            with fresh(url) as store:
                fill(store)
                figures = measure(store)
            print(kind, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
