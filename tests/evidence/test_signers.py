"""Two programs with one key, as a CronJob beside a Deployment: with a sink to read they take turns, else say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from archiver import notes
from archiver.store import owner
from tests.fixtures.archive import Archive

pytestmark = pytest.mark.full
DEPLOYMENT, CRONJOB = "pod-a boot-1 pid:[1]", "pod-b boot-2 pid:[2]"
LONG_AGO = "'2020-01-01T00:00:00.000Z'"
_numbers = count()
As = Callable[[str], None]


@pytest.fixture
def working_as(monkeypatch: pytest.MonkeyPatch) -> As:
    """Whom this process says to be."""
    return lambda place: monkeypatch.setattr(owner, "place", lambda: place)


def signed_by(archive: Archive, place: str) -> None:
    """The ledger was begun by this one."""
    archive.database.run(f"UPDATE ledger_head SET signer = '{place}'")


def something_new(archive: Archive) -> None:
    """An export, whose rows wait for their place."""
    folder = archive.config.parent / f"out{next(_numbers)}"
    assert archive("export", "--format", "jsonl", "--output", str(folder)) == 0


def signer(archive: Archive) -> str:
    return str(archive.database.value("SELECT signer FROM ledger_head"))


def signed(archive: Archive) -> int:
    return archive.count("checkpoints")


def alarms(archive: Archive) -> str:
    archive("status", "--format", "prometheus")
    return "".join(line for line in archive.output.splitlines() if line.startswith("archiver_evidence_problem{"))


def test_with_a_sink_to_read_both_sign_one_ledger_in_turns(begun: Archive, place: Path, working_as: As) -> None:
    """The state of the CronJob is lost with each of its pods."""
    begun.sections += f'[[evidence.anchors]]\nsink = "file"\npath = "{place}/notes"\n'
    begun.write_config()
    stateless = begun.sections.replace(f"{place}/state", f"{place}/empty/state")
    kept = begun.sections
    for turn in range(6):
        name = (DEPLOYMENT, CRONJOB)[turn % 2]
        working_as(name)
        begun.sections = (kept, stateless)[turn % 2]
        begun.write_config()
        (place / "empty/state").unlink(missing_ok=True)
        something_new(begun)
        before = signed(begun)
        assert begun("pull") == 0, begun.errors
        assert signed(begun) == before + 1, begun.errors
        assert signer(begun) == name
    assert "ArchiverTwoSigners" not in alarms(begun)
    assert begun("evidence", "seal") == 0
    anchored = [one.note.size for one in notes.find((place / "notes").read_text())]
    assert anchored[-1] == begun.database.value("SELECT size FROM ledger_head")
    assert begun("evidence", "verify") == 0, begun.output


def test_without_one_the_second_signer_stops_and_says_so(begun: Archive, place: Path, working_as: As) -> None:
    working_as(DEPLOYMENT)
    signed_by(begun, DEPLOYMENT)
    assert begun("pull") == 0
    before = signed(begun)
    working_as(CRONJOB)
    something_new(begun)
    assert begun("pull") == 0, "pulls go on, with their exit codes"
    assert begun("evidence", "seal") == 75
    assert "another host signed a moment ago" in begun.errors
    assert signed(begun) == before
    assert "ArchiverTwoSigners" in alarms(begun)
    working_as(DEPLOYMENT)
    assert begun("evidence", "seal") == 0, begun.errors
    assert (signed(begun), signer(begun)) == (before + 1, DEPLOYMENT)
    assert "ArchiverTwoSigners" in alarms(begun), "for ten minutes more, so that somebody hears of it"
    begun.database.alter(f"UPDATE anchorings SET at = {LONG_AGO} WHERE outcome = 'two signers'")
    assert "ArchiverTwoSigners" not in alarms(begun)
    working_as(CRONJOB)
    begun.sections = begun.sections.replace("[evidence]\n", "[evidence]\npublish = false\n")
    begun.write_config()
    something_new(begun)
    assert begun("pull") == 0
    assert begun("evidence", "seal") == 0, "it only gives entries their places"
    assert signed(begun) == before + 1
    assert "ArchiverTwoSigners" not in alarms(begun)
    assert begun("evidence", "verify") == 0


def test_a_host_that_takes_over_signs_after_five_minutes(begun: Archive, place: Path, working_as: As) -> None:
    working_as(DEPLOYMENT)
    signed_by(begun, DEPLOYMENT)
    assert begun("pull") == 0
    begun.database.run(f"UPDATE ledger_head SET signed_at = {LONG_AGO}")
    working_as(CRONJOB)
    something_new(begun)
    assert begun("evidence", "seal") == 0, begun.errors
    assert signer(begun) == CRONJOB
    assert json.loads((place / "state").read_text())["size"] == begun.database.value("SELECT size FROM ledger_head")
