"""What is handed out with proofs: a stranger's program accepts it, and refuses every change of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiver import merkle, notes, signing
from archiver.evidence import offline
from archiver.evidence.offline.folder import FolderCheck
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.authority import Authority
from tests.fixtures.databases import Database
from tests.fixtures.evidence import NAME

Json = dict[str, Any]


@pytest.fixture
def pulled(begun: Archive, place: Path) -> Archive:
    """Some messages, one of them with a revision, in small pages; anchored in a file."""
    begun.sections += f'[[evidence.anchors]]\nsink = "file"\npath = "{place}/notes"\n'
    begun.write_config(page_size=20)
    start_ms = begun.server.start_ms
    record = {"msg_id": "twice", "timestamp": start_ms + 7, "from": "a", "to": "b"}
    begun.server.add({**record, "payload": {"bodies": [{"type": "txt", "msg": "second"}]}}, visible_ms=0)
    assert begun("pull") == 0
    begun.server.add({**record, "payload": {"bodies": [{"type": "txt", "msg": "third"}]}}, visible_ms=0)
    assert begun("audit", "--from", str(start_ms), "--to", str(start_ms + 1000)) == 0, begun.errors
    return begun


def exported(archive: Archive, folder: Path, *options: str) -> Path:
    assert archive("export", "--format", "jsonl", "--proofs", "--output", str(folder), *options) == 0, archive.errors
    return folder


def verdict(folder: Path, vkey: Path | None = None, *anchors: Path, tsa_root: Path | None = None) -> int:
    key, root = (None if path is None else str(path) for path in (vkey, tsa_root))
    return FolderCheck(folder, key, [str(one) for one in anchors], root).run()


@pytest.mark.full
def test_an_export_is_verified_by_the_program_in_it(pulled: Archive, place: Path, tmp_path: Path) -> None:
    folder = exported(pulled, tmp_path / "out")
    program = [sys.executable, "-I", str(folder / "verify.py")]
    done = subprocess.run(
        [*program, "--vkey", place / "vkey", "--anchors", place / "notes"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    records = int(str(pulled.database.value("SELECT count(*) FROM messages")))
    records += int(str(pulled.database.value("SELECT count(*) FROM message_revisions")))
    assert f"{records} records are byte for byte what was sealed" in done.stdout
    assert "封存以来未变" in done.stdout
    assert "What this cannot know" in done.stdout
    assert "copies from outside: " in done.stdout
    assert "compare the key's fingerprint" not in done.stdout
    assert pulled("export", "verify", str(folder)) == 0
    (folder / "verify.py").write_text(offline.program() + "\n")
    assert subprocess.run(program, capture_output=True).returncode == 3, "the manifest knows the verifier, too"


@pytest.mark.full
def test_without_the_keepers_key_the_fingerprint_has_to_be_compared(
    pulled: Archive, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exported(pulled, tmp_path / "out")
    assert verdict(folder) == 0
    said = capsys.readouterr().out
    assert signing.load(place / "key").fingerprint in said
    assert "internal audit" in said


@pytest.mark.full
def test_another_key_is_not_believed(pulled: Archive, place: Path, tmp_path: Path) -> None:
    folder = exported(pulled, tmp_path / "out")
    (place / "other").write_text(notes.vkey(NAME, signing.from_seed(bytes(32)).public))
    assert verdict(folder, place / "other") == 3
    (place / "ended").write_text((place / "vkey").read_text().strip() + " until 1\n")
    assert verdict(folder, place / "ended") == 3


def lines_of(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, lines: list[Json]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines))


def changed(name: str, change: Callable[[list[Json]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = min(folder.glob(name))
        lines = lines_of(path)
        change(lines)
        write_lines(path, lines)

    return apply


def flipped(text: str) -> str:
    return ("B" if text[0] == "A" else "A") + text[1:]


def set_in(line: Json, **values: object) -> None:
    line.update(values)


def _promote(lines: list[Json]) -> None:
    message = next(line for line in lines if line["revisions"])
    message["raw"], message["revisions"][0]["raw"] = message["revisions"][0]["raw"], message["raw"]


def _unsigned(text: str) -> str:
    return text[:-8] + flipped(text[-8:])


def _larger(text: str) -> str:
    origin, size, rest = text.split("\n", 2)
    return f"{origin}\n{int(size) - 1}\n{rest}"


def _replace(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def _link(path: Path) -> None:
    target = path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(target)


MESSAGES, PROOFS, ENTRIES, ANCHORS = (
    "messages/*/*/*.jsonl", "proofs.jsonl", "ledger/entries.jsonl", "anchors/checkpoints.jsonl"
)  # fmt: skip
TAMPERED: dict[str, Callable[[Path], object]] = {
    "a record's byte": changed(MESSAGES, lambda lines: set_in(lines[3], raw=lines[3]["raw"].replace("1", "2", 1))),
    "a message left out": changed(MESSAGES, lambda lines: lines.pop(3)),
    "a message added": changed(MESSAGES, lambda lines: lines.append(lines[3])),
    "two messages swapped": changed(MESSAGES, lambda lines: lines.insert(0, lines.pop())),
    "another id": changed(MESSAGES, lambda lines: set_in(lines[3], msg_id="other")),
    "a revision as the first copy": changed(MESSAGES, _promote),
    "a proof left out": changed(PROOFS, lambda lines: lines.pop()),
    "a proof too many": changed(PROOFS, lambda lines: lines.append(lines[0])),
    "another salt": changed(PROOFS, lambda lines: set_in(lines[3], salt=flipped(lines[3]["salt"]))),
    "another path": changed(PROOFS, lambda lines: set_in(lines[3], path=[flipped(one) for one in lines[3]["path"]])),
    "another position": changed(PROOFS, lambda lines: set_in(lines[3], position=lines[3]["position"] + 1)),
    "another leaf": changed(PROOFS, lambda lines: set_in(lines[3], leaf=lines[3]["leaf"] ^ 1)),
    "another fate": changed(PROOFS, lambda lines: set_in(lines[3], fate="c")),
    "another page": changed(PROOFS, lambda lines: set_in(lines[3], page=lines[3]["page"] + 1)),
    "an unknown entry": changed(PROOFS, lambda lines: set_in(lines[3], entry=9999)),
    "a proof that says it is missing": changed(PROOFS, lambda lines: set_in(lines[3], missing="lost")),
    "an entry's text": changed(ENTRIES, lambda lines: set_in(lines[-1], entry=lines[-1]["entry"][:-1] + " }")),
    "an entry's place": changed(ENTRIES, lambda lines: set_in(lines[-1], index=lines[-1]["index"] + 1)),
    "an entry left out": changed(ENTRIES, lambda lines: lines.pop()),
    "no start": changed(ENTRIES, lambda lines: lines.pop(0)),
    "the note's size": lambda folder: _replace(folder / "ledger/note", _larger),
    "the note's signature": lambda folder: _replace(folder / "ledger/note", _unsigned),
    "no note": lambda folder: (folder / "ledger/note").write_text(""),
    "a checkpoint of another ledger": changed(ANCHORS, lambda lines: set_in(lines[0], note=_larger(lines[0]["note"]))),
    "a path outside of the folder": lambda folder: _replace(
        folder / "manifest.json", lambda text: text.replace('"path": "proofs.jsonl"', '"path": "../notes"')
    ),
    "a link": lambda folder: _link(folder / "proofs.jsonl"),
    "what is no JSON": lambda folder: (folder / "proofs.jsonl").write_text("[" * 100_000),
}  # fmt: skip


@pytest.mark.full
def test_every_tampering_with_an_export_is_named(
    pulled: Archive, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the manifest's help: a forger writes a new one."""
    folder = exported(pulled, tmp_path / "out")
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    unseen = []
    for name, tamper in TAMPERED.items():
        tamper(folder)
        check = FolderCheck(folder, str(place / "vkey"), [], None)
        check.files = lambda check=check, folder=folder: check.__dict__.update(  # type: ignore[method-assign, misc]
            manifest=json.loads((folder / "manifest.json").read_text())
        )
        if check.run() != 3 and name != "a path outside of the folder":
            unseen.append(name)
        if verdict(folder, place / "vkey") != 3:
            unseen.append(f"{name}, with the manifest")
        capsys.readouterr()
        for path, content in whole.items():
            path.unlink(missing_ok=True)
            path.write_bytes(content)
    assert unseen == []
    assert verdict(folder, place / "vkey") == 0


@pytest.mark.full
def test_a_record_changed_in_the_database_is_exported_without_a_proof(pulled: Archive, tmp_path: Path) -> None:
    where = "msg_id = (SELECT min(msg_id) FROM messages)"
    pulled.database.alter(f"UPDATE messages SET position = position + 500 WHERE {where}")
    assert pulled("export", "--format", "jsonl", "--proofs", "--output", str(tmp_path / "out")) == 3
    assert "are not as they were sealed" in pulled.errors
    assert verdict(tmp_path / "out") == 3


@pytest.mark.full
def test_what_is_not_signed_yet_has_no_proof_and_is_no_difference(
    pulled: Archive, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pulled.database.run("DELETE FROM checkpoints WHERE size > (SELECT min(size) FROM checkpoints)")
    pulled.database.run("DELETE FROM anchorings")
    folder = exported(pulled, tmp_path / "out")
    assert verdict(folder, place / "vkey") == 0
    assert "were not sealed or signed yet" in capsys.readouterr().out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["proofs"]["not_signed"] > 0
    assert manifest["proofs"]["records"] == 0


@pytest.mark.full
def test_time_stamps_go_along_and_are_verified_by_openssl(
    pulled: Archive, place: Path, tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    pulled.sections += (
        f'[[evidence.anchors]]\nsink = "rfc3161"\nurl = "{authority.url}"\nroot_file = "{authority.root_file}"\n'
    )
    pulled.write_config(page_size=20)
    assert pulled("evidence", "seal") == 0
    folder = exported(pulled, tmp_path / "out")
    assert verdict(folder, place / "vkey", tsa_root=authority.root_file) == 0
    assert "by an authority's time stamp" in capsys.readouterr().out
    (token,) = (folder / "anchors/tokens").iterdir()
    token.write_bytes(token.read_bytes()[:-20] + bytes(20))
    assert verdict(folder, place / "vkey", tsa_root=authority.root_file) == 3


@pytest.mark.full
def test_a_copy_of_a_checkpoint_that_differs_is_named(pulled: Archive, place: Path, tmp_path: Path) -> None:
    folder = exported(pulled, tmp_path / "out")
    key = signing.load(place / "key")
    known = notes.parse((folder / "ledger/note").read_bytes()).note
    forged = notes.sign(notes.Note(NAME, known.size, bytes(32)), [(key.public, key.sign)])
    (place / "chat").write_text(f"Robot 10:00\n{forged.decode()}")
    assert verdict(folder, place / "vkey", place / "chat") == 3


def test_the_proof_of_one_message_is_a_folder_of_its_own(pulled: Archive, place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "proof"
    assert pulled("evidence", "proof", "twice", "--output", str(folder)) == 0, pulled.errors
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["0.entry", "0.tlog-proof", "1.entry", "1.tlog-proof", "note", "record.json", "verify.py"]
    assert verdict(folder, place / "vkey") == 0
    for number in (0, 1):
        proof = notes.parse_proof((folder / f"{number}.tlog-proof").read_bytes())
        leaf = merkle.leaf_hash((folder / f"{number}.entry").read_bytes())
        assert merkle.root_from_path(leaf, proof.index, proof.note.note.size, proof.path) == proof.note.note.root
    record = json.loads((folder / "record.json").read_text())
    record["records"][0]["raw"] = record["records"][0]["raw"].replace("second", "forged")
    (folder / "record.json").write_text(json.dumps(record))
    assert verdict(folder, place / "vkey") == 3


@pytest.mark.full
def test_a_proof_that_cannot_be_made_says_why(pulled: Archive, tmp_path: Path) -> None:
    out = str(tmp_path / "proof")
    assert pulled("evidence", "proof", "nothing", "--output", out) == 3
    assert "no message of this id" in pulled.errors
    pulled.database.run("DELETE FROM seals")
    assert pulled("evidence", "proof", "twice", "--output", out) == 3
    assert "not sealed yet" in pulled.errors
    assert not Path(out).exists()


def test_proofs_are_for_records_and_for_archives_with_a_ledger(begun: Archive, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert begun("pull") == 0
    assert begun("export", "--format", "csv", "--proofs", "--output", out) == 2
    assert "--proofs is for --format jsonl" in begun.errors
    begun.database.run("DELETE FROM ledger_head")
    begun.sections = ""
    begun.write_config()
    assert begun("export", "--format", "jsonl", "--proofs", "--output", out) == 2
    assert "the archive has no ledger" in begun.errors


@pytest.mark.full
def test_what_a_baseline_sealed_is_proved_from_then_on_and_said_so(
    database: Database, make_archive: MakeArchive, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(database, messages=60)
    assert archive("pull") == 0
    archive.sections = f'[evidence]\nname = "{NAME}"\nkey_file = "{place}/key"\nstate_file = "{place}/state"\n'
    archive.write_config()
    assert archive("evidence", "init", "--keeper", "internal audit", "--output", str(place / "vkey")) == 0
    before = json.loads((exported(archive, tmp_path / "before") / "manifest.json").read_text())["proofs"]
    assert (before["records"], before["not_sealed"]) == (0, 60)
    assert archive("evidence", "baseline") == 0, archive.errors
    assert archive("evidence", "seal") == 0
    folder = exported(archive, tmp_path / "after")
    assert verdict(folder, place / "vkey") == 0
    assert "60 of them were sealed by a baseline, after they were stored" in capsys.readouterr().out
