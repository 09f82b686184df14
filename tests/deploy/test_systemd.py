"""The units, by systemd itself: read, judged, and started."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from archiver.store.schema import iso
from tests.callbacks.sending import now_ms, recall, security
from tests.deploy.conftest import DEPLOY, ROOT, Tool
from tests.deploy.machine import Machine, machine
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database

UNITS = sorted([*(DEPLOY / "systemd").glob("*.service"), *(DEPLOY / "systemd").glob("*.timer")])
SERVICES = ["archiver.service", "archiver-pull.service", "archiver@.service", "archiver-receive.service"]
SERVICES += ["archiver-review.service"]
PULLING = SERVICES[:3]


def test_systemd_reads_the_units_without_a_word(tool: Tool, tmp_path: Path) -> None:
    """It exits 0 on unknown keys, so its silence is what counts."""
    analyze = tool("systemd-analyze")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/archiver/bin/archiver", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    names = [str(tmp_path / unit.name.replace("@.", "@x.")) for unit in UNITS]
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=one", *names],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_the_units_are_hardened(tool: Tool, tmp_path: Path, name: str) -> None:
    unit = tmp_path / name.replace("@.", "@doctor.")
    unit.write_text((DEPLOY / "systemd" / name).read_text())
    command = [tool("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True).stdout
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert score, told
    assert float(score[1]) <= 1.5


@pytest.mark.parametrize("name", ["alerts.conf", "callbacks.conf", "evidence.conf"])
def test_systemd_reads_the_drop_ins_without_a_word(tool: Tool, tmp_path: Path, name: str) -> None:
    text = (DEPLOY / "systemd/archiver.service").read_text().replace("/opt/archiver/bin/archiver", "/bin/true")
    (tmp_path / "archiver.service").write_text(text.replace("OnFailure", "# OnFailure"))
    (tmp_path / "archiver.service.d").mkdir()
    drop_in = (DEPLOY / "systemd" / name).read_text().replace("# ReadWritePaths", "ReadWritePaths")
    (tmp_path / "archiver.service.d" / name).write_text(drop_in)
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=one", str(tmp_path / "archiver.service")],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_all_services_are_hardened_alike() -> None:
    """None is forgotten when another changes."""
    texts = [(DEPLOY / "systemd" / name).read_text() for name in SERVICES]
    begin, end = "# It needs its state", "UMask=0077"
    assert len({text[text.index(begin) : text.index(end)] for text in texts}) == 1
    begin, end = "# A user of its own", "# The addresses of"
    texts = [(DEPLOY / "systemd" / name).read_text() for name in PULLING]
    assert len({text[text.index(begin) : text.index(end)] for text in texts}) == 1


def installed(archive: Archive, found: Machine) -> None:
    """As the manual says, but for where the program comes from: this checkout."""
    site, base = Path(sysconfig.get_path("purelib")), Path(sys.base_prefix)
    found.shown = {ROOT: "/opt/source", site: "/opt/site", base: "/opt/python"}
    python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    shim = (
        f'#!/bin/sh\nLD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/source:/opt/site exec {python} -m archiver "$@"\n'
    )
    found.write("/opt/archiver/bin/archiver", shim, 0o755)
    for unit in UNITS:
        found.write(f"/etc/systemd/system/{unit.name}", unit.read_text())
    server = archive.server
    config = f"""
        [database]
        url = "sqlite:////var/lib/archiver/archive.db"
        [schedule]
        every = "1s"
        [[apps]]
        org = "{server.org}"
        app = "{server.app}"
        base_url = "{server.base_url}"
        client_id = "{server.client_id}"
        start = {iso(server.start_ms)}
        rate = "1000/s"
        settle = "1s"
    """
    found.write("/etc/archiver/config.toml", config, 0o644)
    found.write("/etc/archiver/easemob.secret", server.client_secret, 0o400)


STARTED = """
set -x
heard() { for i in $(seq 300); do journalctl --no-pager -o cat $2 | grep -q "$1" && return; sleep 0.2; done; }
systemctl start archiver@migrate || { journalctl -u archiver@migrate -o cat --no-pager | tail -30; exit 1; }
systemctl start archiver || { journalctl -u archiver -o cat --no-pager | tail -40; exit 1; }
for i in $(seq 300); do systemctl show -P StatusText archiver | grep -q 'lag [0-9] s' && break; sleep 0.2; done
echo "state=$(systemctl show -P ActiveState archiver) status=$(systemctl show -P StatusText archiver)"
echo "user=$(ps -o user= -p $(systemctl show -P MainPID archiver))"
echo "environment=$(tr '\\0' '\\n' </proc/$(systemctl show -P MainPID archiver)/environ | grep -c YXA6)"
sed -i 's/every = "1s"/every = "fast"/' /etc/archiver/config.toml; systemctl reload archiver
heard "the old one remains in force" "-u archiver"
sed -i 's/every = "fast"/every = "2s"/' /etc/archiver/config.toml; systemctl reload archiver
heard "the configuration was read again" "-u archiver"
echo "still=$(systemctl show -P ActiveState archiver) restarts=$(systemctl show -P NRestarts archiver)"
kill -KILL $(systemctl show -P MainPID archiver); sleep 0.5
systemctl stop archiver
systemctl start archiver-pull.service; echo "pull=$(systemctl show -P Result archiver-pull)"
systemctl start archiver-pull.timer; echo "timer=$(systemctl show -P ActiveState archiver-pull.timer)"
echo 'broken' >> /etc/archiver/config.toml
systemctl start archiver-pull.service; echo "broken=$(systemctl show -P Result archiver-pull)"
heard "archiver-pull.service has failed; see" "-t archiver"
journalctl --no-pager -o cat -t archiver
journalctl --no-pager -o cat -u archiver
ls -ld /var/lib/private/archiver
"""


def test_they_run_under_systemd(make_archive: MakeArchive, database: Database, tmp_path: Path) -> None:
    archive = make_archive(database, messages=50)
    with machine(tmp_path) as found:
        installed(archive, found)
        told = found.boot(STARTED)
        assert "state=active" in told, told
        assert "complete until" in told
        assert "user=archiver" in told
        assert "environment=0" in told, "the secret is in no environment"
        assert "the configuration was read again" in told
        assert "the old one remains in force" in told
        assert "still=active restarts=0" in told
        assert "pull=success" in told
        assert "timer=active" in told
        assert "broken=exit-code" in told
        assert "archiver-pull.service has failed; see" in told, "OnFailure"
        assert "drwx------" in told
        assert archive.server.client_secret not in told
        stored = Database("sqlite", f"sqlite:///{found.root}/var/lib/private/archiver/archive.db")
        assert stored.value("SELECT count(*) FROM messages") == 50


RECEIVED = """
set -x
systemctl start archiver@migrate || { journalctl -u archiver@migrate -o cat --no-pager | tail -30; exit 1; }
systemctl start archiver || { journalctl -u archiver -o cat --no-pager | tail -40; exit 1; }
systemctl start archiver-receive || { journalctl -u archiver-receive -o cat --no-pager | tail -40; exit 1; }
for i in $(seq 300); do systemctl show -P StatusText archiver | grep -q 'lag [0-9] s' && break; sleep 0.2; done
cat > /post.py <<'END'
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], open("/callback.json", "rb").read())
print("answer=" + str(urllib.request.urlopen(request, timeout=10).status))
END
{python} /post.py http://127.0.0.1:9490/callback/demo/$(cat /etc/archiver/callback.token)
echo "user=$(ps -o user= -p $(systemctl show -P MainPID archiver-receive))"
pid=$(systemctl show -P MainPID archiver-receive)
echo "credentials=$(ls /run/credentials/archiver-receive.service | tr '\\n' ' ')"
kill -KILL $pid
for i in $(seq 300); do
    systemctl show archiver-receive | grep -q '^NRestarts=1' && systemctl is-active -q archiver-receive && break
    sleep 0.2
done
echo "again=$(systemctl show -P ActiveState archiver-receive) restarts=$(systemctl show -P NRestarts archiver-receive)"
for i in $(seq 300); do
    journalctl --no-pager -o cat -u archiver | grep -q "callbacks were read in" && break; sleep 0.3
done
journalctl --no-pager -o cat -u archiver -u archiver-receive | grep -i callback
systemctl stop archiver-receive archiver
echo "result=$(systemctl show -P Result archiver-receive)"
"""


def test_the_receiver_runs_beside_it_and_knows_no_secret(
    make_archive: MakeArchive, database: Database, tmp_path: Path
) -> None:
    archive = make_archive(database, messages=50)
    app = f"{archive.server.org}#{archive.server.app}"
    recalled = archive.server.records[0].msg_id
    with machine(tmp_path) as found:
        installed(archive, found)
        token, secret = "ab" * 16, "the secret of a rule"
        section = f"""
            [callbacks]
            spool = "/var/lib/archiver/callbacks"
            [[callbacks.apps]]
            app = "{app}"
            alias = "demo"
            token_file = "replaced by the unit"
            secrets_file = "replaced by the drop-in"
        """
        config = found.read("/etc/archiver/config.toml")
        found.write("/etc/archiver/config.toml", section + config, 0o644)
        found.write("/etc/archiver/callback.token", token, 0o400)
        found.write("/etc/archiver/callback.secrets", secret, 0o400)
        drop_in = (DEPLOY / "systemd/callbacks.conf").read_text()
        found.write("/etc/systemd/system/archiver.service.d/callbacks.conf", drop_in)
        body = recall(app, recalled, timestamp=now_ms()) | {"timestamp": (at := now_ms())}
        body["security"] = security(str(body["callId"]), at, secret)
        found.write("/callback.json", json.dumps(body))
        python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        told = found.boot(RECEIVED.replace("{python}", f"LD_LIBRARY_PATH=/opt/python/lib {python}"), 180)
        assert "answer=200" in told, told
        assert "user=archiver" in told
        assert "credentials=callback-token" in told
        assert "again=active restarts=1" in told, told
        assert "result=success" in told
        assert token not in told.replace(f"/callback/demo/{token}", "")
        stored = Database("sqlite", f"sqlite:///{found.root}/var/lib/private/archiver/archive.db")
        marked = "SELECT msg_id FROM messages_readable WHERE recalled_at IS NOT NULL"
        assert stored.rows(marked) == [(recalled,)], told


REVIEWED = """
set -x
systemctl start archiver@migrate || { journalctl -u archiver@migrate -o cat --no-pager | tail -30; exit 1; }
systemctl start archiver || { journalctl -u archiver -o cat --no-pager | tail -40; exit 1; }
systemctl start archiver-review || { journalctl -u archiver-review -o cat --no-pager | tail -40; exit 1; }
cat > /get.py <<'END'
import sys, urllib.request
secret = open("/etc/archiver/review.proxy").read()
headers = {"Host": "review.example.com", "X-Forwarded-User": "li", "X-Forwarded-Groups": "officers"}
for proof in (secret, "wrong"):
    request = urllib.request.Request(sys.argv[1], headers=headers | {"X-Archiver-Proxy": proof})
    try:
        print("answer=" + str(urllib.request.urlopen(request, timeout=10).status))
    except urllib.error.HTTPError as error:
        print("refused=" + str(error.code))
END
{python} /get.py http://127.0.0.1:9480/signin
echo "user=$(ps -o user= -p $(systemctl show -P MainPID archiver-review))"
echo "credentials=$(ls /run/credentials/archiver-review.service | tr '\\n' ' ')"
systemctl stop archiver-review archiver
echo "result=$(systemctl show -P Result archiver-review)"
"""


def test_the_review_page_runs_beside_it_and_knows_no_secret_of_the_app(
    make_archive: MakeArchive, database: Database, tmp_path: Path
) -> None:
    archive = make_archive(database, messages=20)
    section = """
        [review]
        listen = "127.0.0.1:9480"
        url = "https://review.example.com"
        secret_file = "replaced by the unit"
        officers = ["officers"]
    """
    with machine(tmp_path) as found:
        installed(archive, found)
        found.write("/etc/archiver/config.toml", section + found.read("/etc/archiver/config.toml"), 0o644)
        found.write("/etc/archiver/review.proxy", "0123456789abcdef0123456789abcdef", 0o400)
        python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        told = found.boot(REVIEWED.replace("{python}", f"LD_LIBRARY_PATH=/opt/python/lib {python}"), 180)
        assert "answer=200" in told, told
        assert "refused=403" in told
        assert "user=archiver" in told
        assert "credentials=proxy" in told
        assert "result=success" in told
