"""An archive with every kind of sealed thing in it, and what an insider could do to it: a statement or two each.

Built once for each kind of database; each tampering gets a copy of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from archiver import connect, notes, review, signing
from archiver.config import Settings, load
from archiver.config.evidence import FileSink
from archiver.evidence import beginning
from archiver.evidence.anchors.calls import AnchorOutcome
from archiver.evidence.publish import Publisher
from archiver.evidence.verify import whole
from archiver.evidence.verify.findings import VerifyFindings
from archiver.evidence.verify.run import VerifyOptions
from archiver.model import Page, Pass, Reject, Tally, Window
from archiver.sources import decode
from archiver.store import (
    apps,
    attachments,
    audit_log,
    decisions,
    holds,
    hours,
    looks,
    pages,
    passes,
    planning,
    unclosed,
    watermarks,
    windows,
)
from archiver.store.apps import SourceKey
from archiver.store.attachments import FileLook, Result
from archiver.store.engine import Store, Tx
from archiver.store.holds import HoldCriteria, HoldRow
from archiver.store.looks import LookEntry
from archiver.store.planning import AUDIT, LIVE
from archiver.store.read.filters import Filter
from archiver.store.schema import request_items, retention_terms
from archiver.store.windows import Claim, ClaimOptions, Held, Target
from tests.fixtures.evidence import NAME
from tests.fixtures.store import ORIGIN, page_of, record

CONFIG = """
[database]
url = "{url}"
[evidence]
name = "{name}"
key_file = "{place}/key"
state_file = "{place}/state"
[[evidence.anchors]]
sink = "file"
path = "{place}/notes"
[[apps]]
org = "o"
app = "a"
client_id = "c"
client_secret = "secret"
start = "2026-09-01T00:00:00Z"
"""
IMAGE = {"type": "img", "url": "https://a1.easemob.com/o/a/chatfiles/x", "filename": "x.png", "secret": "s" * 12}


def settings_of(url: str, place: Path) -> Settings:
    """The configuration of an archive whose keys and anchors lie in a folder."""
    path = place / "config.toml"
    path.write_text(CONFIG.format(url=url, name=NAME, place=place))
    path.chmod(0o600)
    return load(path, {})


@dataclass(frozen=True)
class NotesFile:
    """The sink `file`, without a process of its own for every call."""

    name: str
    path: Path
    every_ms: int = 60_000
    readable: bool = True

    def put(self, note: bytes, *, within_s: float) -> AnchorOutcome:
        with self.path.open("ab") as file:
            file.write(b"\n" + note)
        return AnchorOutcome("anchored")

    def newer(self, size: int, *, within_s: float) -> list[bytes]:
        text = self.path.read_text() if self.path.exists() else ""
        return [one.data for one in notes.find(text) if one.note.size > size]


@dataclass
class Builder:
    """Stores pages and ends windows as walks do, in small."""

    store: Store
    key: SourceKey

    def walk(self, lo: int, hi: int, *arrived: Page, pass_no: int = 1, cause: str = LIVE, **end: Any) -> None:
        """Walk a range beside the origin, and close it, or end it in another way."""
        self._walk(self.claimed(lo, hi, pass_no, cause), *arrived, **end)

    def again(self, lo: int, *arrived: Page, **end: Any) -> None:
        """Walk a window that is there already, from its beginning beside the origin."""
        self._walk(self.taken(lo), *arrived, **end)

    def _walk(self, claim: Claim, *arrived: Page, **end: Any) -> None:
        for page in arrived:
            claim = self.stored(claim, page)
        with self.store.write() as tx:
            self._end(tx, windows.hold(tx, claim), **end)

    def claimed(self, lo: int, hi: int, pass_no: int = 1, cause: str = LIVE) -> Claim:
        """Plan a range, and claim it."""
        with self.store.write() as tx:
            planning.plan(tx, self.key, pass_no, cause, 1000, [Window(ORIGIN + lo, ORIGIN + hi)])
        return self.taken(lo, pass_no, cause)

    def taken(self, lo: int, pass_no: int = 1, cause: str = LIVE) -> Claim:
        """Claim the window that begins there."""
        with self.store.write() as tx:
            target, others = Target(pass_no, cause, ORIGIN + 10**9), list[int]()
            while claim := windows.claim(
                tx, self.key, target, ClaimOptions("me", 60_000, tried=others, retry_stuck=True)
            ):
                if claim.window.lo_ms == ORIGIN + lo:
                    return claim
                others.append(claim.id)
                windows.retry(windows.hold(tx, claim), "not now", at_ms=None, keep_progress=False)
        raise AssertionError(lo)

    def stored(self, claim: Claim, page: Page) -> Claim:
        """Store a page of a window; gives the claim to go on with."""
        with self.store.write() as tx:
            held = windows.hold(tx, claim)
            whole_tally = sum(pages.insert(held, [page], ORIGIN + 9_000), Tally())
            windows.advance(held, whole_tally, pages=1, walk0_ms=ORIGIN + 9_000, progress_ms=None, lease_ms=60_000)
        return claim._replace(pages=claim.pages + 1)

    def _end(self, tx: Tx, held: Held, *, state: str = "closed", by_order: bool = False) -> None:
        locked = watermarks.lock(tx, self.key)
        if state == "closed":
            windows.close(held, by_order=by_order)
        elif state == "expired":
            windows.give_up(held, "beyond the retention")
        else:
            windows.retry(held, "cannot be walked", at_ms=None, keep_progress=False, state=state)
        watermarks.move(tx, self.key, locked)


def build(store: Store, settings: Settings) -> None:
    """Fill an empty archive, and publish its ledger twice."""
    beginning.init(store, settings, "internal audit", "me")
    connect.seal(store, settings)
    section = beginning.section(settings)
    ((name, sink),) = section.sinks.items()
    assert isinstance(sink, FileSink)
    publish = Publisher(store, section, signing.load(section.key_file), [NotesFile(name, sink.path)])
    with store.write() as tx:
        key = apps.register(tx, "o#a", "cursor", ORIGIN, settle_ms=1000, retention_ms=None)
        passes.numbered(tx, key, [Pass(2, 50_000)])
        watermarks.audit_by(tx, key, 2)
        hours.add_before_first_contact(tx, key, Window(ORIGIN - 5_000, ORIGIN), 1000)
    builder = Builder(store, key)
    image = record("3", stamp=ORIGIN + 7).replace('{"type": "txt", "msg": "hello"}', json.dumps(IMAGE))
    refused = Reject(record("9", stamp=ORIGIN + 8).encode(), "the database refused it", 2)
    second = page_of(record("1", text="edited"), '{"broken": 1}')
    second = Page(second.messages, (*second.rejects, refused), second.server_ms, second.sha256)
    builder.walk(0, 1000, page_of(record("1"), record("2", ext={"a": [1.50, "你"]}), image), second)
    builder.walk(1000, 2000, page_of())
    builder.walk(2000, 3000, state="expired")
    builder.walk(3000, 4000, page_of(record("4", stamp=ORIGIN + 3_005)))
    builder.walk(4000, 4001, state="stuck")
    builder.walk(0, 2000, page_of(record("5", stamp=ORIGIN + 9)), pass_no=2)
    with store.write() as tx:
        unclosed.accept(tx, key, Window(ORIGIN + 2000, ORIGIN + 3000), reason="ticket 42", who="somebody")
        watermarks.move(tx, key, watermarks.lock(tx, key))
    assert review.requeue(store, decode).resolved == 1
    _export_and_fetch(store, key)
    assert publish().whole
    builder.walk(1, 2, page_of(record("6", text="edited later", stamp=ORIGIN + 3)), pass_no=1000, cause=AUDIT)
    assert publish(force=True).whole


def _export_and_fetch(store: Store, key: SourceKey) -> None:
    entry = audit_log.AuditEntry("e1", "me", "here", "1", "jsonl", {}, None, "because")
    with store.write() as tx:
        audit_log.append(tx, entry, "begun", 5)
        audit_log.append(tx, entry, "done", 5, "ab" * 32)
        looks.append(tx, LookEntry("l1", "me", "cli", "search", {"texts": ["x"]}), "shown", 1)
        looks.add_conversations(tx, "l1", [("o#a", "a|b")])
        (asked,) = decisions.read(tx, decisions.add(tx, "export", {"format": "csv"}, "alice"))
        tx.conn.execute(request_items.insert().values(request_id=1, app_id=key.app_id, msg_id="1", line="asked"))
        decisions.decide(tx, asked, "refused", "bob")
        holds.place(tx, HoldRow(1, "x", "placed", "K7", "a letter", "me"), HoldCriteria(participant="a"))
        listed = HoldCriteria(Filter("o#a"), ids=("1", 'a "quoted" \u4f60\n\x7f id'))
        holds.place(tx, HoldRow(1, "x", "widened", "K7", "a letter", "me"), listed)
        app_id = key.app_id
        terms = {"app_id": app_id, "keep_at_least": "5y", "reason": "law", "who": "me", "at": tx.now_ms()}
        tx.conn.execute(retention_terms.insert().inline(), terms)
        claim = attachments.claim(tx, key.app_id, "me", 60_000, look=FileLook(expired=True))
        assert claim is not None
        attachments.settle(tx, claim, Result("stored", None, "cd" * 32, 7, "image/png"))


def verified(store: Store, settings: Settings, **options: Any) -> VerifyFindings:
    """A verification, as the command does it."""
    chosen = VerifyOptions(NAME, **options)
    return whole.verify(store, settings, chosen, decode, stop=Event())
