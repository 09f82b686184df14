"""Sealing in the transaction that stores: every page and every change of a window; nothing where there is no ledger."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import sqlalchemy as sa

from archiver import entries, merkle, salts, signing
from archiver.errors import LeaseLost, UsageError
from archiver.model import Tally, Window
from archiver.store import hours, ledger, pages, reopening, seals, unclosed, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.seals import Signer
from tests.fixtures.databases import Database
from tests.fixtures.evidence import KEY, NAME
from tests.fixtures.store import ORIGIN, claimed, page_of, record
from tests.proof.scene import Scene


def queued(database: Database) -> list[dict[str, Any]]:
    """The entries that wait, with good signatures all of them."""
    lines = [row[0] for row in database.rows("SELECT entry FROM ledger_queue WHERE entry IS NOT NULL ORDER BY id")]
    return [entries.check(line.encode(), NAME, {KEY.id: KEY.public}) for line in lines]


def test_a_pages_seal_commits_to_what_the_page_stored(sealed: Store, key: SourceKey, database: Database) -> None:
    """New, changed and quarantined records have leaves, in order of position; what is known has its leaf elsewhere."""
    held = claimed(sealed, key)
    with sealed.write() as tx:
        pages.insert(windows.hold(tx, held), [page_of(record("1"), record("2"))], ORIGIN)
    with sealed.write() as tx:
        broken, other = '{"broken": 1}', '{"broken": 2}'
        page = page_of(record("3"), broken, record("1"), record("2", text="edited"), other, broken)
        pages.insert(windows.hold(tx, held), [page], ORIGIN)
    first, second = queued(database)
    assert (first["kind"], first["n"], first["counts"]) == ("page", 2, [2, 2, 0, 0, 0])
    assert (second["page"], second["n"], second["counts"]) == (2, 4, [6, 1, 1, 1, 3])
    assert (second["app"], second["window"], second["pass"]) == ("o#a", held.id, 1)
    assert (second["lo"], second["hi"], second["fence"]) == (*held.window, held.fence)
    ((leaves, root, seeds),) = database.rows("SELECT leaves, root, seeds FROM seals WHERE page_id = 2")
    raws = {0: record("3"), 1: broken, 3: record("2", text="edited"), 4: other}
    fates = zip(raws, "nqcq", strict=True)
    salted = salts.salts(salts.unpack(bytes(seeds)), leaves)
    hashes = [salts.leaf(salt, fate, at, raws[at].encode()) for salt, (at, fate) in zip(salted, fates, strict=True)]
    assert merkle.root(hashes) == bytes(root)
    assert second["root"] == seals.root_text(bytes(root))


def test_an_empty_page_is_sealed_too(sealed: Store, key: SourceKey, database: Database) -> None:
    held = claimed(sealed, key)
    with sealed.write() as tx:
        pages.insert(windows.hold(tx, held), [page_of()], ORIGIN)
    (entry,) = queued(database)
    assert (entry["n"], entry["root"]) == (0, seals.root_text(merkle.root([])))
    assert database.rows("SELECT leaves, seeds FROM seals") == [(0, None)]


def test_the_entry_of_the_last_page_names_the_window_that_ends_with_it(
    sealed: Store, key: SourceKey, database: Database
) -> None:
    claim = claimed(sealed, key)
    with sealed.write() as tx:
        held = windows.hold(tx, claim)
        pages.insert(held, [page_of(record("1")), page_of(record("2"))], ORIGIN)
        windows.advance(held, Tally(), pages=2, walk0_ms=7, progress_ms=None, lease_ms=1)
        windows.close(held, by_order=True)
    first, last = queued(database)
    assert "windows" not in first
    (window,) = last["windows"]
    same = {"id": claim.id, "pass": 1, "cause": "live", "lag": 0, "walk0": 7, "state": "closed", "by_order": True}
    assert window == same | {"lo": claim.window.lo_ms, "hi": claim.window.hi_ms, "fence": claim.fence + 1}


def test_each_way_in_which_a_window_changes_its_state_is_entered(
    sealed: Store, key: SourceKey, database: Database
) -> None:
    def state_of(windows_id: int) -> str:
        (entry,) = [one for one in queued(database)[-1]["windows"] if one["id"] == windows_id]
        return str(entry["state"])

    claim = claimed(sealed, key)
    with sealed.write() as tx:
        windows.retry(windows.hold(tx, claim), "later", at_ms=None, keep_progress=False)
    assert queued(database) == [], "a window that is tried again has claimed nothing"
    claim = claimed(sealed, key, Window(ORIGIN + 1000, ORIGIN + 1001))
    with sealed.write() as tx:
        windows.retry(windows.hold(tx, claim), "bad", at_ms=None, keep_progress=False, state="stuck")
    assert state_of(claim.id) == "stuck"
    with sealed.write() as tx:
        unclosed.accept(tx, key, claim.window, reason="a secret reason", who="somebody")
    assert state_of(claim.id) == "accepted"
    claim = claimed(sealed, key, Window(ORIGIN + 1001, ORIGIN + 1002))
    with sealed.write() as tx:
        windows.close(windows.hold(tx, claim), by_order=True)
    with sealed.write() as tx:
        assert reopening.reopen_by_order(tx, key, since_ms=0) == 1
    assert state_of(claim.id) == "pending"
    with sealed.write() as tx:
        hours.add_before_first_contact(tx, key, Window(1, ORIGIN), 0)
    assert queued(database)[-1]["windows"][0]["cause"] == "before_first_contact"
    assert not any("secret" in json.dumps(entry) for entry in queued(database))


def test_a_rolled_back_page_leaves_no_seal(sealed: Store, key: SourceKey, database: Database) -> None:
    held = claimed(sealed, key)
    with contextlib.suppress(LeaseLost), sealed.write() as tx:
        pages.insert(windows.hold(tx, held), [page_of(record("1"))], ORIGIN)
        raise LeaseLost
    assert database.value("SELECT count(*) FROM seals") == database.value("SELECT count(*) FROM ledger_queue") == 0


def test_the_number_of_a_deleted_page_is_never_given_again(sealed: Store, key: SourceKey, database: Database) -> None:
    held = claimed(sealed, key)
    with sealed.write() as tx:
        pages.insert(windows.hold(tx, held), [page_of()], ORIGIN)
    database.run("DELETE FROM pages")
    with sealed.write() as tx:
        pages.insert(windows.hold(tx, held), [page_of()], ORIGIN)
    assert [entry["page"] for entry in queued(database)] == [1, 2]


def test_without_evidence_no_statement_is_another_one(database: Database) -> None:
    """The tables of the evidence are asked for once a pull, whether there is a ledger, and never again."""
    scene, sent = Scene(database, [10_000 + 7 * number for number in range(24)]), list[str]()
    own = scene.store()
    sa.event.listen(own.engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    with scene.surroundings():
        scene.pull(own)
    about = [text for text in sent if any(name in text for name in ("seals", "ledger", "checkpoints"))]
    assert len(about) == 1
    assert "FROM ledger_head" in about[0]


def test_nothing_is_stored_into_an_archive_with_a_ledger_without_a_key(database: Database) -> None:
    scene = Scene(database, [10_000])
    own = scene.store()
    with own.write() as tx:
        ledger.begin(tx)
    with scene.surroundings(), pytest.raises(UsageError, match="has a ledger"):
        scene.pull(own)
    assert database.value("SELECT count(*) FROM pages") == database.value("SELECT count(*) FROM runs") == 0


def test_a_configured_ledger_has_to_be_begun_first(database: Database, signer: Signer) -> None:
    scene = Scene(database, [10_000])
    own = scene.store()
    seals.sign_with(own, signer)
    with scene.surroundings(), pytest.raises(UsageError, match="no ledger yet") as refused:
        scene.pull(own)
    assert refused.value.hint == "archiver evidence init"


def test_another_keys_signature_is_no_signature() -> None:
    other = signing.from_seed(bytes(32))
    line = entries.signed({"kind": "claim"}, NAME, other.sign, KEY.id)
    with pytest.raises(entries.EntryRefused):
        entries.check(line, NAME, {KEY.id: KEY.public})
