"""What somebody asks to be exported, what must not change when that is resumed, and its filter in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from archiver.errors import UsageError
from archiver.export.wording import Wording
from archiver.store.read import filters
from archiver.store.read.filters import Filter, asked_for
from archiver.zones import Calendar, parse_zone


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for."""

    format: str
    output: Path
    criteria: Filter
    who: str
    case: str | None = None
    reason: str | None = None
    text: str | None = None
    """What `archiver search` would be asked for."""
    attachments: bool = False
    bom: bool = False
    calendar: Calendar = field(default_factory=Calendar)
    """Whose days and clocks people read; formats for machines stay with UTC."""
    single_file: bool = False
    language: str = "en"
    proofs: bool = False
    compress: str | None = None
    """"gzip" or "zstd"."""
    workers: int = 1
    """Processes that write days at the same time."""
    request_id: int | None = None
    """The request of two persons that it carries out."""

    def filter(self) -> dict[str, Any]:
        """What was chosen, as audit_log and the manifest say it: only what was asked for."""
        return asked_for(self.criteria, text=self.text)

    def header(self) -> dict[str, Any]:
        """What must be the same for an export to be resumed. What is as it always was is left out, so that an export
        that an earlier version began can be resumed."""
        options: dict[str, Any] = {"format": self.format, "bom": self.bom, "attachments": self.attachments}
        if self.calendar.zone is not UTC:
            options["zone"] = self.calendar.name
        if self.single_file:
            options["single_file"] = True
        if self.language != "en":
            options["language"] = self.language
        if self.proofs:
            options["proofs"] = True
        if self.compress is not None:
            options["compress"] = self.compress
        return {"journal": 1, **options, "filter": self.filter(), "case": self.case, "reason": self.reason}

    def subject(self) -> dict[str, Any]:
        """What somebody agrees to who approves it: all but the folder, as JSON has it."""
        return dict(json.loads(json.dumps(self.header())))

    def filter_in_words(self) -> list[str]:
        """The filter for people, a sentence per option: instants in UTC and in the zone."""
        return in_words(self.filter(), Wording(self.language, self.calendar))


def parsed(subject: Mapping[str, Any]) -> Request:
    """The request whose subject this is. Raises UsageError for what is none, down to its last key."""
    try:
        chosen = dict(subject["filter"])
        text = chosen.pop("text", None)
        request = Request(
            *(str(subject["format"]), Path(), filters.parsed(chosen), ""),
            *(subject["case"], subject["reason"], text, subject["attachments"], subject["bom"]),
            Calendar(parse_zone(str(subject.get("zone", "UTC")).removeprefix("UTC") or "UTC")),
            single_file="single_file" in subject,
            language=subject.get("language", "en"),
            proofs="proofs" in subject,
            compress=subject.get("compress"),
        )
        words = (request.case, request.reason, request.text, request.language, request.compress)
        is_right = all(word is None or filters.is_word(word) for word in words) and request.subject() == dict(subject)
    except (KeyError, ValueError, TypeError, AttributeError):
        is_right = False
    if not is_right:
        raise UsageError("this is no request for an export that a command or the page has made")
    return request


def in_words(options: Mapping[str, Any], wording: Wording) -> list[str]:
    """The options of a filter in words."""
    return [wording[f"filter_{name}"].format(_spoken(value, wording)) for name, value in options.items()]


def _spoken(value: object, wording: Wording) -> object:
    """Numbers in a filter are instants, lists are types."""
    if isinstance(value, int):
        return wording.at(value)
    return ", ".join(value) if isinstance(value, list | tuple) else value
