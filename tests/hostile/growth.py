"""Reads one answer in a process of its own, and tells as JSON what that cost: `growth.py URL page|file PATIENCE SILENCE`.

PATIENCE: the seconds for the whole of a page, or for the next 64 KiB of a file; SILENCE: those for one read of a page.
The time told is the processor's, which is the same on a busy machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from archiver.errors import ArchiverError
from archiver.http import Client, DownloadLimits, Limits, SignedLink, download
from archiver.sources.easemob.cursor import read_page
from archiver.sources.easemob.hour_files import read_pages, verify


def peak_mb() -> float:
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(found.split()[1]) / 1024


def read_one_page(url: str, patience_s: float, silence_s: float) -> str:
    limits = Limits(read_s=silence_s, deadline_s=patience_s, give_up_s=0)
    with Client(url, stop=threading.Event(), limits=limits) as client:
        page, _ = client.fetch_as(read_page, "GET", "/page")
    return f"{page.received} records"


def read_one_file(url: str, patience_s: float, _: float) -> str:
    received = 0
    with tempfile.TemporaryFile() as file:
        limits = DownloadLimits(stall_s=patience_s)
        got = download(SignedLink(url + "/file"), file, stop=threading.Event(), limits=limits)
        verify(file, framed=got.framed)
        for page in read_pages(file, page_size=1000, server_ms=1):
            received += page.received
    return f"{received} records"


def main() -> None:
    url, kind, *limits = sys.argv[1:]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = peak_mb(), time.process_time()
    try:
        outcome = (read_one_page if kind == "page" else read_one_file)(url, *map(float, limits))
    except ArchiverError as error:
        outcome = f"{type(error).__name__}: {error}"
    print(json.dumps({"outcome": outcome, "growth_mb": peak_mb() - before, "seconds": time.process_time() - began}))  # noqa: T201 - for the test that started it


if __name__ == "__main__":
    main()
