"""Drafts, adopted on the review page: what one comes to is measured anew, and whoever adopts it has seen just that.

A draft is a row that any officer may have added by SQL: nothing of it is taken over but its wish, piece by piece.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from archiver import entries
from archiver.errors import UsageError
from archiver.lifecycle import erasing, expiry, holds, proposals, reapplying, retention
from archiver.lifecycle.erasing import ErasureWish
from archiver.lifecycle.expiry import RunWish
from archiver.lifecycle.proposals import Asker, Proposal
from archiver.store import drafts, installation
from archiver.store.drafts import RequestDraft
from archiver.store.engine import Store, Tx
from archiver.store.erasures import ERASE, REAPPLIED
from archiver.store.read import filters

Wish = Mapping[str, Any]
Check = Callable[[Store, Wish], Mapping[str, Any]]
"""Gives the body that a wish comes to. Raises UsageError."""
_PASSING = ("archived",)
"""Figures of a body that grow while somebody reads them, and are about nothing that is decided."""


def everything(store: Store) -> list[RequestDraft]:
    """Drafts that wait, the latest first; none where requests are made by commands."""
    with store.read() as tx:
        return drafts.read(tx) if installation.decided_in(tx) == installation.PAGE else []


def find(store: Store, draft_id: int) -> RequestDraft:
    """A draft by its number. Raises UsageError where there is none."""
    with store.read() as tx:
        rows = drafts.read(tx, draft_id) if installation.decided_in(tx) == installation.PAGE else []
    if not rows:
        raise UsageError(f"there is no draft {draft_id}: it was adopted, or dropped", hint="archiver requests list")
    return rows[0]


def digest(kind: str, body: Mapping[str, Any]) -> str:
    """By what somebody is held to what he has seen. Raises ValueError for what canonical JSON has not."""
    lasting = {name: value for name, value in body.items() if name not in _PASSING}
    return hashlib.sha256(entries.canonical([kind, lasting])).hexdigest()


def propose(store: Store, draft: RequestDraft, others: Mapping[str, Check]) -> Proposal:
    """What a draft comes to now; `others`: of the kinds that are not of this room.

    Raises UsageError where it comes to nothing any more, and for a draft that no command can have stored.
    """
    wish = draft.wish
    if wish is None:
        raise _unreadable()
    if draft.kind in others:
        return Proposal(draft.kind, others[draft.kind](store, wish), wish)
    return _PROPOSE[draft.kind](store, wish)


def adopt(store: Store, draft: RequestDraft, proposal: Proposal, asker: Asker) -> int:
    """Make a draft a request of whoever adopts it; gives its number. Raises UsageError where somebody was first."""
    with store.write() as tx:
        _take(tx, draft, asker)
        return proposals.made(tx, proposal, asker, drafted_by=draft.who).number


def drop(store: Store, draft: RequestDraft, asker: Asker) -> None:
    """Take a draft away. Raises UsageError where somebody was first."""
    with store.write() as tx:
        _take(tx, draft, asker)


def _take(tx: Tx, draft: RequestDraft, asker: Asker) -> None:
    proposals.demand_place(tx, asker)
    if not drafts.take(tx, draft.id):
        raise UsageError(f"draft {draft.id} was adopted or dropped already", hint="archiver requests list")


def _erasure(store: Store, wish: Wish) -> Proposal:
    ids = None if wish.get("ids") is None else _texts(wish, "ids")
    criteria = filters.parsed(wish.get("filter"))
    wished = ErasureWish(criteria, ids, _texts(wish, "include"), _text(wish, "case"), _text(wish, "reason"))
    return erasing.propose(store, wished)[0]


def _run(store: Store, wish: Wish) -> Proposal:
    try:
        share = None if wish.get("max_share") is None else Decimal(_text(wish, "max_share"))
        today = None if wish.get("today") is None else date.fromisoformat(_text(wish, "today"))
    except (InvalidOperation, ValueError):
        raise _unreadable() from None
    if share is not None and not (share.is_finite() and 0 < share <= 1):
        raise _unreadable()
    return expiry.propose(store, RunWish(_text(wish, "app"), share, today))[0]


def _release(store: Store, wish: Wish) -> Proposal:
    hold = wish.get("hold")
    if type(hold) is not int or not 0 < hold < 2**53:
        raise _unreadable()
    with store.read() as tx:
        return holds.propose_release(tx, hold, _text(wish, "reason"))


def _shorter(store: Store, wish: Wish) -> Proposal:
    terms = wish.get("terms")
    if not isinstance(terms, dict) or not terms.keys() <= {"keep_at_least", "keep_at_most"}:
        raise _unreadable()
    wanted: dict[str, str | None] = {}
    for name, term in terms.items():
        wanted[name] = None if term is None else _term(terms, name)
    with store.read() as tx:
        return retention.propose_shorter(tx, _text(wish, "app"), wanted, _text(wish, "reason"))


def _term(terms: Mapping[str, Any], name: str) -> str:
    term = _text(terms, name)
    try:
        if retention.parse(term) == term:
            return term
    except ValueError:
        pass
    raise _unreadable()


def _again(store: Store, wish: Wish) -> Proposal:
    items = wish.get("items")
    if not isinstance(items, list) or not all(isinstance(one, list) and len(one) == 2 for one in items):
        raise _unreadable()
    named = [(_text({"app": app}, "app"), _text({"id": msg_id}, "id")) for app, msg_id in items]
    with store.read() as tx:
        return reapplying.propose(tx, named)


_PROPOSE: Mapping[str, Callable[[Store, Wish], Proposal]] = {
    ERASE: _erasure,
    REAPPLIED: _again,
    expiry.RETENTION: _run,
    holds.RELEASE: _release,
    retention.SHORTEN: _shorter,
}


def _text(wish: Wish, name: str) -> str:
    value = wish.get(name)
    if not isinstance(value, str) or not filters.is_word(value):
        raise _unreadable()
    return value


def _texts(wish: Wish, name: str) -> tuple[str, ...]:
    values = wish.get(name)
    if not isinstance(values, list) or not all(map(filters.is_word, values)):
        raise _unreadable()
    return tuple(values)


def _unreadable() -> UsageError:
    return UsageError("this draft cannot be read: no command has stored it so")
