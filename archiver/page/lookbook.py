"""Who looked at what: for auditors. What they ask for stands in no address, as names of people are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from flask import Response, request

from archiver.lifecycle import decisions
from archiver.page import forms
from archiver.page.context import ReviewPage, open_look, page, render
from archiver.page.viewings import LookAnswer
from archiver.store.read import history

ROWS = 200


def show() -> Response:
    """The forms, the latest looks, decisions and verifications."""
    before = forms.number(request.args, "before")
    with page().store.read() as tx:
        rows = history.looks_for(tx, None, before, ROWS + 1)
        verified = history.verified(tx, 20)
    further = rows[ROWS - 1].id if len(rows) > ROWS else None
    decided = decisions.inbox(page().store, everything=True)[:ROWS]
    return render("looks.html", rows=rows[:ROWS], further=further, verified=verified, requests=decided)


@dataclass(frozen=True, slots=True)
class LooksQuestion:
    """Who looked at somebody, what somebody looked at, or what was looked at for a case. It shows no message."""

    by: Literal["person", "officer", "case"]
    name: str | None
    before: int | None = None
    action: ClassVar[None] = None
    template: ClassVar[str] = "looked.html"
    number: ClassVar[int] = 1

    def asked(self) -> dict[str, Any]:
        return {}

    def read(self, place: ReviewPage) -> LookAnswer:
        rows: list[Any]
        with place.store.read() as tx:
            if self.by == "officer":
                rows = list(history.looks_of(tx, self.name, ROWS + 1))
            elif self.by == "case":
                rows = list(history.looks_for(tx, self.name, self.before, ROWS + 1))
            else:
                conversation = self.name if self.name and "|" in self.name else None
                person = self.name if conversation is None else None
                rows = list(history.looks_at(tx, person, conversation, self.before, ROWS + 1))
        return LookAnswer((rows[:ROWS], len(rows) > ROWS), 0)


def find() -> Response:
    """Answer one of the three questions."""
    by = request.form.get("by", "")
    known: dict[str, Literal["person", "officer", "case"]] = {"officer": "officer", "case": "case"}
    before = forms.number(request.form, "before")
    return open_look(LooksQuestion(known.get(by, "person"), forms.text(request.form, "name"), before))
