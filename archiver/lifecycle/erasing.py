"""Requests to erase: what somebody asks for is written down, with what quotes it and who has copies, and then decided.

What quotes a message is listed for a person, who decides line by line: the same words may be somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from archiver.errors import UsageError
from archiver.lifecycle import proposals
from archiver.lifecycle.holds import demand_whole
from archiver.lifecycle.proposals import Asker, Made, Proposal
from archiver.model import Archived
from archiver.store import decisions, erasures, holds
from archiver.store.decisions import Asked
from archiver.store.engine import Store, Tx
from archiver.store.erasures import ASKED, ERASE, REAPPLIED, RELATED, ErasureCounts, ExportOf, RequestItem
from archiver.store.read import counting, filters, messages
from archiver.store.read.filters import Filter
from archiver.store.search import mentions
from archiver.store.search.mentions import Mention

_MOST_LEFT = 1_000
"""So many messages that are left as they are a request names; the number of all stands beside them."""
_AT_ONCE = 500


class ErasureWish(NamedTuple):
    """What is to be erased, and why. `ids`: these messages of one app instead of what the filter lets through;
    `include`: those that quote them and go as well."""

    criteria: Filter
    ids: tuple[str, ...] | None
    include: tuple[str, ...]
    case_id: str
    reason: str


class ErasureAsked(NamedTuple):
    """A request that was made. `left`: what quotes these messages, and stays; `quarantined`: records that have an id
    of them, None where this login cannot see; `unarchived`: ids that the archive does not have."""

    request: Made
    messages: int
    included: int
    unarchived: int
    left: Sequence[Mention]
    quarantined: int | None
    exports: Sequence[ExportOf]


def ask(store: Store, wish: ErasureWish, asker: Asker) -> ErasureAsked:
    """Ask for an erasure. Raises UsageError where nothing is there to be erased, and for what is included without
    quoting anything."""
    proposal, asked = propose(store, wish)
    return asked._replace(request=proposals.make(store, proposal, asker))


def propose(store: Store, wish: ErasureWish) -> tuple[Proposal, ErasureAsked]:
    """What an erasure comes to, and what is to be said of it, its request still to be made. Raises UsageError as
    `ask`."""
    with store.patient.read() as tx:
        demand_whole(tx)
        asked, unarchived = _asked(tx, wish)
        by_app = _by_app(asked)
        quoting = [one for app_id, ids in by_app.items() for one in mentions.find(tx, app_id, ids)]
        included = _included(quoting, wish.include)
        items = [*asked, *included]
        exports = erasures.exports_of(tx, items)
        quarantined = _quarantined(tx, by_app)
        names = erasures.app_names(tx)
        effect = _effect(tx, _by_app(items))
    chosen = {one[:2] for one in included}
    left = [one for one in quoting if one[:2] not in chosen]
    body = _body(wish, items, left, exports, quarantined) | effect
    body["apps"] = [names[app_id] for app_id in by_app]
    proposal = Proposal(ERASE, body, _wished(wish), items)
    return proposal, ErasureAsked(Made(0), len(asked), len(included), unarchived, left, quarantined, exports)


def _effect(tx: Tx, by_app: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """From when to when the messages are stamped, and which holds keep how many of them now."""
    stamps = [ms for app_id, ids in by_app.items() for ms in counting.limits(tx, app_id, ids)]
    held = [one for app_id, ids in by_app.items() for one in holds.held_by(tx, app_id, ids)]
    counts = [one._asdict() for one in held]
    return {"first_ms": min(stamps, default=None), "last_ms": max(stamps, default=None), "held": counts}


def _wished(wish: ErasureWish) -> dict[str, Any]:
    listed = None if wish.ids is None else list(wish.ids)
    more = {"ids": listed, "include": list(wish.include), "case": wish.case_id, "reason": wish.reason}
    return {"filter": _options(wish.criteria), **more}


def _options(criteria: Filter) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value
            for name, value in filters.asked_for(criteria).items()}  # fmt: skip


def _asked(tx: Tx, wish: ErasureWish) -> tuple[list[RequestItem], int]:
    """What is asked for, and how many ids the archive does not have."""
    if wish.ids is None:
        if not filters.asked_for(wish.criteria):
            raise UsageError("this would erase everything; say which messages", hint="--sender USER, --ids FILE")
        asked, unarchived = erasures.chosen(tx, wish.criteria), 0
    else:
        app_ids = filters.resolve(tx, wish.criteria).app_ids or []
        if len(app_ids) != 1:
            raise UsageError("the ids of a list are those of one app", hint="--app org#app")
        known = erasures.there(tx, app_ids[0], wish.ids)
        asked = [RequestItem(app_ids[0], msg_id) for msg_id in sorted(known)]
        unarchived = len(set(wish.ids)) - len(known)
    if not asked:
        raise UsageError("the archive has no such message", hint="archiver search, with the same options")
    return asked, unarchived


def _included(quoting: Sequence[Mention], include: Sequence[str]) -> list[RequestItem]:
    ids = set(include)
    included = [RequestItem(one.app_id, one.msg_id, RELATED) for one in quoting if one.msg_id in ids]
    if strangers := ids - {one.msg_id for one in included}:
        text = f"--include: {len(strangers)} of these ids quote none of the messages"
        raise UsageError(text, hint="--ids FILE, for what is asked for itself")
    return included


def _by_app(items: Sequence[RequestItem]) -> dict[int, list[str]]:
    by_app: dict[int, list[str]] = {}
    for one in items:
        by_app.setdefault(one.app_id, []).append(one.msg_id)
    return by_app


def _quarantined(tx: Tx, by_app: Mapping[int, Sequence[str]]) -> int | None:
    if not erasures.may_read_quarantine(tx):
        return None
    return sum(len(erasures.naming(tx, app_id, ids)) for app_id, ids in by_app.items())


def _body(
    wish: ErasureWish,
    items: Sequence[RequestItem],
    left: Sequence[Mention],
    exports: Sequence[ExportOf],
    quarantined: int | None,
) -> dict[str, Any]:
    """What is decided on. Of what somebody wrote it has nothing but what the filter says."""
    lines = [one.line for one in items]
    options = _options(wish.criteria)
    return {
        "case": wish.case_id,
        "reason": wish.reason,
        "filter": options if wish.ids is None else {**options, "ids": len(wish.ids)},
        "asked": lines.count(ASKED),
        "related": lines.count(RELATED),
        "related_left": len(left),
        "related_left_ids": [one.msg_id for one in left[:_MOST_LEFT]],
        "quarantined": quarantined,
        "items_sha256": erasures.digest_of(items),
        "exports": [one._asdict() for one in exports],
    }


def find(store: Store, request: int) -> Asked:
    """A request to erase. Raises UsageError for one of another kind, and where its items are not what they were."""
    with store.patient.read() as tx:
        return known(tx, request)


def known(tx: Tx, request: int) -> Asked:
    """The same within a transaction."""
    rows = decisions.read(tx, request)
    if not rows or rows[0].kind not in (ERASE, REAPPLIED):
        raise UsageError(f"there is no request {request} to erase", hint="archiver requests list --all")
    (asked,) = rows
    same = erasures.digest_of(erasures.items(tx, request)) == asked.body.get("items_sha256")
    if not (same and decisions.is_as_it_was(tx, asked)):
        raise UsageError(f"request {request} is not what it was when it was made", hint="archiver evidence verify")
    return asked


def count(store: Store, request: int) -> ErasureCounts:
    """How many messages a request names, and how many of them are erased or sealed."""
    with store.patient.read() as tx:
        return erasures.counts(tx, request)


def shown(store: Store, request: int) -> Iterator[tuple[str, list[Archived]]]:
    """The messages of a request that are there, sealed ones as well, by app and in order of time."""
    with store.patient.read() as tx:
        listed = list(erasures.in_order(tx, request))
    for app_id, app, msg_ids in listed:
        for first in range(0, len(msg_ids), _AT_ONCE):
            with store.patient.read() as tx:
                some = msg_ids[first : first + _AT_ONCE]
                left = erasures.there(tx, app_id, some)
                yield app, messages.fetch(tx, app_id, app, [one for one in some if one in left])
