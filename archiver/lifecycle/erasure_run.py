"""Carries out what two persons have decided to erase, batch by batch; what has to stay is sealed, and erased later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import NamedTuple

from archiver import erasures_file
from archiver.erasures_file import ErasureLine
from archiver.errors import Stopped, UsageError
from archiver.evidence.publish import Published
from archiver.lifecycle import decisions as deciding
from archiver.lifecycle import erasing
from archiver.lifecycle.holds import demand_whole
from archiver.lifecycle.pace import DeletionPace
from archiver.lifecycle.terms import cutoff_ms, day
from archiver.store import decisions, erasing_records, erasure, erasures, retention, seals
from archiver.store.burying import Burial
from archiver.store.decisions import Asked
from archiver.store.engine import Store, Tx
from archiver.store.erasure import MESSAGES_AT_ONCE, PAGES_AT_ONCE, LeftMessage
from archiver.store.erasures import REAPPLIED
from archiver.store.schema import iso


class ErasureDone(NamedTuple):
    """What a run came to: messages and quarantined records that it has erased, and that are sealed now."""

    messages: int
    records: int
    sealed: int
    sealed_records: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing has to stay any longer."""
        return not self.sealed and not self.sealed_records


def run(
    store: Store,
    request: int,
    who: str,
    file: Path,
    *,
    stop: Event,
    progress: Callable[[int], None] = lambda _: None,
) -> ErasureDone:
    """Erase what an approved request names, or seal it where it has to stay; after a stop, the same call goes on.

    `file`: gets a line for every message before its erasure commits. Raises UsageError where the request may not be
    carried out.
    """
    asked = _begin(store, request, who)
    with store.patient.read() as tx:
        going = erasure.left(tx, request)
        names = erasures.app_names(tx)
    erased = sealed = 0
    pace = DeletionPace(store, MESSAGES_AT_ONCE, stop.wait)
    for part in _parts(going, lambda: pace.size):
        if stop.is_set():
            raise Stopped("stopped; what is erased is gone, the same command goes on")
        app_id = part[0].app_id
        with pace.transaction() as tx:
            _demand_approved(tx, request)

            def note(msg_ids: Sequence[str], app: str = names[app_id], tx: Tx = tx) -> None:
                at = iso(tx.now_ms()) or ""
                erasures_file.append(file, [ErasureLine(app, msg_id, request, at) for msg_id in msg_ids])

            ids = [one.msg_id for one in part]
            done = erasure.erase(tx, Burial(app_id, request), ids, _over_ms(tx, app_id), note)
        erased, sealed = erased + len(done.erased), sealed + done.sealed
        progress(erased)
    if asked.kind == REAPPLIED:
        _stand_in(store, request)
    records, sealed_records = _erase_records(store, asked.id, stop)
    return ErasureDone(erased, records, sealed, sealed_records)


def _stand_in(store: Store, request: int) -> None:
    """Tombstones alone stand for what is erased again and is not there: so it is not stored when it comes."""
    with store.patient.write(lock="exclusive") as tx:
        for app_id, msg_ids in erasures.absent(tx, request).items():
            erasure.stand_in(tx, Burial(app_id, request), msg_ids)


_ANCHORED_WITHIN_S, _AGAIN_S = 300.0, 5.0


def is_anchored(publish: Callable[..., Published], stop: Event) -> bool:
    """Publish what waits for its place in the ledger until all of it is anchored, or 5 minutes are over."""
    deadline = time.monotonic() + _ANCHORED_WITHIN_S
    while not (done := publish(force=True).whole) and time.monotonic() < deadline:
        if stop.wait(_AGAIN_S):
            break
    return done


def _begin(store: Store, request: int, who: str) -> Asked:
    """A request that may be carried out now, or that was begun; begins it."""
    with store.patient.write() as tx:
        demand_whole(tx)
        erasure.demand_rights(tx)
        seals.demand(tx)
        asked = erasing.known(tx, request)
        if asked.state == "begun":
            return asked
        approved_ms = asked.when("approved")
        if asked.state != "approved" or approved_ms is None:
            again = "archiver erase request" if asked.state in ("refused", "withdrawn") else None
            hint = again or f"archiver requests approve {request}, by somebody else"
            raise UsageError(f"request {request} is {asked.state}, and not approved", hint=hint)
        if tx.now_ms() - approved_ms > deciding.APPROVED_FOR_MS:
            raise UsageError(f"request {request} was approved more than 7 days ago", hint="archiver erase request")
        decisions.decide(tx, asked, "begun", decisions.person(tx, who))
        return asked


def _demand_approved(tx: Tx, request: int) -> None:
    (asked,) = decisions.read(tx, request)
    if asked.state != "begun":
        raise UsageError(f"request {request} was {asked.state} meanwhile", hint="archiver erase request")


def _parts(going: Sequence[LeftMessage], size: Callable[[], int]) -> Iterator[list[LeftMessage]]:
    """What one transaction takes: messages of one app, as many as `size` says then, on so many pages."""
    part: list[LeftMessage] = []
    page_ids: set[int] = set()
    for one in going:
        is_full = len(part) >= size() or len(page_ids | {one.page_id}) > PAGES_AT_ONCE
        if part and (is_full or one.app_id != part[0].app_id):
            yield part
            part, page_ids = [], set()
        part.append(one)
        page_ids.add(one.page_id)
    if part:
        yield part


def _over_ms(tx: Tx, app_id: int) -> int | None:
    """Before which stamp messages of an app need not stay any longer; None where they never need to."""
    terms = next(one.terms for one in retention.read(tx) if one.app_id == app_id)
    if terms.keep_at_least is None:
        return None
    return cutoff_ms(day(tx.now_ms()), terms.keep_at_least)


def _erase_records(store: Store, request: int, stop: Event) -> tuple[int, int]:
    """Erase the quarantined records that name one of the messages; gives how many were, and how many are sealed."""
    with store.patient.read() as tx:
        by_app: dict[int, list[str]] = {}
        for one in erasures.items(tx, request):
            by_app.setdefault(one.app_id, []).append(one.msg_id)
        naming = {app_id: erasures.naming(tx, app_id, msg_ids) for app_id, msg_ids in by_app.items()}
    erased = sealed = 0
    at_once = erasing_records.RECORDS_AT_ONCE
    for app_id, records in naming.items():
        for first in range(0, len(records), at_once):
            if stop.is_set():
                raise Stopped("stopped; what is erased is gone, the same command goes on")
            with store.patient.write(lock="exclusive") as tx:
                some = records[first : first + at_once]
                done = erasing_records.erase(tx, Burial(app_id, request), some, _over_ms(tx, app_id))
            erased, sealed = erased + done.erased, sealed + done.sealed
    return erased, sealed
