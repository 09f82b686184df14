"""docs/operations.md, played on a fresh machine: from nothing to a service with alerts, by its own commands alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

from archiver.store.schema import iso
from tests.deploy.conftest import ROOT
from tests.deploy.machine import machine
from tests.fixtures.archive import MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.service import Listener, wait_until

MANUAL = (ROOT / "docs/operations.md").read_text()
FOLDER = "/srv/archiver"


def install() -> str:
    """The part that is played."""
    found = re.search(r"^## Install\n(.*?)^Before any account", MANUAL, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def edited(archive_config: str, given: dict[str, str]) -> str:
    """What a person does with an editor: fill in the app, and add what the manual shows."""
    database, *others = re.split(r"\n\n(?=\[)", blocks(install(), "toml")[0])
    text = re.sub(r'^url = ".*"$', database.partition("\n")[2].strip(), archive_config, flags=re.MULTILINE)
    for key, value in given.items():
        text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, count=1, flags=re.MULTILINE)
        assert count == 1, key
    return text + "\n".join(["", *others])


def test_the_manual_leads_from_nothing_to_a_service_with_alerts(
    make_archive: MakeArchive, database: Database, listener: Listener, tmp_path: Path
) -> None:
    archive = make_archive(database, messages=50)
    server = archive.server
    with machine(tmp_path) as found:
        source = found.root / FOLDER.lstrip("/")
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, tracked.decode().split("\0")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
        found.write(f"{FOLDER}/secret.txt", server.client_secret)
        found.write(f"{FOLDER}/webhook.txt", f"{listener.url}/hook/s3cr3t")
        found.write(f"{FOLDER}/heartbeat.txt", f"{listener.url}/beat/s3cr3t")
        given = {
            "org": f'"{server.org}"',
            "app": f'"{server.app}"',
            "base_url": f'"{server.base_url}"',
            "client_id": f'"{server.client_id}"',
            "start": str(iso(server.start_ms)),
            "rate": '"1000/s"',
            "every": '"1s"',
        }
        found.write("/edited.toml", edited((ROOT / "config.example.toml").read_text(), given))
        program, configuration, units, first_start, look, ready = blocks(install(), "sh")
        pip = [f"export {name}={value!r}" for name, value in os.environ.items() if name.startswith("PIP_")]
        script = [
            *(*pip, f"cd {FOLDER}", "set -ex", program, configuration, "cp /edited.toml /etc/archiver/config.toml"),
            *(units, first_start, "for i in $(seq 150); do", f"  {ready.strip()} && break", "  sleep 0.2", "done"),
            *(look, ready, "touch /caught-up"),
            "for i in $(seq 300); do",
            "  journalctl -u archiver | grep -q 'refused our credentials' && break; sleep 0.2",
            "done",
            "for i in $(seq 300); do [ -e /alarmed ] && break; sleep 0.2; done",  # it looks at itself every 10 s
            "systemctl is-active archiver",
            "journalctl --no-pager -u archiver -o cat",
        ]
        spoiler = threading.Thread(target=spoil, args=(archive.server, listener, found.root))
        spoiler.start()
        told = found.boot("\n".join(script), seconds=280)
        spoiler.join()
        assert told.endswith("exit=0\n"), told[-4000:]
        assert "ok       database: SQLite" in told, "doctor"
        assert "ok       easemob-demo#sandbox (cursor): credentials" in told
        assert "Complete from" in told, "status"
        assert "s3cr3t" not in told
        assert listener.of("GET")[0][0] == "/beat/s3cr3t"
        assert "ArchiverCredentialsRefused" in firing(listener)
        stored = Database("sqlite", f"sqlite:///{found.root}/var/lib/private/archiver/archive.db")
        assert stored.value("SELECT count(*) FROM messages") == 50


def firing(listener: Listener) -> set[str]:
    return {one["name"] for _, body in listener.of("POST") for one in body["alerts"] if one["status"] == "firing"}


def spoil(server: object, listener: Listener, root: Path) -> None:
    """When all is well, and the heartbeat beats, the credentials are withdrawn; and it is noted when that alarms."""
    wait_until(lambda: (root / "caught-up").exists() and listener.of("GET"), 270)
    server.faults.refuse_tokens = server.faults.refuse_bearer = True  # type: ignore[attr-defined]
    wait_until(lambda: "ArchiverCredentialsRefused" in firing(listener), 120)
    (root / "alarmed").touch()
