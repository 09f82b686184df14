"""Drafts that commands have stored: what one would do, measured anew, and adopted as it was seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from werkzeug.exceptions import NotFound

from archiver.errors import UsageError
from archiver.export import FORMATS
from archiver.export.request import parsed
from archiver.lifecycle import adopting
from archiver.page import effects, facts, forms
from archiver.page.context import asker, decides, page, render, say, see
from archiver.store.drafts import RequestDraft
from archiver.store.engine import Store
from archiver.store.read import filters


def show(number: int) -> Response:
    """What a draft would do, as it was counted when it was stored."""
    draft = _known(number)
    return _page(200, draft, draft.would, "")


def _known(number: int) -> RequestDraft:
    if not decides():
        raise NotFound
    try:
        return adopting.find(page().store, number)
    except UsageError as error:
        forms.said(error)
        raise NotFound from None


def _page(status: int, draft: RequestDraft, would: Mapping[str, Any] | None, problem: str) -> Response:
    seen = None if would is None else _digest(draft.kind, would)
    return render(
        *("draft.html", status),
        draft=draft,
        seen=seen,
        facts=facts.of(would or {}),
        now=effects.now(draft.kind, would or {}),
        problem=problem or ("" if seen is not None else say("This draft cannot be read: no command has stored it so.")),
    )


def _digest(kind: str, would: Mapping[str, Any]) -> str | None:
    try:
        return adopting.digest(kind, would)
    except (ValueError, RecursionError):  # numbers and keys that no command writes
        return None


def settle(number: int) -> Response:
    """Adopt exactly what was seen, or drop it."""
    draft = _known(number)
    act = request.form.get("act", "")
    try:
        if act == "drop":
            adopting.drop(page().store, draft, asker())
            return see("lifecycle" if page().settings.lifecycle else "exports")
        if act != "adopt":
            return _page(400, draft, draft.would, say("Choose what to do."))
        proposal = adopting.propose(page().measuring, draft, _CHECKS)
        if adopting.digest(draft.kind, proposal.body) != request.form.get("seen"):
            text = say("This is not what the draft comes to now. Look at it again.")
            return _page(400, draft, proposal.body, text)
        return see("request", number=adopting.adopt(page().measuring, draft, proposal, asker()))
    except UsageError as error:
        return _page(400, draft, draft.would, forms.said(error))


def _export(store: Store, wish: Mapping[str, Any]) -> Mapping[str, Any]:
    asked = parsed(wish)
    if asked.format not in FORMATS:
        raise UsageError(say("Choose a format."))
    with store.read() as tx:
        filters.resolve(tx, asked.criteria)
    return asked.subject()


def _acceptance(store: Store, wish: Mapping[str, Any]) -> Mapping[str, Any]:
    from_ms, to_ms, app = wish.get("from_ms"), wish.get("to_ms"), wish.get("app")
    instants = [value for value in (from_ms, to_ms) if type(value) is int]
    is_right = len(instants) == 2 and 0 <= instants[0] < instants[1] < 2**53
    is_right = is_right and filters.is_word(wish.get("reason")) and (app is None or filters.is_word(app))
    if not is_right or wish.keys() != {"from_ms", "to_ms", "reason", "app"}:
        raise UsageError(say("This draft cannot be read: no command has stored it so."))
    if app is not None:
        with store.read() as tx:
            filters.app_ids(tx, app)
    return wish


def _rotation(_: Store, wish: Mapping[str, Any]) -> Mapping[str, Any]:
    to, finish = wish.get("to"), wish.get("finish")
    is_right = (finish is True and to is None) or (finish is False and filters.is_word(to))
    if not is_right or wish.keys() != {"to", "finish"}:
        raise UsageError(say("This draft cannot be read: no command has stored it so."))
    return wish


_CHECKS = {"export": _export, "accept": _acceptance, "rotate": _rotation}
"""What of a wish is asked for, of the kinds that commands carry out themselves."""
