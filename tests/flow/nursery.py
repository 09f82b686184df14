"""Processes of the program that begin with its modules loaded: a server loads them once, and forks.

A start by the interpreter takes longer than all that a process does that is killed after a few pages, and hundreds are.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from archiver.cli import main
from archiver.store import owner
from tests import canaries

_LOADED = (
    "archiver.cli.pull",
    "archiver.pull.commands",
    "archiver.sources.easemob.hourly",
    "archiver.evidence.publish",
)
_DIALECTS = ("sqlalchemy.dialects.sqlite.pysqlite", "sqlalchemy.dialects.postgresql.psycopg")


class Configured(Protocol):
    """What has a configuration."""

    @property
    def config(self) -> Path: ...


class Child:
    """A process of the program, with what `subprocess.Popen` would offer for it."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid, self._nursery = pid, nursery
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        return self._ended(os.WNOHANG)

    def wait(self) -> int | None:
        return self._ended(0)

    def _ended(self, flags: int) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask({"pid": self.pid, "flags": flags})
        return self.returncode


class Nursery:
    """The server, and all that it has started."""

    def __init__(self, process: subprocess.Popen[str], place: Path) -> None:
        self._process, self._said = process, place / "said"
        self._children: list[Child] = []

    def __call__(
        self, archive: Configured, *arguments: str, output: Path | None = None, boot: str | None = None
    ) -> Child:
        """`output`: a file, or a pipe that somebody reads, for what the command prints; its log is elsewhere.

        `boot`: which of its starts the machine says that this is, as a clone of it says another one.
        """
        order: dict[str, Any] = {"arguments": ["--config", str(archive.config), *arguments], "said": str(self._said)}
        order |= {"output": None if output is None else str(output), "boot": boot}
        self._children.append(Child(self, int(self.ask(order | {"environment": dict(os.environ)}))))
        return self._children[-1]

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End what still lives, and hold all that was said against the canaries."""
        for child in self._children:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    child.send_signal(9)
                child.wait()
        self._process.communicate()
        if self._said.exists():
            canaries.hear(self._said.read_text(encoding="utf-8", errors="replace"), "forked processes")


@contextmanager
def opened(place: Path, *more: str) -> Iterator[Nursery]:
    """`more`: modules that are loaded beside those of a pull."""
    command = [sys.executable, "-m", "tests.flow.nursery", *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        nursery = Nursery(process, place)
        try:
            yield nursery
        finally:
            nursery.close()


def _serve() -> None:
    for name in (*_LOADED, *sys.argv[1:]):
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        if "arguments" not in order:
            pid, status = os.waitpid(order["pid"], order["flags"])
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif (answer := os.fork()) == 0:
            _become(**order)
        print(json.dumps(answer), flush=True)  # noqa: T201 - what the test reads


def _become(arguments: list[str], said: str, output: str | None, boot: str | None, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    if boot is not None:
        _boot_as(boot)
    for descriptor, name in ((1, output or said), (2, said)):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code: Any = 1
    try:
        main(arguments)
    except SystemExit as error:
        code = error.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


def _boot_as(boot: str) -> None:
    read = owner._read
    owner._read = lambda path: boot if path.endswith("boot_id") else read(path)
    owner.place.cache_clear()


if __name__ == "__main__":
    _serve()
