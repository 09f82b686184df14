"""verify.py where a stranger runs it: without our program, on every Python from 3.9 on, with many proofs."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archiver import entries, merkle, notes, salts
from archiver.evidence import offline
from tests.fixtures.evidence import KEY, NAME

PAGES, RECORDS = 100, 100
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")


def text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def lines(values: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def page(number: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Messages, their proofs, and the entry of a page."""
    raws = [json.dumps({"msg_id": f"{number}-{at}", "text": "x" * 100}) for at in range(RECORDS)]
    own = salts.salts([(0, 0, hashlib.sha256(b"%d" % number).digest())], RECORDS)
    leaves = [salts.leaf(salt, "n", at, raw.encode()) for at, (salt, raw) in enumerate(zip(own, raws, strict=True))]
    tree = merkle.Tree(leaves)
    about = [{"app": "acme#chat", "msg_id": f"{number}-{at}"} for at in range(RECORDS)]
    messages = [one | {"raw": raw, "revisions": []} for one, raw in zip(about, raws, strict=True)]
    proofs = [
        one
        | {"revision": 0, "page": number, "position": at, "fate": "n", "salt": text(own[at]), "leaf": at}
        | {"path": [text(node) for node in tree.path(at)], "entry": number + 1}
        for at, one in enumerate(about)
    ]
    entry = {"kind": "page", "at": number, "app": "acme#chat", "page": number, "n": RECORDS, "root": text(tree.root)}
    return messages, proofs, entry


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of 10,000 messages of 100 pages, as far as verify.py looks at it."""
    place = tmp_path_factory.mktemp("stranger")
    made = [page(number) for number in range(PAGES)]
    start = {"kind": "start", "at": 0, "event": "init", "keys": [notes.vkey(NAME, KEY.public)], "keeper": "audit"}
    signed = [entries.signed(one, NAME, KEY.sign, KEY.id) for one in (start, *(entry for _, _, entry in made))]
    tree = merkle.Tree([merkle.leaf_hash(line) for line in signed])
    note = notes.sign(notes.Note(NAME, len(signed), tree.root), [(KEY.public, KEY.sign)])
    files = {
        "messages/app=acme/part-1.jsonl": lines([message for messages, _, _ in made for message in messages]),
        "proofs.jsonl": lines([proof for _, proofs, _ in made for proof in proofs]),
        "ledger/note": note,
        "ledger/entries.jsonl": lines(
            [
                {"index": at, "entry": line.decode(), "path": [text(node) for node in tree.path(at)]}
                for at, line in enumerate(signed)
            ]
        ),
        "anchors/checkpoints.jsonl": lines([{"note": note.decode(), "consistency": [], "sinks": [], "tokens": []}]),
        "verify.py": offline.program().encode(),
    }
    listed = [{"path": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()]
    for name, content in {**files, "manifest.json": json.dumps({"files": listed}).encode()}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def interpreter(version: str) -> str | None:
    """A Python of this version: of the system, or of pyenv."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    own = sorted(str(path) for path in root.glob(f"{version}.*/bin/python"))
    return own[-1] if own else shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")


def run(python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    return subprocess.run([python, "-I", "-S", folder / "verify.py"], capture_output=True, text=True, env=environ)


@pytest.mark.full
def test_ten_thousand_proofs_of_a_hundred_pages_are_verified(folder: Path) -> None:
    done = run(sys.executable, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10000 records are byte for byte what was sealed" in done.stdout


@pytest.mark.deploy
@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_from_3_9_on_verifies(version: str, folder: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    done = run(python, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10000 records are byte for byte what was sealed" in done.stdout


def test_the_program_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(offline.program(), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    assert "archiver" not in {name.partition(".")[0] for name in names}


@pytest.mark.full
def test_wrong_usage_is_told_from_a_difference(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_text(offline.program())
    assert run(sys.executable, tmp_path).returncode == 2
    command = [sys.executable, str(folder / "verify.py"), "--vkey", str(tmp_path / "nowhere")]
    assert subprocess.run(command, capture_output=True).returncode == 2
