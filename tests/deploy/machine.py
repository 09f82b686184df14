"""A machine of its own for a moment: systemd booted by systemd-nspawn over a throw-away layer on this root."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Machine:
    """Files written below `root` exist in the machine alone; `boot` runs a script in it and powers it off."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shown: dict[Path, str] = {}
        """Folders of this machine that are seen there under another name: homes are hidden from services."""

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def boot(self, script: str, seconds: int = 120) -> str:
        """The output of a bash script that runs beside systemd, with an `exit=N` line at its end."""
        self.write("/probe.sh", f"exec >/probe.out 2>&1\n(\n{script}\n)\necho exit=$?\n")
        unit = "[Unit]\nSuccessAction=poweroff\nFailureAction=poweroff\n[Service]\nType=oneshot\n"
        unit += "ExecStart=/bin/bash /probe.sh\n"
        self.write("/etc/systemd/system/probe.service", unit)
        target = "[Unit]\nRequires=probe.service sysinit.target\nAllowIsolate=yes\n"
        self.write("/etc/systemd/system/probe.target", target)
        name = f"archiver-{os.getpid()}"
        options = ["--quiet", "--keep-unit", "--register=no", f"--machine={name}", f"--uuid={uuid.uuid4()}"]
        binds = [f"--bind-ro={here}:{there}" for here, there in self.shown.items()]
        command = [
            "systemd-nspawn",
            *options,
            "--link-journal=no",
            "--console=pipe",
            *binds,
            "-D",
            str(self.root),
            "--boot",
        ]
        done = subprocess.run(
            [*command, "systemd.unit=probe.target"], capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
        assert (self.root / "probe.out").exists(), done.stdout.decode(errors="replace")[-3000:]
        return self.read("/probe.out")


@contextmanager
def machine(place: Path) -> Iterator[Machine]:
    """Skips the test where it is not available: it takes root, overlayfs and namespaces."""
    if os.geteuid() != 0:
        pytest.skip("systemd-nspawn needs root")
    for name in ("systemd-nspawn", "mount"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    root, upper, work = (place / name for name in ("root", "upper", "layer"))
    for folder in (root, upper, work):
        folder.mkdir(mode=0o755)
    options = f"lowerdir=/,upperdir={upper},workdir={work}"
    mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no overlay can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        probe = subprocess.run(
            ["systemd-nspawn", "--quiet", "--keep-unit", "--register=no", "-D", str(root), "/bin/true"],
            capture_output=True,
            timeout=60,
        )
        if probe.returncode:
            pytest.skip(f"systemd-nspawn does not work here: {probe.stderr.decode().strip()}")
        yield Machine(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
