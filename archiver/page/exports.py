"""Exports: one is asked for with the form of a search, another person agrees, and the command makes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

from flask import Response, request

from archiver.errors import UsageError
from archiver.export import FOR_PEOPLE, FORMATS, TRANSLATED
from archiver.export.request import Request
from archiver.lifecycle import adopting, decisions, proposals
from archiver.lifecycle.proposals import Proposal
from archiver.page import forms
from archiver.page.context import asker, decides, demand_place, page, render, say, see, view, visitor
from archiver.page.searching import choices
from archiver.store.decisions import Asked
from archiver.store.read import filters, history
from archiver.store.schema import iso
from archiver.zones import Calendar

ROWS = 50


def show() -> Response:
    """The form, what waits, and what was taken."""
    return _page(200, {}, "")


def _page(status: int, form: Mapping[str, str], problem: str) -> Response:
    before = forms.number(request.args, "before")
    with page().store.read() as tx:
        rows = history.exports(tx, before, ROWS + 1)
    asked = [one for one in decisions.inbox(page().store) if one.kind == "export"]
    drafts = [one for one in adopting.everything(page().store) if one.kind == "export"]
    further = rows[ROWS - 1].id if len(rows) > ROWS else None
    row = visitor().row
    given = {"case": row.case_id or "", "reason": row.reason or "", **form}
    return render(
        *("exports.html", status),
        **choices(),
        formats=FORMATS,
        decides=decides(),
        drafts=drafts,
        requests=asked,
        rows=rows[:ROWS],
        further=further,
        form=given,
        problem=problem,
    )


def ask() -> Response:
    """Store the request; nothing is exported by that."""
    demand_place()
    form = {name: value for name, value in request.form.items() if name != "csrf"}
    try:
        asked = _asked(request.form)
        with page().store.read() as tx:
            filters.resolve(tx, asked.criteria)
        subject = asked.subject()
        number = proposals.make(page().store, Proposal("export", subject, subject), asker()).number
    except UsageError as error:
        return _page(400, form, forms.said(error))
    return see("request", number=number)


def _asked(form: Mapping[str, str]) -> Request:
    """As the command understands its options."""
    chosen = form.get("format", "")
    if chosen not in FORMATS:
        raise UsageError(say("Choose a format."))
    calendar = page().calendar if chosen in FOR_PEOPLE else Calendar()
    return Request(
        chosen,
        Path(),
        forms.criteria(form, page().calendar),
        visitor().row.who,
        case=forms.demanded(form, "case", say("Case id")),
        reason=forms.demanded(form, "reason", say("Reason")),
        text=forms.text(form, "words"),
        attachments=form.get("attachments") == "yes",
        calendar=calendar,
        language=view().language.name if chosen in TRANSLATED else "en",
    )


def command(asked: Asked) -> str:
    """The command that carries a request out, for a shell: the options are those of the request's body."""
    body: Mapping[str, Any] = asked.body
    words = ["archiver", "export", "--request", str(asked.id), "--output", f"export-{asked.id}", *_options(body)]
    return shlex.join(words)


def _options(body: Mapping[str, Any]) -> Iterator[str]:
    yield from ("--format", str(body.get("format", "")))
    for flag in ("bom", "attachments", "single_file", "proofs"):
        if body.get(flag):
            yield f"--{flag.replace('_', '-')}"
    for name, value in dict(body.get("filter", {})).items():
        option = {"types": "--type"}.get(name, f"--{name.removesuffix('_ms')}")
        for one in value if isinstance(value, list) else (value,):
            yield from (option, str(iso(one)) if isinstance(one, int) else str(one))
    for option in ("case", "reason", "language"):
        if body.get(option):
            yield from (f"--{option}", str(body[option]))
    zone = str(body.get("zone", UTC))
    if body.get("format") in FOR_PEOPLE:
        yield from ("--zone", zone.removeprefix("UTC") or "UTC")
    if body.get("format") in TRANSLATED and "language" not in body:
        yield from ("--language", "en")
