"""The statement of completeness as labelled lines, for a sheet of a workbook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from archiver.export.wording import Wording

_Line = tuple[str, str | None]


def lines(head: Mapping[str, Any], counts: Mapping[str, int], wording: Wording) -> Iterator[_Line]:
    """What was exported by whom, the claim of every source with its holes; a heading has no value."""
    yield wording["statement"], None
    yield wording["of_workbooks"], f"{head['counts']['messages']:,}"
    for key, count in counts.items():
        yield wording[key], f"{count:,}"
    yield wording["snapshot_at"], wording.instant(head["snapshot_at"])
    yield wording["zone"], head["zone"]
    for key in ("who", "program", "case", "reason", "export_id"):
        if head[key]:
            yield wording[key], str(head[key])
    for sentence in head["filter_in_words"] or [wording["everything"]]:
        yield wording["filter"], sentence
    for line in head["gaps"]:
        yield wording["gaps"], line
    for claim in head["claims"]:
        yield from _claim(claim, wording)


def _claim(claim: Mapping[str, Any], wording: Wording) -> Iterator[_Line]:
    yield f"{claim['app']} ({claim['source']})", None
    yield wording["statement"], claim["words"]
    for key in ("complete_from", "complete_until"):
        yield wording[key], wording.instant(claim[key])
    yield wording["audited_until"], wording.at(claim["audited_until_ms"])
    for key in ("late_arrivals", "quarantined"):
        yield wording[key], f"{claim[key]:,}"
    for hole in claim["holes"]:
        ends = (wording.instant(hole[end]) for end in ("lo", "hi"))
        yield wording["hole"], wording["hole_of"].format(*ends, hole["state"], wording.why(hole))
    if not claim["holes"]:
        yield wording["hole"], wording["no_holes"]
