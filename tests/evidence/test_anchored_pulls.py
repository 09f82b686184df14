"""Pulls of an archive whose checkpoints are anchored: what sinks receive, and what their failures never change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archiver import notes, signing
from archiver.evidence.anchors import rfc3161
from tests.fixtures.archive import Archive
from tests.fixtures.authority import Authority
from tests.fixtures.evidence import NAME
from tests.fixtures.http import Scripted

TAKEN = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"errcode":0}'


def anchored_in(archive: Archive, *sinks: str) -> None:
    archive.sections += "".join(f"[[evidence.anchors]]\n{sink}\n" for sink in sinks)
    archive.write_config()


def outcomes(archive: Archive) -> dict[str, str]:
    rows = archive.database.rows("SELECT sink, outcome FROM anchorings WHERE sink <> 'signing' ORDER BY id")
    return {str(row[0]).partition(":")[0]: str(row[1]) for row in rows}


@pytest.mark.full
def test_a_pull_gives_its_checkpoint_to_every_kind_of_sink(
    begun: Archive, place: Path, server: Scripted, authority: Authority
) -> None:
    server.script = [TAKEN]
    (place / "hook").write_text(f"http://127.0.0.1:{server.port}/robot?key=t0k3n")
    (place / "hook").chmod(0o400)
    anchored_in(
        begun,
        f'sink = "file"\npath = "{place}/notes"',
        f'sink = "webhook"\nform = "wecom"\nwebhook_file = "{place}/hook"',
        f'sink = "rfc3161"\nurl = "{authority.url}"\nroot_file = "{authority.root_file}"',
    )
    assert begun("pull") == 0
    assert outcomes(begun) == dict.fromkeys(("file", "webhook", "rfc3161"), "anchored")
    newest = str(begun.database.value("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1"))
    in_file = [one.data.decode() for one in notes.find((place / "notes").read_text())]
    in_chat = json.loads(server.asked[0].partition(b"\r\n\r\n")[2])["text"]["content"]
    assert in_file[-1] == in_chat == newest
    (token,) = begun.database.rows("SELECT proof FROM anchorings WHERE proof IS NOT NULL")[0]
    assert rfc3161.judge(bytes(token), newest.encode(), str(authority.root_file)).problem is None
    key = signing.load(place / "key")
    assert notes.verify(notes.parse(newest.encode()), [key.public]) == [key.public]
    begun("status", "--format", "json")
    anchors = json.loads(begun.output)["evidence"]["anchors"]
    assert [anchor["sink"].partition(":")[0] for anchor in anchors] == ["file", "webhook", "rfc3161"]
    assert {anchor["size"] for anchor in anchors} == {notes.parse(newest.encode()).note.size}


@pytest.mark.full
def test_sinks_that_fail_change_no_exit_code_and_alarm(
    begun: Archive, place: Path, server: Scripted, authority: Authority
) -> None:
    server.script = [b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]
    authority.lie = b"<html>no token</html>"
    (place / "hook").write_text(f"http://127.0.0.1:{server.port}/robot?key=t0k3n")
    (place / "hook").chmod(0o400)
    anchored_in(
        begun,
        'sink = "file"\npath = "/nowhere/notes"',
        f'sink = "webhook"\nwebhook_file = "{place}/hook"',
        f'sink = "rfc3161"\nurl = "{authority.url}"\nroot_file = "{authority.root_file}"',
    )
    assert begun("pull") == 0
    assert outcomes(begun) == {"file": "failed", "webhook": "failed", "rfc3161": "unverified"}
    assert begun.database.value("SELECT count(*) FROM anchorings WHERE proof IS NOT NULL") == 1
    assert "t0k3n" not in begun.errors + str(begun.database.rows("SELECT reason FROM anchorings"))
    assert begun("evidence", "seal") == 75


@pytest.mark.full
def test_a_sink_that_works_again_catches_up_alone(begun: Archive, place: Path) -> None:
    anchored_in(begun, f'sink = "file"\npath = "{place}/mount/notes"')
    assert begun("pull") == 0
    assert outcomes(begun) == {"file": "failed"}
    (place / "mount").mkdir()
    assert begun("pull") == 0
    assert outcomes(begun) == {"file": "anchored"}
    newest = str(begun.database.value("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1"))
    assert [one.data.decode() for one in notes.find((place / "mount/notes").read_text())] == [newest]


@pytest.mark.full
def test_a_note_in_a_sink_that_this_ledger_does_not_bear_out_stops_signatures(begun: Archive, place: Path) -> None:
    """The state file was restored with the database; the sink was not."""
    anchored_in(begun, f'sink = "file"\npath = "{place}/notes"')
    assert begun("pull") == 0
    key = signing.load(place / "key")
    ahead = notes.sign(notes.Note(NAME, 5000, bytes(32)), [(key.public, key.sign)])
    with (place / "notes").open("ab") as file:
        file.write(b"\n" + ahead)
    assert begun("evidence", "seal") == 75
    assert "a checkpoint of 5000 is known" in begun.errors
    assert begun("pull") == 0


@pytest.mark.full
def test_a_readable_sink_stands_in_for_a_lost_state_file(begun: Archive, place: Path) -> None:
    anchored_in(begun, f'sink = "file"\npath = "{place}/notes"')
    assert begun("pull") == 0
    before = begun.database.value("SELECT count(*) FROM checkpoints")
    (place / "state").unlink()
    assert begun("export", "--format", "jsonl", "--output", str(place / "out")) == 0
    assert begun("evidence", "seal") == 0
    assert int(str(begun.database.value("SELECT count(*) FROM checkpoints"))) > int(str(before))


@pytest.mark.full
def test_a_command_without_secrets_leaves_out_the_chats_whose_address_it_may_not_read(
    begun: Archive, place: Path
) -> None:
    (place / "hook").write_text("http://127.0.0.1:9/robot?key=t0k3n")
    (place / "hook").chmod(0o400)
    anchored_in(begun, f'sink = "webhook"\nwebhook_file = "{place}/hook"', f'sink = "file"\npath = "{place}/notes"')
    (place / "hook").unlink()
    assert begun("pull") == 2
    assert begun("quarantine", "requeue") == 0
    assert outcomes(begun) == {"file": "anchored"}
