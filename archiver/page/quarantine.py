"""Records that could not be read: the list with reasons, which quote nothing; and for auditors the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from flask import Response, request

from archiver import review
from archiver.page import forms
from archiver.page.context import ReviewPage, open_look, page, render
from archiver.page.viewings import LookAnswer
from archiver.store import quarantine

ROWS = 100


def show() -> Response:
    """The next records that wait, or all of them."""
    after, everything = forms.number(request.args, "after") or 0, request.args.get("all") == "yes"
    with page().store.read() as tx:
        entries = quarantine.entries(tx, unresolved=not everything, after=max(0, after), most=ROWS + 1)
    further = entries[ROWS - 1].id if len(entries) > ROWS else None
    return render("quarantine.html", entries=entries[:ROWS], further=further, everything=everything)


@dataclass(frozen=True, slots=True)
class QuarantineLook:
    """The bytes of one record."""

    id: int
    action: ClassVar[str] = "quarantine"
    template: ClassVar[str] = "quarantined.html"
    number: ClassVar[int] = 1

    def asked(self) -> dict[str, Any]:
        return {"id": self.id}

    def read(self, place: ReviewPage) -> LookAnswer:
        (entry,) = review.quarantined(place.store, [self.id], unresolved=False)
        return LookAnswer(entry, 1)


def open_record(number: int) -> Response:
    """One record, byte for byte."""
    return open_look(QuarantineLook(number))
