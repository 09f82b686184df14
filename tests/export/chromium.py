"""HTML exports in a real browser: `make browser-test`, with Chromium (or what ARCHIVER_TEST_CHROMIUM names).

Not a part of test-full: nobody must install a browser to work on this. The last test shows that the others can fail.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.export.samples import MARKUP, said
from tests.fixtures.archive import Archive
from tests.fixtures.blobs import MakeCollector, Shelf, Trap
from tests.fixtures.databases import Database

DOT = base64.b64decode("R0lGODdhBwABAIAAAP///wAAACwAAAAABwABAAACAoRRADs=")
"""A picture, seven pixels wide."""
WIDTHS = "document.title=[...document.images].map(image=>image.naturalWidth).join()"
MEASURE = f"<script>onload=()=>{{{WIDTHS}}}</script>"
HASH = "sha256-" + base64.b64encode(hashlib.sha256(f"onload=()=>{{{WIDTHS}}}".encode()).digest()).decode()
BROWSER = os.environ.get("ARCHIVER_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def trap() -> Iterator[Trap]:
    """Listens, and counts who connects."""
    found = Trap()
    yield found
    found.close()


def opened(page: Path, profile: Path, *more: str) -> tuple[str, str]:
    """The document after everything that may run has run, and what the browser said about it."""
    assert BROWSER, "no Chromium here: apt-get install chromium, or set ARCHIVER_TEST_CHROMIUM"
    options = [
        "--headless",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
        *(more or ("--dump-dom",)),
    ]
    options += ["--enable-logging=stderr", "--virtual-time-budget=3000", "--disable-background-networking"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to run as root with it
    done = subprocess.run([BROWSER, *options, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def attack(trap: Trap) -> str:
    return f'</bdi></p><script>document.title="owned"</script><img src="http://127.0.0.1:{trap.port}/x">'


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_browser_shows_texts_and_runs_nothing(archive: Archive, trap: Trap, tmp_path: Path) -> None:
    stamp = archive.server.start_ms + 5_300
    archive.server.add(said("attack", attack(trap), stamp), visible_ms=0)
    start = str(archive.server.start_ms)
    assert archive("audit", "--from", start, "--to", str(archive.server.start_ms + 60_000)) in (0, 3)
    place = tmp_path / "out"
    assert archive("export", "--format", "html", "--output", str(place), "--to", str(stamp + 1)) == 0
    (page,) = place.rglob("part-*.html")
    for shown in (page, place / "index.html"):
        document, complaints = opened(shown, tmp_path / "profile")
        assert "<title>owned" not in document
        assert "<script" not in document
        assert "<img" not in document
        assert complaints == "", "the policy lets the style sheet through, and had nothing else to refuse"
    document, _ = opened(page, tmp_path / "profile")
    assert html.escape(attack(trap), quote=False) in document
    assert html.escape(MARKUP[0], quote=False) in document
    assert trap.caught == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_pictures_of_the_folder_are_shown_and_no_others(
    database: Database, make_collector: MakeCollector, folder: Shelf, trap: Trap, tmp_path: Path
) -> None:
    """In files that are opened from a disk, where browsers know no origin."""
    collector = make_collector(database, folder, messages=60)
    assert collector("pull") == 0
    collector("attachments")
    place = tmp_path / "out"
    assert collector("export", "--format", "html", "--output", str(place), "--attachments") == 0
    page = next(page for page in place.rglob("part-*.html") if "<img" in page.read_text(encoding="utf-8"))
    for picture in (place / "attachments").rglob("*.*"):
        picture.write_bytes(DOT)
    bad = (
        f'<img src="http://127.0.0.1:{trap.port}/x"><img src="data:image/gif;base64,{base64.b64encode(DOT).decode()}">'
    )
    text = page.read_text(encoding="utf-8").replace("</body>", bad + MEASURE + "</body>")
    page.write_text(re.sub(r"default-src 'none'|default-src &#x27;none&#x27;", f"script-src '{HASH}'; \\g<0>", text))
    document, complaints = opened(page, tmp_path / "profile")
    title = re.search("<title>(.*)</title>", document)
    assert title
    widths = [int(width) for width in title[1].split(",")]
    assert widths[-2:] == [0, 0]
    assert len(widths) > 2
    assert set(widths[:-2]) == {7}, "shown as wide as they are"
    assert complaints.count("img-src") >= 2
    assert trap.caught == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_paper_has_the_case_and_the_number_of_the_page(archive: Archive, tmp_path: Path) -> None:
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext is not installed: apt-get install poppler-utils")
    place, paper = tmp_path / "out", tmp_path / "page.pdf"
    assert archive("export", "--format", "html", "--output", str(place), "--case", "court 42/b") == 0
    opened(min(place.rglob("part-*.html")), tmp_path / "profile", f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    done = subprocess.run(["pdftotext", "-layout", str(paper), "-"], capture_output=True, text=True, check=True)  # noqa: S607
    pages = done.stdout.split("\f")[:-1]
    assert len(pages) > 1
    for number, page in enumerate(pages, 1):
        assert "Case: court 42/b" in page
        assert re.search(rf"\b{number} ?/ ?{len(pages)}\n", page)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_policy_alone_would_stop_it_and_without_both_it_runs(archive: Archive, trap: Trap, tmp_path: Path) -> None:
    place = tmp_path / "out"
    assert archive("export", "--format", "html", "--output", str(place)) == 0
    text = min(place.rglob("part-*.html")).read_text(encoding="utf-8").replace("</body>", attack(trap) + "</body>")
    unescaped, bare = tmp_path / "unescaped.html", tmp_path / "bare.html"
    unescaped.write_text(text, encoding="utf-8")
    bare.write_text(re.sub(r"<meta http-equiv[^>]*>", "", text), encoding="utf-8")
    document, complaints = opened(unescaped, tmp_path / "profile")
    assert "<title>owned" not in document
    assert "Content Security Policy" in complaints
    assert trap.caught == 0
    document, _ = opened(bare, tmp_path / "profile")
    assert "<title>owned" in document
    assert trap.caught
