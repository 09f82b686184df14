"""Seals in the transaction that stores: salted commitments to pages, and the signed entries that carry their roots.

No hot row and no order between workers: an entry is finished here and queued, and gets its place in the ledger later.
The store makes the text and knows no key; `Signer.sign` comes from whoever opened the archive.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver import __version__, entries, merkle, notes, salts
from archiver.errors import UsageError
from archiver.model import Page
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.schema import apps, ledger, ledger_head, ledger_queue, seals, windows

WINDOWS_AT_ONCE = 200
"""So many windows an entry names at most: it stays within 65,535 bytes."""
_PREPARED = 256
NEW, CHANGED, QUARANTINED, ROW = "n", "c", "q", "r"
"""The fates of leaves."""

Leaf = tuple[int, str, bytes]
"""Position, fate and content of what a seal commits to."""


class SealMade(NamedTuple):
    """A seal over leaves; `seeds` is None without any."""

    leaves: int
    root: bytes
    seeds: bytes | None


def seal(leaves: Sequence[Leaf]) -> SealMade:
    """Commit to leaves, in their order, under salts of a new random seed."""
    if not leaves:
        return SealMade(0, merkle.root([]), None)
    seeds = [(0, 0, secrets.token_bytes(merkle.HASH_BYTES))]
    hashes = salts.leaves(salts.salts(seeds, len(leaves)), leaves)
    return SealMade(len(leaves), merkle.root(hashes), salts.pack(seeds))


class PreparedSeals:
    """Seals that were made while the database was at work, for pages that nearly always turn out to be all new.

    Hashing takes a tenth of the client's time, and who stores a page waits for the database most of his. Kept by what
    is in the page, and not with it: a walk that breaks off leaves nothing but some hashes.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], SealMade] = {}
        self._lock = Lock()

    def add(self, page: Page) -> None:
        """Seal a page as if all of it were new."""
        made = seal([(message.position, NEW, message.raw) for message in page.messages])
        with self._lock:
            self._made[page.sha256, len(page.messages)] = made
            while len(self._made) > _PREPARED:
                del self._made[next(iter(self._made))]

    def take(self, page: Page) -> SealMade | None:
        """The seal of a page that was all new; to be used once, as its salts are."""
        with self._lock:
            return self._made.pop((page.sha256, len(page.messages)), None)


@dataclass(frozen=True)
class Signer:
    """Who signs entries: the ledger's name, the id of the key, and what makes a signature."""

    name: str
    by: str
    sign: Callable[[bytes], bytes] = field(repr=False)
    prepared: PreparedSeals = field(default_factory=PreparedSeals, repr=False)
    _apps: dict[int, str] = field(default_factory=dict, repr=False)

    def line(self, entry: dict[str, Any]) -> str:
        """An entry as it stands in the ledger."""
        return entries.signed(entry, self.name, self.sign, self.by).decode("ascii")

    def app(self, tx: Tx, app_id: int) -> str:
        """The name of an app, which never changes."""
        if app_id not in self._apps:
            self._apps[app_id] = str(tx.conn.scalar(sa.select(apps.c.name).where(apps.c.id == app_id)))
        return self._apps[app_id]


class PageSeal(NamedTuple):
    """A page that this transaction stores. `counts`: received, new, known, changed, quarantined."""

    key: SourceKey
    page_id: int
    window_id: int
    fence: int
    pass_no: int
    lo_ms: int
    hi_ms: int
    counts: tuple[int, int, int, int, int]
    outside: int
    fetched_ms: int
    server_ms: int | None
    leaves: Sequence[Leaf]
    program: str | None = __version__
    """The version that made the columns; None where no version is known to have made them."""
    made: SealMade | None = None
    """Where the seal is there already."""


def root_text(root: bytes) -> str:
    """A hash as entries write it, and as notes do: base64."""
    return base64.b64encode(root).decode("ascii")


class SealJournal:
    """What one transaction has to seal; `write` is called by the store before the commit."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self._pages: list[PageSeal] = []
        self._windows: set[int] = set()

    def add_page(self, page: PageSeal) -> None:
        """Seal a page that is stored in this transaction."""
        self._pages.append(page)

    def add_windows(self, ids: Iterable[int]) -> None:
        """Enter the state that these windows have at the end of this transaction."""
        self._windows.update(ids)

    def write(self, tx: Tx) -> None:
        """Add the seals, and the entries to the queue."""
        changed = changed_windows(tx, sorted(self._windows)) if self._windows else {}
        queued = self._of_pages(tx, changed) if self._pages else []
        for key, ended in changed.items():
            for first in range(0, len(ended), WINDOWS_AT_ONCE):
                entry = self._entry(tx, "window", key) | {"windows": ended[first : first + WINDOWS_AT_ONCE]}
                queued.append((None, self.signer.line(entry)))
        enqueue(tx, queued)
        self._pages.clear()
        self._windows.clear()

    def _of_pages(self, tx: Tx, changed: dict[SourceKey, list[dict[str, Any]]]) -> list[tuple[int | None, str]]:
        """Entries of pages; the last page of a source also names the windows that ended with it."""
        made = [page.made or seal(page.leaves) for page in self._pages]
        rows = [
            {"page_id": page.page_id, **one._asdict(), "made_at": tx.now_ms()}
            for page, one in zip(self._pages, made, strict=True)
        ]
        ids = add(tx, rows)
        last = {page.key: page.page_id for page in self._pages}
        queued: list[tuple[int | None, str]] = []
        for page, one in zip(self._pages, made, strict=True):
            entry = page_fields(page, one, self._entry(tx, "page", page.key))
            if last[page.key] == page.page_id and len(changed.get(page.key, ())) in range(1, WINDOWS_AT_ONCE + 1):
                entry["windows"] = changed.pop(page.key)
            queued.append((ids[page.page_id], self.signer.line(entry)))
        return queued

    def _entry(self, tx: Tx, kind: str, key: SourceKey) -> dict[str, Any]:
        return {"kind": kind, "at": tx.now_ms(), "app": self.signer.app(tx, key.app_id), "source": key.source}


def page_fields(page: PageSeal, made: SealMade, entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with what it tells of a page.

    What another version than `program` decodes in another way is no difference.
    """
    fields: dict[str, Any] = {
        "page": page.page_id,
        "window": page.window_id,
        "fence": page.fence,
        "pass": page.pass_no,
        "lo": page.lo_ms,
        "hi": page.hi_ms,
        "counts": list(page.counts),
        "outside": page.outside,
        "server": page.server_ms,
        "n": made.leaves,
        "root": root_text(made.root),
    }
    if page.program is not None:
        fields["program"] = page.program
    if page.fetched_ms != entry["at"]:
        fields["fetched"] = page.fetched_ms
    return entry | fields


def add(tx: Tx, rows: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Add seals of pages; gives their ids by page."""
    returned = tx.conn.execute(seals.insert().returning(seals.c.page_id, seals.c.id), list(rows))
    return {row[0]: row[1] for row in returned}


def enqueue(tx: Tx, queued: Sequence[tuple[int | None, str]]) -> None:
    """Add finished entries to the queue, each with the id of its seal."""
    if queued:
        tx.conn.execute(ledger_queue.insert(), [{"seal_id": seal_id, "entry": line} for seal_id, line in queued])


def enqueue_row(tx: Tx, table: str, key: Sequence[Any]) -> None:
    """Have a row of another table sealed; most tables have a trigger that does it."""
    tx.conn.execute(ledger_queue.insert().values(table_name=table, key=key_text(key)))


def key_text(key: Sequence[Any]) -> str:
    """A primary key as the queue and the seals have it."""
    return json.dumps(list(key), ensure_ascii=False, separators=(",", ":"))


_STATES = {"leased": "pending", "not_ready": "pending"}
"""What is to be walked is pending, whoever holds it."""
_COLUMNS = ("id", "pass", "cause", "lo_ms", "hi_ms", "lag_ms", "walk0_ms", "state", "by_order", "fence")
_CHANGED = (
    sa.select(windows.c.app_id, windows.c.source, *(windows.c[name] for name in _COLUMNS))
    .where(windows.c.id.in_(sa.bindparam("ids", expanding=True)), windows.c["pass"] != 0)
    .order_by(windows.c.id)
)


def changed_windows(tx: Tx, ids: Sequence[int]) -> dict[SourceKey, list[dict[str, Any]]]:
    """The windows as entries have them, by source; early looks claim nothing, and are left out."""
    found: dict[SourceKey, list[dict[str, Any]]] = {}
    for first in range(0, len(ids), 1000):
        for app_id, source, *values in tx.conn.execute(_CHANGED, {"ids": ids[first : first + 1000]}):
            found.setdefault(SourceKey(app_id, source), []).append(window_fields(values))
    return found


def window_fields(values: Sequence[Any]) -> dict[str, Any]:
    """A window as entries have it, from its columns in the order of `_COLUMNS`."""
    fields = {name.removesuffix("_ms"): value for name, value in zip(_COLUMNS, values, strict=True)}
    return fields | {"state": _STATES.get(fields["state"], fields["state"]), "by_order": bool(fields["by_order"])}


def demand(tx: Tx) -> None:
    """Raise UsageError where there is a ledger, and this transaction cannot seal what it stores; or seals without one.

    Asked in every transaction that begins to write, behind what waits for `evidence init`.
    """
    has_ledger = tx.conn.execute(sa.select(ledger_head.c.id)).first() is not None
    if has_ledger and tx.journal is None:
        raise UsageError(
            "this archive has a ledger, and no [evidence] is configured here: nothing may be stored without a seal",
            hint="[evidence] with name and key_file, as on the other hosts",
        )
    if tx.journal is not None and not has_ledger:
        raise UsageError("[evidence] is configured, and the archive has no ledger yet", hint="archiver evidence init")
    if isinstance(tx.journal, SealJournal):
        _demand_valid(tx, tx.journal.signer)


def _demand_valid(tx: Tx, signer: Signer) -> None:
    rare = sa.text("kind IN ('claim', 'start')")
    query = sa.select(ledger.c.entry).where(ledger.c.kind == "start", rare).order_by(ledger.c.seq.desc()).limit(1)
    row = tx.conn.execute(query).first()
    if row is None:
        return
    start = json.loads(row.entry)
    if notes.epoch(start["origin"], signer.name) is None:
        raise UsageError(f"[evidence] name is {signer.name}, and the ledger's name is {start['origin']}")
    if signer.by not in {entries.key_id(one.public) for one in notes.parse_vkeys("\n".join(start["keys"]))}:
        raise UsageError(
            f"[evidence] key_file holds another key ({signer.by}) than those that the ledger names",
            hint="a copy of the key of the other hosts; after its loss: archiver evidence resume",
        )


def sign_with(store: Store, signer: Signer | None) -> None:
    """Have every transaction of a store seal what it stores; None: there is no ledger."""
    store.journal = None if signer is None else lambda: SealJournal(signer)
    store.prepare = None if signer is None else signer.prepared.add
