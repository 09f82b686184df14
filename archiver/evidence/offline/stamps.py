"""Tokens of time-stamping authorities, by `openssl ts`."""

from __future__ import annotations

import calendar
import re
import subprocess
import tempfile
import time
from pathlib import Path

from archiver.evidence.offline.texts import Wrong, shown


def stamped_at(note: bytes, token: str, root: str) -> str:
    """The time in a token that is valid for a note, as of that time: certificates may have expired since."""
    text = openssl("-reply", "-in", token, "-text") or ""
    match = re.search(r"^Time stamp: (\w{3} +\d+ [\d:]{8})(?:\.\d+)?( \d{4} GMT)$", text, re.MULTILINE)
    if match is None:
        raise Wrong(f"时间戳 {shown(token)} 无法读取", f"the time stamp {shown(token)} cannot be read")
    at = calendar.timegm(time.strptime(match[1] + match[2], "%b %d %H:%M:%S %Y GMT"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "note").write_bytes(note)
        command = ("-verify", "-in", token, "-data", f"{folder}/note", "-CAfile", root, "-attime", str(at))
        if openssl(*command) is None:
            raise Wrong(f"时间戳 {shown(token)} 无效", f"the time stamp {shown(token)} is not valid")
    return match[1] + match[2]


def openssl(*arguments: str) -> str | None:
    """What `openssl ts` printed; None where it refused."""
    done = subprocess.run(["openssl", "ts", *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout if done.returncode == 0 else None
