"""The fixed corpus: every record of tests/corpus/records.txt meets the fate that is written beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database


class Case(NamedTuple):
    name: str
    fate: str
    about: str
    raw: bytes


def _cases() -> list[Case]:
    lines = (Path(__file__).parents[1] / "corpus/records.txt").read_bytes().split(b"\n")[1:-1]
    found = []
    for head, raw in zip(lines[::2], lines[1::2], strict=True):
        name, fate, about = head.decode().split("\t")
        found.append(Case(json.loads(name), fate, about, raw))
    return found


CASES = _cases()


@pytest.mark.full
@pytest.mark.parametrize("source", ["cursor", "hourly"])
def test_each_record_of_the_corpus_meets_its_fate(
    database: Database,
    make_archive: MakeArchive,
    source: str,
) -> None:
    archive: Archive = make_archive(database, messages=0)
    if source == "hourly":
        archive.settings |= {"source": "hourly", "settle": "1h", "early": "off", "retention": "72h"}
    for number, case in enumerate(CASES):
        archive.server.add(case.raw, timestamp_ms=archive.server.start_ms + 1000 + number, visible_ms=0)
    assert archive("pull") == 0, archive.errors
    messages = {
        msg_id: (bytes(raw), bool(lossy))
        for msg_id, raw, lossy in database.rows("SELECT msg_id, raw, lossy FROM messages")
    }
    quarantined = {bytes(raw) for (raw,) in database.rows("SELECT raw FROM quarantine")}
    for case in CASES:
        if case.fate == "quarantine":
            assert case.name not in messages, case.about
            assert case.raw in quarantined or source == "hourly", case.about  # files have a form of their own
        else:
            raw, lossy = messages[case.name]
            assert lossy == (case.fate == "lossy"), case.about
            assert raw == case.raw or source == "hourly", case.about
    assert len(messages) + len(quarantined) == len(CASES)
    archive.check_sums()
