"""`make picture`: docs/demo.svg, the end of a real `archiver demo` as a terminal shows it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"
_COLUMNS = 96
_SHOWN = re.compile(r"^easemob-demo#sandbox \(cursor\), times", re.MULTILINE)


def main() -> int:
    """Run the demo on a terminal of its own, and draw from the first status on to the end of the first query."""
    with TemporaryDirectory() as place:
        output = _on_a_terminal([sys.executable, "-m", "archiver", "demo", "--directory", f"{place}/demo"])
    plain = output.replace("\r", "")
    begins = _SHOWN.search(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", plain))
    if begins is None:
        print(plain, file=sys.stderr)  # noqa: T201
        return 1
    lines = plain.splitlines()
    first = next(at for at, line in enumerate(lines) if "(cursor), times" in line)
    second = next(at for at, line in enumerate(lines) if "(hourly), times" in line)
    query = next(at for at, line in enumerate(lines) if line.startswith("Who wrote what"))
    end = next(at for at, line in enumerate(lines) if line.startswith("The busiest"))
    console = Console(record=True, width=_COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: PTH123, SIM115
    for line in ["$ make demo", "", *lines[first:second], *lines[query:end]]:
        console.print(Text.from_ansi(line), soft_wrap=True)
    picture = console.export_svg(title="archiver demo")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)  # fonts of the reader, none from elsewhere
    PICTURE.write_text(re.sub(r"terminal-\d+", "terminal", picture), encoding="utf-8")
    print(f"{PICTURE} written")  # noqa: T201
    return 0


def _on_a_terminal(command: list[str]) -> str:
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(_COLUMNS), "TERM": "xterm-256color", "LANG": "C.UTF-8", "TZ": "UTC"}
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environ)
    os.close(theirs)
    output = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        output += part
    process.wait()
    os.close(ours)
    return output.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
