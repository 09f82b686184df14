"""The worked examples of CONTRIBUTING.md, followed to the letter in a copy of the tree: nothing else needs a change."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
START = 1_790_000_000_000 // 86_400_000 * 86_400_000
CARDS = [
    {"id": f"c{at}", "at": START + at * 60_000, "from": "Iris", "to": "lu", "text": f"card {at}"} for at in range(50)
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the program."""
    for name in ("archiver", "migrations", "docs"):
        shutil.copytree(ROOT / name, tmp_path / "tree" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.example.toml", tmp_path / "tree")
    return tmp_path / "tree"


def insert(path: Path, after: str, text: str) -> None:
    whole = path.read_text(encoding="utf-8")
    assert whole.count(after) == 1, f"{path} has changed: {after!r}"
    path.write_text(whole.replace(after, after + text), encoding="utf-8")


def touched(tree: Path) -> set[str]:
    """Which files of a copy differ from the original, or are new."""
    files = [
        path.relative_to(tree) for path in tree.rglob("*") if path.is_file() and path.suffix in (".py", ".md", ".sql")
    ]
    return {
        str(file)
        for file in files
        if not (ROOT / file).exists() or (ROOT / file).read_bytes() != (tree / file).read_bytes()
    }


def named(title: str) -> set[str]:
    """The files that a worked example names."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition(f"### {title}\n")[2].partition("\n#")[0]
    return set(re.findall(r"`(archiver/[\w/<>.]+\.py)`", text))


def archiver(tree: Path, *arguments: str) -> str:
    """Run a command of the copy; its output."""
    code = "import sys; from archiver import cli; sys.exit(cli.invoke(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def cards() -> Iterator[str]:
    """A server of postcards; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            span = {name: int(values[0]) for name, values in parse_qs(urlsplit(self.path).query).items()}
            found = [json.dumps(card) for card in CARDS if span["from"] <= card["at"] < span["to"]]  # type: ignore[operator]
            body = "\n".join(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.full
def test_another_provider_and_another_format_touch_what_the_examples_name(tree: Path, cards: str) -> None:
    (tree / "archiver/sources/postcards").mkdir()
    shutil.copy(HERE / "postcards/provider.py", tree / "archiver/sources/postcards/provider.py")
    sources = tree / "archiver/sources/__init__.py"
    insert(sources, "    return provider\n", _LOADER)
    insert(sources, '{"easemob": _easemob', ', "postcards": _postcards')
    settings = tree / "archiver/config/settings.py"
    settings.write_text(settings.read_text().replace("provider: ClassVar[str] =", "provider: str ="))

    shutil.copy(HERE / "ids.py", tree / "archiver/export/formats/ids.py")
    insert(tree / "archiver/export/__init__.py", 'FORMATS = ("jsonl", ', '"ids", ')
    insert(tree / "archiver/export/__init__.py", "    calendar = options.wording.calendar\n", _FORM)

    (tree / "config.toml").write_text(_CONFIG.format(cards=cards, start=START))
    (tree / "config.toml").chmod(0o600)
    archiver(tree, "migrate")
    archiver(tree, "pull")
    (report,) = json.loads(archiver(tree, "status", "--format", "json"))["apps"]
    assert report["messages"] == len(CARDS)
    assert report["complete_until_ms"] > CARDS[-1]["at"], "the protocol is the same for every provider"
    archiver(tree, "export", "--format", "ids", "--output", "out", "--reason", "the worked example")
    archiver(tree, "export", "verify", "out")
    lines = [line for path in sorted((tree / "out").rglob("*.ids")) for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted(str(card["id"]) for card in CARDS)

    files = {re.sub(r"\bids\b|postcards", "<name>", file) for file in touched(tree)}
    assert files <= named("A provider") | named("An export format")


_LOADER = """

def _postcards() -> Provider:
    from archiver.sources.postcards import provider

    return provider
"""
_FORM = """    if name == "ids":
        from archiver.export.formats import ids

        return Form("ids", 1_000_000, False, lambda file, _: ids.Ids(file))
"""
_CONFIG = """
[database]
url = "sqlite:///archive.db"
[[apps]]
provider = "postcards"
org = "post"
app = "cards"
base_url = "{cards}"
path_prefix = ""
client_id = "nobody"
client_secret = "no secret at all"
start = {start}
settle = "1s"
rate = "10000/s"
"""
