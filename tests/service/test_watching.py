"""What the daemon answers to those who ask, and whom it tells by itself."""

from __future__ import annotations

import base64
import hmac
import json
import re
import socket
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from archiver import config, coverage
from archiver.errors import ProviderUnavailable
from archiver.evidence.report import Problem, Report
from archiver.http import Form, call
from archiver.model import Tally, Window
from archiver.service import alerts, monitor
from archiver.service.alerts import Condition, Style
from archiver.service.endpoint import Endpoint, Reply
from archiver.service.systemd import Notifier
from archiver.store.alerts import News
from archiver.store.engine import open_store
from archiver.store.postgres import ServerLimits
from archiver.store.read.status import Hole
from archiver.store.schema import iso
from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database, own_archive
from tests.fixtures.service import Listener, MakeService, wait_until
from tests.postgres import Postgres, free_port


def ask(address: str, method: str = "GET") -> requests.Response:
    return requests.request(method, address, timeout=60)


def values(text: str) -> dict[tuple[str, ...], float]:
    """Samples by name and labels, without the app's."""
    return {
        (
            sample.name,
            *(value for label, value in sample.labels.items() if label not in ("app", "source")),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.full
@pytest.mark.timeout(300)
def test_nobody_waits_for_the_look_of_somebody_else(make_archive: MakeArchive) -> None:
    """One look may wait for the database for as long as a look may: those who ask meanwhile are told at once."""
    with own_archive() as (server, database):
        archive = make_archive(database, messages=3)
        archive.write_config()
        store = open_store(
            database.url.replace("postgresql:", "postgresql+psycopg:"), limits=ServerLimits(3600, *[3600.0] * 4)
        )
        watch = monitor.Watch(config.load(archive.config, {}), store, Notifier())
        assert watch.look().error is None
        with ThreadPoolExecutor(2) as askers:
            with server.silent():
                first, second = (askers.submit(watch.look) for _ in range(2))
                done, waiting = wait([first, second], return_when=FIRST_COMPLETED)
                assert [each.result().error for each in done] == ["the database has not answered for 5 s"]
            assert [each.result().error for each in waiting] == [None]
        store.dispose()


@pytest.mark.full
@pytest.mark.timeout(300)  # by which what hangs is seen to hang
def test_a_database_that_falls_silent_is_told_of_at_once_and_is_taken_back(
    make_archive: MakeArchive, serve: MakeService
) -> None:
    port, limits = free_port(), ServerLimits(connect_s=2, answer_s=4.0, hurried_s=2.0, rest_s=1.0)
    top = f'[schedule]\nevery = "1s"\noverdue = "1h"\n[metrics]\nlisten = "127.0.0.1:{port}"\n'
    base = f"http://127.0.0.1:{port}"
    with own_archive() as (server, database):
        archive = make_archive(database, messages=300)
        service = serve(archive, top=top, settle="1s", limits=limits)
        wait_until(lambda: archive.count("messages") == 300)
        wait_until(lambda: ask(f"{base}/readyz").status_code == 200)
        with server.silent():
            wait_until(lambda: ask(f"{base}/readyz").status_code == 503)
            assert "database" in ask(f"{base}/readyz").text
            assert values(ask(f"{base}/metrics").text)["archiver_database_up",] == 0
            assert ask(f"{base}/healthz").text == "alive\n"
        wait_until(lambda: ask(f"{base}/readyz").status_code == 200)
        archive.server.add({"msg_id": "later", "timestamp": archive.server.now_ms(), "from": "a", "chat_type": "chat"})
        wait_until(lambda: archive.count("messages") == 301)
        service.end()


@pytest.mark.full
def test_run_answers_metrics_health_and_readiness(archive: Archive, serve: MakeService) -> None:
    port = free_port()
    top = f'[schedule]\nevery = "1s"\noverdue = "4s"\n[metrics]\nlisten = "127.0.0.1:{port}"\n'
    serve(archive, top=top, settle="1s")
    base = f"http://127.0.0.1:{port}"
    wait_until(lambda: archive.count("messages") == 300)
    wait_until(lambda: ask(f"{base}/readyz").status_code == 200)
    assert ask(f"{base}/healthz").text == "alive\n"
    # Counted when a pull has ended; it may be ready a moment before.
    wait_until(lambda: ("archiver_requests_total", "200") in values(ask(f"{base}/metrics").text))
    told = ask(f"{base}/metrics")
    assert told.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = values(told.text)
    assert found["archiver_database_up",] == 1
    assert found["archiver_messages_total",] == 300
    assert found["archiver_requests_total", "200"] > 2
    assert ask(f"{base}/etc/passwd").status_code == 404
    assert ask(f"{base}/metrics", "POST").status_code == 501
    assert ask(f"{base}/metrics", "HEAD").text == ""
    archive.server.faults.http_500 = 1.0
    wait_until(lambda: ask(f"{base}/readyz").status_code == 503)
    assert "is overdue by" in ask(f"{base}/readyz").text
    assert ask(f"{base}/healthz").status_code == 200


def test_metrics_are_the_figures_of_status(archive: Archive) -> None:
    archive("pull", retention="72h")
    late = {"msg_id": "late", "timestamp": archive.server.start_ms + 5, "from": "a", "to": "b", "chat_type": "chat"}
    archive.server.add(late)
    archive.server.add({"timestamp": archive.server.start_ms + 6})
    day = ["--from", str(iso(archive.server.start_ms)), "--to", str(iso(archive.server.start_ms + DAY))]
    assert archive("audit", *day) == 3
    entry = archive.status()
    store = open_store(archive.database.url)
    look = monitor.look(config.load(archive.config, {}), store)
    store.dispose()
    texts = [found.text for found in alerts.findings(look.entries, {}, overdue_ms=10**9, files=True)]
    assert any(re.fullmatch(r"1 late arrivals so far, the worst \d+\.\d d late", text) for text in texts), texts
    assert archive("status", "--format", "prometheus") == 0
    found = values(archive.output)
    for name in ("messages", "bodies", "revisions", "late_arrivals", "refused_commits"):
        assert found[f"archiver_{name}_total",] == entry[name]
    assert found["archiver_late_arrivals_total",] == 1
    assert found["archiver_quarantined",] == 1
    assert found["archiver_worst_lateness_seconds",] > 0
    for name in ("lag_seconds", "time_to_loss_seconds", "freshness_seconds"):
        assert found[f"archiver_{name}",] == pytest.approx(entry[name], abs=60)
    assert found["archiver_retention_seconds",] == 72 * 3600
    assert found["archiver_complete_until_timestamp_seconds",] == entry["complete_until_ms"] / 1000
    assert found["archiver_windows", "closed"] == entry["windows"]["closed"]
    assert found["archiver_runs_total", "done"] == 1
    assert found["archiver_runs_total", "incomplete"] == 1, "the audit, as something was missing"
    assert found["archiver_holes", "stuck"] == 0
    assert found["archiver_disk_free_bytes",] > 0
    assert all(name.startswith("archiver_") for name, *_ in found)


def test_what_is_not_configured_any_more_is_in_no_metric_and_no_alert(archive: Archive) -> None:
    assert archive("pull") == 0
    archive.write_config(app="another")
    assert archive("status", "--format", "prometheus") == 0
    apps = {sample.labels.get("app") for family in text_string_to_metric_families(archive.output)
            for sample in family.samples}  # fmt: skip
    assert apps - {None} == {f"{archive.server.org}#another"}
    settings = config.load(archive.config, {})
    store = open_store(archive.database.url)
    look = monitor.look(settings, store)
    assert {entry.app for entry in look.entries} == {f"{archive.server.org}#another", f"{archive.server.org}#sandbox"}
    assert {found.app for found in alerts.findings(look.entries, {}, overdue_ms=1, files=True)} <= apps
    assert monitor.late(look, 1) == [text for text in monitor.late(look, 1) if "#another" in text] != []
    store.dispose()


def test_before_the_first_pull_there_are_metrics_too(archive: Archive) -> None:
    assert archive("status", "--format", "prometheus") == 0
    assert values(archive.output)["archiver_overdue_seconds",] > DAY / 1000


def test_a_run_that_died_counts_as_crashed_before_anybody_notes_it(archive: Archive) -> None:
    archive("pull")
    archive.database.run("UPDATE runs SET ended_at = NULL, outcome = NULL, heartbeat_at = '2026-01-01T00:00:00.000Z'")
    assert archive.status()["runs"] == {"crashed": 1, "done": 1}
    archive("pull")
    assert archive.status()["runs"] == {"crashed": 1, "done": 2}


def test_status_adds_up_what_ended_runs_counted(archive: Archive) -> None:
    archive.server.faults.latency_ms = 5
    archive.write_config(page_size=20)
    settings = config.load(archive.config, {})
    store = open_store(settings.database.sqlalchemy_url)
    from archiver.pull.commands import registered
    from archiver.store import runs

    key = registered(store, settings.apps[0])
    with store.write() as tx:
        number = runs.start(tx, key, "pull", "somebody")
        runs.end(
            tx,
            number,
            "unfinished",
            did=Tally(),
            pages=0,
            reason=None,
            requests={"200": 3, "error": 1},
            skew_ms=0,
            refused_commits=2,
        )
    with store.read() as tx:
        assert tx.conn.exec_driver_sql("SELECT count(*) FROM run_counters").scalar() == 4
    store.dispose()
    entry = archive.status()
    assert (entry["refused_commits"], entry["requests"]) == (2, {"200": 3, "error": 1})


@pytest.mark.full
def test_while_the_database_is_down_this_is_what_is_said(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive, serve: MakeService
) -> None:
    if postgres.control is None:
        pytest.skip("the server is not ours to stop")
    port = free_port()
    archive = make_archive(postgres_database, messages=3)
    serve(archive, top=f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
    base = f"http://127.0.0.1:{port}"
    wait_until(lambda: archive.count("messages") == 3)
    wait_until(lambda: ask(f"{base}/readyz").status_code == 200)
    postgres.control("stop", "-m", "fast")
    try:
        wait_until(lambda: ask(f"{base}/readyz").status_code == 503)
        assert values(ask(f"{base}/metrics").text) == {("archiver_database_up",): 0}
        assert ask(f"{base}/healthz").status_code == 200
    finally:
        postgres.control("start")
    wait_until(lambda: ask(f"{base}/readyz").status_code == 200)


@pytest.mark.full
def test_idle_connections_cannot_exhaust_the_daemon() -> None:
    with Endpoint("127.0.0.1", 0, {"/": lambda: Reply(200, b"x")}) as endpoint:
        idle = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(16)]
        with pytest.raises(requests.ConnectionError):
            ask(f"http://127.0.0.1:{endpoint.port}/")
        for each in idle:
            each.close()
        wait_until(lambda: answers(endpoint.port))


def answers(port: int) -> bool:
    try:
        return ask(f"http://127.0.0.1:{port}/").text == "x"
    except requests.ConnectionError:
        return False


@pytest.mark.full
def test_alerts_are_told_once_repeated_seldom_and_resolved(
    archive: Archive, listener: Listener, serve: MakeService
) -> None:
    archive.write_config()
    top = f'[schedule]\nevery = "1s"\n[alerts]\nwebhook = "{listener.url}/hook/s3cr3t-path?key=s3cr3t-key"\n'
    archive.server.faults.refuse_tokens = True
    service = serve(archive, top=top)
    wait_until(lambda: listener.of("POST"))
    path, body = listener.of("POST")[0]
    assert path == "/hook/s3cr3t-path?key=s3cr3t-key"
    names = {(one["name"], one["status"]) for one in body["alerts"]}
    assert ("ArchiverOverdue", "firing") in names
    assert "easemob-demo#sandbox" in body["text"]
    archive.server.faults.refuse_tokens = False
    service.hangup.set()
    archive.config.write_text(archive.config.read_text() + "\n")
    wait_until(lambda: archive.count("messages") == 300, 60)
    wait_until(lambda: ("ArchiverOverdue", "resolved") in told_to(listener))
    told = told_to(listener)
    assert len(told) == len(set(told))
    assert told.count(("ArchiverOverdue", "resolved")) == 1


def told_to(listener: Listener) -> list[tuple[str, str]]:
    return [(one["name"], one["status"]) for _, body in listener.of("POST") for one in body["alerts"]]


@pytest.mark.full
def test_a_pull_by_cron_tells_too_and_its_heartbeat_stops_when_something_is_wrong(
    database: Database, make_archive: MakeArchive, listener: Listener
) -> None:
    archive = make_archive(database, messages=300)
    archive.write_config()
    top = f'[alerts]\nwebhook = "{listener.url}/hook"\nheartbeat = "{listener.url}/beat/7f3a9c"\nform = "dingtalk"\n'
    archive.config.write_text(top + archive.config.read_text())
    assert archive("pull") == 0
    assert listener.of("GET") == [("/beat/7f3a9c", None)]
    assert listener.of("POST") == []
    archive.server.add({"timestamp": archive.server.start_ms + 6, "text": "canary-text-71c2"})
    day = ["--from", str(iso(archive.server.start_ms)), "--to", str(iso(archive.server.start_ms + DAY))]
    archive("audit", *day)
    later = iso(int(time.time() * 1000) + 1_800_000)  # as far ahead as a stuck window ever rests
    archive.database.run(f"UPDATE windows SET state = 'stuck', next_attempt_at = '{later}' WHERE id = 1")
    for _ in range(3):
        assert archive("pull") == 3
    assert len(listener.of("GET")) == 1
    (told,) = [body for _, body in listener.of("POST")]
    assert told["msgtype"] == "text"
    assert "ArchiverStuck" in told["text"]["content"]
    assert "1 records could not be read" in told["text"]["content"]
    assert "canary-text" not in str(told)
    assert archive("status") == 3


def test_what_could_not_be_told_is_told_at_the_next_look(archive: Archive, listener: Listener) -> None:
    archive("pull")
    store = open_store(archive.database.url)
    found = [Condition("ArchiverStuck", "a#b", "cursor", "critical", "one"), *grown(3)]
    down = ProviderUnavailable("hooks.example.com: it answered with 500")
    sent: list[Any] = []

    def refuse(payload: object) -> None:
        raise down

    for send in (refuse, sent.append, sent.append):
        alerts.tell(store, found, send, style=Style("json"), repeat_ms=3_600_000)
    assert [len(one["alerts"]) for one in sent] == [2]
    archive.database.run("UPDATE alerts SET told_at = '2026-01-01T00:00:00.000Z'")
    alerts.tell(store, found, sent.append, style=Style("json"), repeat_ms=3_600_000)
    assert [one["name"] for one in sent[-1]["alerts"]] == ["ArchiverStuck"], "what only grows is no news until it grew"
    archive.database.run("UPDATE alerts SET told_at = '2026-01-01T00:00:00.000Z'")
    alerts.tell(store, grown(4), sent.append, style=Style("feishu"), repeat_ms=3_600_000)
    assert sent[-1]["msg_type"] == "text"
    assert {"[firing] ArchiverLateArrivals", "[resolved] ArchiverStuck"} == {
        " ".join(line.split()[:2]) for line in sent[-1]["content"]["text"].splitlines()[1:]
    }
    store.dispose()


def test_a_webhook_that_fails_is_left_alone_for_a_while(archive: Archive, listener: Listener) -> None:
    archive("pull")
    archive.config.write_text(f'[alerts]\nwebhook = "{listener.url}/x"\n{archive.config.read_text()}')
    archive.database.run("UPDATE runs SET outcome = 'refused'")
    settings, pace = config.load(archive.config, {}), monitor.Pace()
    store = open_store(archive.database.url)
    listener.status = 500
    for _ in range(3):
        monitor.raise_alerts(settings, store, monitor.look(settings, store), pace)
    assert len(listener.requests) == 1
    listener.status, pace.webhook_rests_until = 200, 0.0
    for _ in range(3):
        monitor.raise_alerts(settings, store, monitor.look(settings, store), pace)
    assert len(listener.requests) == 2
    store.dispose()


def grown(count: int) -> list[Condition]:
    return [Condition("ArchiverLateArrivals", "a#b", "cursor", "warning", "late", count)]


LONGEST = "o" * 128 + "#" + "a" * 128


def text_of(told: Any, form: Form) -> str:
    """What a robot shows of a message."""
    match form:
        case "json":
            return str(told["text"])
        case "feishu":
            return str(told["content"]["text"])
    return str(told["text"]["content"])


@pytest.mark.full
@pytest.mark.parametrize("form", ["json", "dingtalk", "wecom", "feishu"])
@pytest.mark.parametrize("count", [1, 2, 17, 1000])
@pytest.mark.parametrize("words", ["overdue by 901 s, complete until 2026-11-28T00:00:00.000Z", "错" * 3000])
def test_an_alarm_fits_the_robot_whatever_falls_due_at_once(form: Form, count: int, words: str) -> None:
    found = [Condition("ArchiverOverdue", f"{LONGEST}{n}", "hourly", "critical", words) for n in range(count)]
    found += [Condition("ArchiverQuarantine", f"{LONGEST}{n}", "hourly", "warning", words) for n in range(count)]
    news = [News(each.key, ended=False, since=None) for each in reversed(found)]
    news.append(News(("ArchiverHole", "a#b", "cursor"), ended=True, since=None))
    told: Any = alerts.message(news, {each.key: each for each in found}, Style(form))
    text = text_of(told, form)
    most = {"wecom": len(text.encode()) <= 2048, "json": len(text) <= 4000}
    assert most.get(form, len(json.dumps(told).encode()) <= 20_000)
    first, second, *rest = text.splitlines()
    assert first == f"archiver on {socket.gethostname()}"
    assert second.startswith(f"[firing] ArchiverOverdue {LONGEST}")
    shown = sum(line.startswith("[") for line in [second, *rest])
    left = len(news) - shown
    assert rest[-1] == f"… and {left} more: archiver status" if left else not rest[-1].startswith("…")
    if form == "json":
        assert len(told["alerts"]) + told.get("left_out", 0) == len(news)


@pytest.mark.parametrize("form", ["json", "dingtalk", "wecom", "feishu"])
def test_what_others_say_is_one_line_of_text_however_long(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "\udcd5-pc")
    said = "their answer\n[resolved] ArchiverHole a#b: it has passed \udcff\x1b[2J " + "…" * 100_000
    finding = Condition("ArchiverMisconfigured", "a#b", "cursor", "critical", said)
    told: Any = alerts.message([News(finding.key, ended=False, since=None)], {finding.key: finding}, Style(form))
    json.dumps(told, ensure_ascii=False).encode()
    first, line = text_of(told, form).splitlines()
    assert first == r"archiver on \xd5-pc"
    assert r"their answer [resolved] ArchiverHole a#b: it has passed \udcff\x1b[2J" in line
    assert len(json.dumps(told)) < 20_000


@pytest.mark.parametrize(
    ("status_", "answer", "word"),
    [(500, b"", "answered with 500"), (302, b"", "answered with 302"), (200, b'{"errcode":310000}', "error 310000")],
)
def test_a_hook_that_refuses_is_named_by_its_host_alone(
    listener: Listener, status_: int, answer: bytes, word: str
) -> None:
    listener.status, listener.answer = status_, answer
    with pytest.raises(ProviderUnavailable, match=word) as raised:
        call(f"{listener.url}/s3cr3t?token=s3cr3t", {"text": "x"})
    assert "s3cr3t" not in str(raised.value)
    assert len(listener.requests) == 1


@pytest.mark.parametrize("form", ["dingtalk", "feishu"])
def test_an_alert_is_signed_says_why_and_where_to_read_in_the_language_of_people(
    archive: Archive, listener: Listener, form: str
) -> None:
    archive("pull")
    secret = archive.config.with_name("sign")
    secret.write_text("SECs3cr3t")
    secret.chmod(0o600)
    top = f'''[display]
language = "zh"
[alerts]
webhook = "{listener.url}/robot?access_token=t"
form = "{form}"
sign_secret_file = "sign"
runbook_url = "https://wiki.example.com/{{name}}.html"
'''
    archive.config.write_text(top + archive.config.read_text())
    archive.database.run("UPDATE runs SET outcome = 'refused', reason = 'client_secret has expired'")
    settings, store = config.load(archive.config, {}), open_store(archive.database.url)
    monitor.raise_alerts(settings, store, monitor.look(settings, store), monitor.Pace())
    store.dispose()
    ((path, body),) = listener.of("POST")
    text = str(body["text"]["content"] if form == "dingtalk" else body["content"]["text"])
    assert "服务商拒绝了凭据：client_secret has expired" in text
    assert "https://wiki.example.com/ArchiverCredentialsRefused.html" in text
    if form == "dingtalk":
        stamp, sign = re.fullmatch(r"/robot\?access_token=t&timestamp=(\d+)&sign=(.+)", path).groups()  # type: ignore[union-attr]
        expected = hmac.digest(b"SECs3cr3t", f"{stamp}\nSECs3cr3t".encode(), "sha256")
    else:
        stamp, sign = body["timestamp"], body["sign"]
        expected = hmac.digest(f"{stamp}\nSECs3cr3t".encode(), b"", "sha256")
    assert base64.b64decode(unquote(sign)) == expected
    assert archive("check-config") == 0
    assert "SECs3cr3t" not in archive.output
    archive.config.write_text(archive.config.read_text().replace(f'form = "{form}"', 'form = "wecom"'))
    assert archive("check-config") == 2
    assert "alerts.sign_secret" in archive.errors


def test_a_hook_that_is_down_shows_no_secret() -> None:
    with pytest.raises(ProviderUnavailable) as raised:
        call(f"http://127.0.0.1:{free_port()}/s3cr3t")
    assert str(raised.value) == "127.0.0.1: it refused the connection"


def test_the_addresses_of_alerts_are_secrets(archive: Archive) -> None:
    archive.write_config()
    top = '[alerts]\nwebhook = "https://hooks.example.com/T0/s3cr3t"\nheartbeat = "https://hc.example.com/s3cr3t"\n'
    archive.config.write_text(top + archive.config.read_text())
    assert archive("check-config") == 0
    assert 'webhook = "***"' in archive.output
    assert "s3cr3t" not in archive.output + archive.errors
    assert "move it to a file" in archive.errors


EVIDENCE = (
    *("Unanchored", "AnchorLate", "EntryUnsigned", "LedgerBehind", "LedgerFork", "TwoSigners"),
    *("Difference", "ScrubLate"),
)


def evidence_with(problems: Sequence[Problem]) -> Report:
    times = {"signed_ms": None, "queue_age_seconds": 0.0, "unanchored_age_seconds": 0.0, "scrub_ended_ms": None}
    rest = {"scrub_age_seconds": None, "differences": None, "anchors": ()}
    named = {"name": "n", "origin": "n", "size": 0, "fingerprint": ""}
    return Report(**named, **times, **rest, problems=tuple(problems))  # type: ignore[arg-type]


def test_an_alert_is_raised_by_what_it_stands_for_and_is_in_both_manuals(archive: Archive) -> None:
    archive("pull")
    report = archive.report()
    range_ = Window(0, 1)
    wrong: dict[str, dict[str, Any]] = {
        "ArchiverCredentialsRefused": {"last_run": {"outcome": "refused", "ended_at": ""}},
        "ArchiverMisconfigured": {"last_run": {"outcome": "failed", "ended_at": ""}},
        "ArchiverOverdue": {"overdue_seconds": 1000.0},
        "ArchiverLossNear": {"retention_seconds": 100.0, "time_to_loss_seconds": 49.0},
        "ArchiverFilesLossNear": {"attachments_time_to_loss_seconds": 3600.0},
        "ArchiverFilesForeign": {"foreign_expiring": 3, "foreign_hosts": 1},
        "ArchiverHole": {"holes": (Hole(range_, "expired", None),)},
        "ArchiverStuck": {"holes": (Hole(range_, "stuck", None), Hole(range_, "accepted", None))},
        "ArchiverQuarantine": {"quarantined": 1},
        "ArchiverLateArrivals": {"late_arrivals": 1, "worst_lateness_ms": 7},
        "ArchiverClockSkew": {"clock_skew_ms": -400_000},
        "ArchiverCanaryLost": {"last_canary": {"outcome": "lost", "sent_at": "", "delay_seconds": None}},
    }
    assert alerts.findings([report], {}, overdue_ms=900_000, files=True) == []
    for name, change in wrong.items():
        (found,) = alerts.findings([replace(report, **change)], {}, overdue_ms=900_000, files=True)
        assert found.name == name
    (full,) = alerts.findings([], {"disk_free_bytes": 5, "disk_size_bytes": 100}, overdue_ms=1, files=True)
    assert full.name == "ArchiverDiskNearlyFull"
    problems = [Problem(f"Archiver{name}", "x") for name in EVIDENCE]
    assert {found.name for found in alerts.of_evidence(evidence_with(problems))} == {one.name for one in problems}
    wrong |= {one.name: {} for one in problems}
    (restored,) = alerts.of_restore(1)
    assert (restored.name, restored.severity, alerts.of_restore(None)) == ("ArchiverReapply", "critical", [])
    wrong[restored.name] = {}
    docs = Path(__file__).parents[2] / "docs"
    for page in ("operations.md", "operations.zh-CN.md"):
        explained = set(re.findall(r"\*\*(Archiver\w+)", (docs / page).read_text(encoding="utf-8")))
        assert {*wrong, full.name} <= explained, page
    assert alerts.findings([replace(report, configured=False, quarantined=1)], {}, overdue_ms=1, files=True) == []
    assert not re.search(r"\d{13}", json.dumps(full))
    assert coverage.has_hole([replace(report, holes=(Hole(range_, "stuck", None),))])
