"""Contents that no row names go a day later; what a row names stays, and so does another archive's store."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from archiver.blobs import Blobs
from archiver.errors import LeaseLost
from archiver.lifecycle.wipes import Swept, sweep
from archiver.store import attachments, erasure, installation, removing, wipes
from archiver.store.apps import SourceKey
from archiver.store.attachments import FileLook, Result
from archiver.store.burying import Burial
from archiver.store.engine import Store, Tx
from archiver.store.schema import attachments as rows
from archiver.store.schema import blob_wipes
from tests.fixtures.decided import approved
from tests.fixtures.store import ORIGIN

DAY = 86_400_000


def put(blobs: Blobs, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    blobs.save(io.BytesIO(content), digest, len(content))
    return digest


def name(store: Store, msg_id: str, sha256: str | None) -> None:
    """An attachment of a message that is there, stored or not fetched yet."""
    with store.write() as tx:
        tx.conn.execute(
            sa.text(
                "INSERT INTO messages (app_id, msg_id, timestamp_ms, raw, digest, lossy, page_id, position,"
                " archived_at) VALUES (1, :id, 5, '', '', false, 1, 0, '2026-11-01T00:00:00.000Z')"
            ),
            {"id": msg_id},
        )
        body = "INSERT INTO message_bodies (app_id, msg_id, position, type) VALUES (1, :id, 0, 'file')"
        tx.conn.execute(sa.text(body), {"id": msg_id})
        row = {"app_id": 1, "msg_id": msg_id, "position": 0, "kind": "file", "url": "u", "expires_at": ORIGIN}
        more = {} if sha256 is None else {"state": "stored", "sha256": sha256, "size": 1, "fetched_at": ORIGIN}
        tx.conn.execute(rows.insert().values(row | more))


def later(patch: pytest.MonkeyPatch, days: float) -> None:
    now_ms = Tx.now_ms
    patch.setattr(Tx, "now_ms", lambda tx: now_ms(tx) + int(days * DAY))


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/files")


@pytest.fixture
def ours(store: Store, blobs: Blobs) -> Store:
    with store.write() as tx:
        installation.begin(tx, deletion=True)
    assert swept(store, blobs) == Swept(0, 0)
    return store


def swept(store: Store, blobs: Blobs) -> Swept | None:
    return sweep(store, blobs, stop=Event())


def there(blobs: Blobs) -> set[str]:
    return set(blobs.contents())


def test_what_no_row_names_is_removed_a_day_later(ours: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    named, orphan, again = put(blobs, b"named"), put(blobs, b"orphan"), put(blobs, b"named again")
    name(ours, "1", named)
    assert swept(ours, blobs) == Swept(2, 0)
    assert swept(ours, blobs) == Swept(2, 0)
    name(ours, "2", again)
    later(monkeypatch, 1.01)
    assert swept(ours, blobs) == Swept(1, 1)
    assert there(blobs) == {named, again}
    with ours.read() as tx:
        assert list(tx.conn.scalars(sa.select(blob_wipes.c.sha256))) == [orphan], "its mark stays for a day"
    later(monkeypatch, 1.01)
    assert swept(ours, blobs) == Swept(0, 0)
    with ours.read() as tx:
        assert tx.conn.scalar(sa.select(sa.func.count()).select_from(blob_wipes)) == 0


def test_a_removal_that_was_cut_off_is_ended(ours: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = put(blobs, b"orphan")
    assert swept(ours, blobs) == Swept(1, 0)
    later(monkeypatch, 1.01)
    with ours.write() as tx:
        assert wipes.begin(tx, orphan)
    assert swept(ours, blobs) == Swept(1, 1)
    assert there(blobs) == set()


def test_a_worker_that_fetches_the_same_content_again_cancels_the_wipe_or_waits(
    ours: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = put(blobs, b"shared")
    assert swept(ours, blobs) == Swept(1, 0)
    result = Result("stored", sha256=content, size=6)
    for msg_id, removing_now in (("1", False), ("2", True)):
        name(ours, msg_id, None)
        with ours.write() as tx:
            claim: Any = attachments.claim(tx, 1, "me", 60_000, look=FileLook(expired=True))
            assert claim is not None
        if removing_now:
            with ours.write() as tx:
                removing.wipe(tx, [content])
                tx.conn.execute(blob_wipes.update().values(removing_at=tx.now_ms()))
            with pytest.raises(LeaseLost, match="fetched again later"), ours.write() as tx:
                attachments.settle(tx, claim, result)
        else:
            with ours.write() as tx:
                attachments.settle(tx, claim, result)
            later(monkeypatch, 1.01)
            assert swept(ours, blobs) == Swept(0, 0)
            assert there(blobs) == {content}
            with ours.write() as tx:
                tx.conn.execute(rows.update().values(state="gone", sha256=None))


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "another message has the same"])
def test_what_a_worker_fetched_while_its_message_was_erased_goes_within_two_days(
    ours: Store, key: SourceKey, blobs: Blobs, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """Beyond its download it has the content in the store, and finds that nothing may name it any more."""
    assert key.app_id == 1
    name(ours, "1", None)
    with ours.write() as tx:
        claim: Any = attachments.claim(tx, 1, "me", 60_000, look=FileLook(expired=True))
        assert claim is not None
    content = put(blobs, b"of a message that goes")
    if shared:
        name(ours, "2", content)
    with ours.write() as tx:
        request = approved(tx, "erase", {}, items=["1"])
    with ours.write(lock="exclusive") as tx:
        erasure.erase(tx, Burial(1, request), ["1"], None, lambda _: None)
    with pytest.raises(LeaseLost), ours.write() as tx:
        attachments.settle(tx, claim, Result("stored", sha256=content, size=22))
    for _ in range(2):
        swept(ours, blobs)
        later(monkeypatch, 1.0)
    swept(ours, blobs)
    assert there(blobs) == ({content} if shared else set())
    with ours.read() as tx:
        named = tx.conn.execute(sa.select(rows.c.msg_id, rows.c.state, rows.c.sha256).order_by(rows.c.msg_id)).all()
    assert [tuple(row) for row in named] == [("1", "gone", None), *([("2", "stored", content)] if shared else [])]
    if shared:  # the row goes, and so does the content
        with ours.write() as tx:
            tx.conn.execute(rows.update().values(state="gone", sha256=None))
        for _ in range(2):
            swept(ours, blobs)
            later(monkeypatch, 1.0)
        assert there(blobs) == set()


def test_a_store_of_another_archive_is_left_alone(store: Store, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = put(blobs, b"another archive's")
    assert swept(store, blobs) is None, "no [lifecycle] yet"
    with store.write() as tx:
        installation.begin(tx, deletion=True)
    assert swept(store, blobs) is None, "no mark, and contents that this archive does not name"
    blobs.set_mark("of another")
    later(monkeypatch, 3)
    assert swept(store, blobs) is None
    assert there(blobs) == {orphan}
    blobs.set_mark("mine")
    assert blobs.mark() == "of another"
