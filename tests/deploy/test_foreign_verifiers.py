"""Proofs of ours before other people's verifiers: Go's packages for checksum databases."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from archiver import entries, merkle, notes, signing
from tests.fixtures.archive import Archive

PROGRAM = Path(__file__).parents[2] / "docs/verify-proof.go"
PACKAGES = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog")
NAME, KEY = "archive.example.com/acme", signing.from_seed(bytes(range(32)))
SIZE = 5000

pytestmark = pytest.mark.deploy


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documented program, compiled."""
    if shutil.which("go") is None or not PACKAGES.exists():
        pytest.skip("Go is absent: apt-get install golang-go golang-golang-x-mod-dev")
    binary = tmp_path_factory.mktemp("go") / "verify-proof"
    environ = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(binary.parent / "c")}
    subprocess.run(["go", "build", "-o", str(binary), str(PROGRAM)], env=environ, check=True)
    return binary


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a vkey, and a hundred entries of a ledger with their proofs, the first and the last among them."""
    folder = tmp_path_factory.mktemp("ledger")
    lines = [
        entries.signed({"kind": "page", "at": number, "n": number}, NAME, KEY.sign, KEY.id) for number in range(SIZE)
    ]
    leaves = [merkle.leaf_hash(line) for line in lines]
    note = notes.sign(notes.Note(NAME, SIZE, merkle.root(leaves)), [(KEY.public, KEY.sign)])
    tree = merkle.Tree(leaves)
    (folder / "vkey").write_text(notes.vkey(NAME, KEY.public) + "\n")
    for number in (*range(0, SIZE, 51), SIZE - 1):
        (folder / f"{number}.tlog-proof").write_bytes(notes.proof(number, tree.path(number), note))
        (folder / f"{number}.entry").write_bytes(lines[number])
    return folder


def run(verifier: Path, vkey: Path, files: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([verifier, vkey, *files], capture_output=True, text=True)


def test_go_accepts_a_hundred_proofs(verifier: Path, ledger: Path) -> None:
    proofs = sorted(ledger.glob("*.tlog-proof"))
    files = [file for proof in proofs for file in (proof, proof.with_suffix(".entry"))]
    result = run(verifier, ledger / "vkey", files)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("is in the ledger of 5000 entries") == len(proofs) >= 100


def test_go_refuses_every_proof_with_one_bit_changed(verifier: Path, ledger: Path, tmp_path: Path) -> None:
    proof, entry = ledger / "51.tlog-proof", ledger / "51.entry"
    whole = proof.read_bytes()
    hashes = whole.index(b"\n\n")
    signature = whole.rindex(b" ") + 1
    places = [whole.index(b"index ") + 6, 40, hashes - 10, hashes + 3, hashes + 28, hashes + 40, signature + 20]
    for place in places:
        (tmp_path / "proof").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        result = run(verifier, ledger / "vkey", [tmp_path / "proof", entry])
        assert (result.returncode, result.stdout) == (1, ""), place
        assert "refused:" in result.stderr
    line = entry.read_bytes()
    (tmp_path / "entry").write_bytes(line[:10] + bytes([line[10] ^ 1]) + line[11:])
    assert run(verifier, ledger / "vkey", [proof, tmp_path / "entry"]).returncode == 1


def test_go_refuses_another_key(verifier: Path, ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "vkey").write_text(notes.vkey(NAME, signing.from_seed(bytes(32)).public))
    result = run(verifier, tmp_path / "vkey", [ledger / "51.tlog-proof", ledger / "51.entry"])
    assert result.returncode == 1


def test_go_accepts_a_note_that_two_keys_signed_by_either(verifier: Path, tmp_path: Path) -> None:
    other, line = signing.from_seed(bytes(32)), entries.signed({"kind": "start", "at": 1}, NAME, KEY.sign, KEY.id)
    note = notes.Note(NAME, 1, merkle.leaf_hash(line))
    both = notes.sign(note, [(KEY.public, KEY.sign), (other.public, other.sign)])
    (tmp_path / "proof").write_bytes(notes.proof(0, [], both))
    (tmp_path / "entry").write_bytes(line)
    for key in (KEY, other):
        (tmp_path / "vkey").write_text(notes.vkey(NAME, key.public))
        assert run(verifier, tmp_path / "vkey", [tmp_path / "proof", tmp_path / "entry"]).returncode == 0


def test_go_accepts_a_later_epoch_under_its_own_origin(verifier: Path, tmp_path: Path) -> None:
    line = entries.signed({"kind": "start", "at": 1}, NAME, KEY.sign, KEY.id)
    origin = notes.origin(NAME, 2)
    note = notes.sign(notes.Note(origin, 1, merkle.leaf_hash(line)), [(KEY.public, KEY.sign)])
    (tmp_path / "proof").write_bytes(notes.proof(0, [], note))
    (tmp_path / "entry").write_bytes(line)
    (tmp_path / "vkey").write_text(notes.vkey(origin, KEY.public))
    assert run(verifier, tmp_path / "vkey", [tmp_path / "proof", tmp_path / "entry"]).returncode == 0


def test_go_accepts_what_evidence_proof_writes(verifier: Path, begun: Archive, place: Path, tmp_path: Path) -> None:
    begun.server.add({"msg_id": "one", "timestamp": begun.server.start_ms + 7, "from": "a"}, visible_ms=0)
    assert begun("pull") == 0
    assert begun("evidence", "proof", "one", "--output", str(tmp_path / "proof")) == 0
    files = [tmp_path / "proof/0.tlog-proof", tmp_path / "proof/0.entry"]
    assert run(verifier, place / "vkey", files).returncode == 0
    files[1].write_bytes(files[1].read_bytes().replace(b'"page"', b'"pagf"'))
    assert run(verifier, place / "vkey", files).returncode == 1
