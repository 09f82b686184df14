"""Rules, dashboard and scraping, by Prometheus itself."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import requests

from archiver.service import alerts, metrics
from tests.deploy.conftest import DEPLOY, Tool
from tests.fixtures.archive import Archive
from tests.fixtures.service import MakeService, wait_until
from tests.postgres import free_port

RULES = (DEPLOY / "prometheus/rules.yml").read_text()
DASHBOARD = (DEPLOY / "grafana/archiver.json").read_text()


def test_the_rules_hold_under_promtool(tool: Tool) -> None:
    promtool = tool("promtool")
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_is_asked_for_exists(archive: Archive) -> None:
    """In the rules, and on the dashboard."""
    archive("pull", retention="72h")
    archive.database.run(
        "INSERT INTO canaries (app_id, source, target, marker, sent_at, archived_at, outcome) VALUES"
        " (1, 'cursor', 'a', 'b', '2026-11-01T00:00:00.000Z', '2026-11-01T00:00:09.000Z', 'archived')"
    )
    archive.database.run(
        "INSERT INTO attachments (app_id, msg_id, position, kind, url, expires_at)"
        " SELECT app_id, msg_id, 9, 'file', 'x', '2027-01-01T00:00:00.000Z' FROM messages LIMIT 1"
    )
    archive("status", "--format", "prometheus")
    there = set(re.findall(r"^(archiver_\w+)", archive.output, re.MULTILINE))
    asked = set(re.findall(r"archiver_[a-z_]+", "\n".join([RULES, *re.findall(r'"expr": "(.*)"', DASHBOARD)])))
    assert asked
    # tests/evidence, tests/callbacks and tests/lifecycle have those
    elsewhere = {
        name for name in asked if name.startswith(("archiver_evidence_", "archiver_callbacks_", "archiver_terms_"))
    }
    assert asked - elsewhere <= there, asked - there
    assert metrics.without_database()


def test_the_alerts_of_the_program_have_the_names_of_the_rules() -> None:
    named = set(re.findall(r"alert: (\w+)", RULES))
    source = Path(alerts.__file__).read_text()
    ours = {f"Archiver{name}" for name in re.findall(r'yield "(\w+)"', source)} | {"ArchiverDiskNearlyFull"}
    assert len(ours) > 8
    assert ours <= named
    for page in ("operations.md", "operations.zh-CN.md"):
        explained = set(re.findall(r"\*\*(Archiver\w+)", (DEPLOY.parent / "docs" / page).read_text()))
        assert named == explained, "each alert has a page in the manual, and none is of the past"


def test_the_dashboard_is_whole() -> None:
    found = json.loads(DASHBOARD)
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(panel["targets"] and panel["title"] for panel in found["panels"])


def test_a_real_prometheus_scrapes_it(tool: Tool, archive: Archive, serve: MakeService, tmp_path: Path) -> None:
    prometheus = tool("prometheus")
    ours, theirs = free_port(), free_port()
    serve(archive, top=f'[schedule]\nevery = "1s"\n[metrics]\nlisten = "127.0.0.1:{ours}"\n')
    wait_until(lambda: archive.count("messages") == 300)
    text = (DEPLOY / "prometheus/prometheus.yml").read_text().replace("30s", "1s").replace("9473", str(ours))
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "rules.yml").write_text(RULES)
    command = [prometheus, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{theirs}"]
    process = subprocess.Popen(
        [*command, f"--storage.tsdb.path={tmp_path / 'tsdb'}", "--log.level=error"], cwd=tmp_path
    )
    try:
        wait_until(lambda: ask(theirs, 'archiver_messages_total{app="easemob-demo#sandbox"}') == ["300"], 60)
        assert ask(theirs, 'up{job="archiver"}') == ["1"]
        rules = requests.get(f"http://127.0.0.1:{theirs}/api/v1/rules", timeout=10).json()["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        wait_until(lambda: ask(theirs, 'count(ALERTS{alertstate="firing"}) or vector(0)') == ["0"])
    finally:
        process.terminate()
        process.wait(30)


def ask(port: int, query: str) -> list[str]:
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=10)
    except requests.ConnectionError:
        time.sleep(0.1)
        return []
    if answer.status_code != 200:
        return []
    return [one["value"][1] for one in answer.json()["data"]["result"]]


def test_the_exposition_passes_promtool(tool: Tool, archive: Archive) -> None:
    archive("pull")
    archive("status", "--format", "prometheus")
    done = subprocess.run([tool("promtool"), "check", "metrics"], input=archive.output, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
