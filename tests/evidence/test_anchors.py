"""Sinks as they are, and sinks that hang, lie, are away or cannot be written."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import obstore
import pytest
from obstore.store import S3Store

from archiver import merkle, notes, signing
from archiver.config.evidence import Evidence, FileSink, S3Sink, Sink, TimestampSink, WebhookSink
from archiver.doctor import evidence
from archiver.errors import ConfigurationError, TryAgainLater
from archiver.evidence.anchors import calls, rfc3161
from archiver.http import Way
from tests.fixtures.authority import Authority
from tests.fixtures.blobs import KEYS
from tests.fixtures.http import Scripted

NAME, KEY = "archive.example.com/acme", signing.from_seed(bytes(range(32)))
WEBHOOK = "http://127.0.0.1:{port}/robot/send?access_token=t0k3n"
_numbers = iter(range(1_000))


def note(size: int, origin: str = NAME) -> bytes:
    return notes.sign(notes.Note(origin, size, merkle.leaf_hash(b"%d" % size)), [(KEY.public, KEY.sign)])


def file_sink(path: Path) -> FileSink:
    return FileSink(sink="file", path=path)


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Sink:
    """An empty prefix of a bucket."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return S3Sink(sink="s3", url=f"s3://bucket/anchors/{os.getpid()}/{next(_numbers)}", endpoint=s3_endpoint)


def objects(sink: S3Sink) -> S3Store:
    options = {"endpoint": sink.endpoint, "client_options": {"allow_http": True}}
    return S3Store.from_url(sink.url, **options)  # type: ignore[arg-type]


def readable(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> FileSink | S3Sink:
    sink = file_sink(tmp_path / "notes") if kind == "file" else request.getfixturevalue("bucket")
    assert isinstance(sink, FileSink | S3Sink)
    return sink


@pytest.mark.full
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_notes_come_back_from_a_readable_sink_in_order(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sink = readable(kind, request, tmp_path)
    assert list(calls.newer(sink, 0)) == []
    for size in (5, 70, 800):
        assert calls.put(sink, note(size)) == calls.AnchorOutcome("anchored")
    assert list(calls.newer(sink, 0)) == [note(5), note(70), note(800)]
    assert list(calls.newer(sink, 5)) == [note(70), note(800)]
    assert list(calls.newer(sink, 800)) == []


@pytest.mark.full
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_lines_on_erasures_come_back_from_a_readable_sink(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sink = readable(kind, request, tmp_path)
    assert list(calls.noted(sink)) == []
    for lines in (b'{"msg_id":"1"}\n', b'{"msg_id":"2"}\n{"msg_id":"3"}\n'):
        calls.note(sink, lines)
    noted = b"".join(calls.noted(sink)).splitlines()
    assert sorted(noted) == [b'{"msg_id":"1"}', b'{"msg_id":"2"}', b'{"msg_id":"3"}']
    assert calls.put(sink, note(5)).state == "anchored"
    assert list(calls.newer(sink, 0)) == [note(5)]


def test_a_file_that_a_writer_left_unfinished_is_gone_on_with(tmp_path: Path) -> None:
    sink = file_sink(tmp_path / "notes")
    calls.put(sink, note(5))
    with (tmp_path / "notes").open("ab") as file:
        file.write(b"\n" + note(6)[:60])
    assert calls.put(sink, note(7)).state == "anchored"
    assert list(calls.newer(sink, 0)) == [note(5), note(7)]


@pytest.mark.full
def test_a_long_file_is_read_from_near_its_end_and_without_gaps(tmp_path: Path) -> None:
    whole = b"".join(b"\n" + note(size) for size in range(1, 3001))
    (tmp_path / "notes").write_bytes(whole)
    sink = file_sink(tmp_path / "notes")
    assert list(calls.newer(sink, 0)) == [note(size) for size in range(1, 3001)]
    (tmp_path / "notes").write_bytes(b"\0" * 300_000 + whole)
    assert list(calls.newer(sink, 2990)) == [note(size) for size in range(2991, 3001)]


@pytest.mark.full
def test_a_bucket_keeps_the_first_note_of_a_size(bucket: S3Sink) -> None:
    assert calls.put(bucket, note(5)).state == "anchored"
    assert calls.put(bucket, note(5)).state == "anchored", "a lost answer is no failure"
    other = notes.sign(notes.Note(NAME, 5, bytes(32)), [(KEY.public, KEY.sign)])
    outcome = calls.put(bucket, other)
    assert outcome == calls.AnchorOutcome("failed", "the bucket holds another note of this size: 00000000000000000005")
    assert list(calls.newer(bucket, 0)) == [note(5)]


@pytest.mark.full
def test_a_later_epoch_may_come_to_the_same_size(bucket: S3Sink) -> None:
    second = note(5, f"{NAME}#2")
    assert [calls.put(bucket, one).state for one in (note(5), second)] == ["anchored", "anchored"]
    obstore.put(objects(bucket), "probe-1", b"not a note")
    assert list(calls.newer(bucket, 4)) == [note(5), second]
    assert list(calls.newer(bucket, 5)) == []


def test_a_note_goes_to_a_chat_in_its_form(server: Scripted) -> None:
    server.script = [b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"errcode":0}']
    sink = webhook(server, "wecom")
    assert calls.put(sink, note(5)) == calls.AnchorOutcome("anchored")
    body = json.loads(server.asked[0].partition(b"\r\n\r\n")[2])
    assert body == {"msgtype": "text", "text": {"content": note(5).decode()}}
    assert [one.data for one in notes.find(body["text"]["content"])] == [note(5)]


@pytest.mark.parametrize("form", ["dingtalk", "feishu"])
def test_a_note_is_signed_as_the_robots_settings_demand(server: Scripted, form: str) -> None:
    server.script = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"]
    assert calls.put(webhook(server, form, "SEC1"), note(5)).state == "anchored"
    request = server.asked[0]
    if form == "dingtalk":
        query = parse_qs(urlsplit(request.split(b" ")[1].decode()).query)
        stamp, sign = query["timestamp"][0], query["sign"][0]
        assert query["access_token"] == ["t0k3n"]
        assert abs(int(stamp) / 1000 - time.time()) < 600
        expected = hmac.new(b"SEC1", f"{stamp}\nSEC1".encode(), "sha256").digest()
    else:
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        stamp, sign = body["timestamp"], body["sign"]
        assert body["content"] == {"text": note(5).decode()}
        expected = hmac.new(f"{stamp}\nSEC1".encode(), b"", "sha256").digest()
    assert base64.b64decode(sign) == expected


def test_a_chat_that_refuses_has_not_taken_the_note(server: Scripted) -> None:
    server.script = [b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"errcode": 310000}']
    outcome = calls.put(webhook(server, "dingtalk"), note(5))
    assert outcome == calls.AnchorOutcome("failed", "127.0.0.1: it did not take the message (error 310000)")


def webhook(server: Scripted, form: str, secret: str | None = None) -> WebhookSink:
    given = {"sink": "webhook", "form": form, "webhook": WEBHOOK.format(port=server.port), "sign_secret": secret}
    return WebhookSink.model_validate(given)


def stamping(authority: Authority, root_file: Path | None = None) -> TimestampSink:
    return TimestampSink(sink="rfc3161", url=authority.url, root_file=root_file or authority.root_file)


def test_an_authority_stamps_a_note(authority: Authority) -> None:
    outcome = calls.put(stamping(authority), note(5))
    assert (outcome.state, outcome.reason) == ("anchored", None)
    assert outcome.proof is not None
    judgement = rfc3161.judge(outcome.proof, note(5), str(authority.root_file))
    assert judgement.problem is None
    assert judgement.at is not None
    assert abs(judgement.at.timestamp() - time.time()) < 600
    assert rfc3161.judge(outcome.proof, note(6), str(authority.root_file)).problem is not None


@pytest.mark.full
def test_a_token_below_another_root_is_kept_and_not_accepted(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    other.stop()
    outcome = calls.put(stamping(authority, other.root_file), note(5))
    assert outcome.state == "unverified"
    assert outcome.reason
    assert outcome.proof is not None
    assert rfc3161.judge(outcome.proof, note(5), str(authority.root_file)).problem is None


@pytest.mark.full
def test_a_token_with_certificates_out_of_order_is_judged_by_openssl(tmp_path: Path) -> None:
    for attempt in range(4):  # the order is that of random serials and keys
        folder = tmp_path / str(attempt)
        folder.mkdir()
        one = Authority(folder, intermediate=True)
        try:
            outcome = calls.put(stamping(one), note(5))
        finally:
            one.stop()
        assert (outcome.state, outcome.reason) == ("anchored", None)


@pytest.mark.full
def test_a_token_of_an_expired_certificate_is_judged_at_its_own_time(authority: Authority) -> None:
    outcome = calls.put(stamping(authority), note(5))
    assert outcome.proof is not None
    at = rfc3161.judge(outcome.proof, note(5), str(authority.root_file)).at
    assert at is not None
    assert rfc3161._openssl_accepts(outcome.proof, note(5), str(authority.root_file), at)
    later = at.replace(year=at.year + 3, day=1)
    assert not rfc3161._openssl_accepts(outcome.proof, note(5), str(authority.root_file), later)


@pytest.mark.full
@pytest.mark.parametrize("answer", [b"", b"<html>", bytes(100)])
def test_what_is_no_token_is_kept_and_not_accepted(authority: Authority, answer: bytes) -> None:
    authority.lie = answer
    outcome = calls.put(stamping(authority), note(5))
    assert (outcome.state, outcome.proof) == ("unverified", answer)


@pytest.mark.full
def test_a_token_for_another_query_is_not_accepted(authority: Authority) -> None:
    first = calls.put(stamping(authority), note(5)).proof
    authority.lie = first
    assert calls.put(stamping(authority), note(6)).state == "unverified"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.full
@pytest.mark.parametrize("kind", ["file", "s3", "webhook", "rfc3161"])
def test_a_sink_that_hangs_is_left_after_its_time(
    kind: str, silent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    held = leased(tmp_path / "notes")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    sinks: dict[str, Callable[[], Sink]] = {
        "file": lambda: file_sink(tmp_path / "notes"),
        "s3": lambda: S3Sink(sink="s3", url="s3://bucket/x", endpoint=f"http://127.0.0.1:{silent}"),
        "webhook": lambda: WebhookSink.model_validate(
            {"sink": "webhook", "webhook": WEBHOOK.format(port=silent), "form": "json"}
        ),
        "rfc3161": lambda: TimestampSink(
            sink="rfc3161", url=f"http://127.0.0.1:{silent}/", root_file=authority.root_file
        ),
    }
    sink = sinks[kind]()
    before = time.monotonic()
    outcome = calls.put(sink, note(5), limit_s=1.5)
    assert outcome.state == "failed"
    assert outcome.reason
    assert time.monotonic() - before < 60
    if isinstance(sink, FileSink | S3Sink):
        with pytest.raises((TryAgainLater, ConfigurationError)):
            list(calls.newer(sink, 0, limit_s=1.5))
    os.close(held)


def leased(path: Path) -> int:
    """A file whose opening waits until the lease is given back, as one on a mount that is away makes one wait."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    return descriptor


@pytest.mark.full
def test_a_hanging_call_that_cannot_be_ended_is_not_joined_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = file_sink(tmp_path / "notes")
    stuck = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        monkeypatch.setitem(calls._hanging, f"file:{tmp_path}/notes", (stuck, time.monotonic()))
        outcome = calls.put(sink, note(5))
        assert outcome.state == "failed"
        assert "still hangs and cannot be ended" in str(outcome.reason)
    finally:
        stuck.kill()
        stuck.wait()
    assert calls.put(sink, note(5)).state == "anchored"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda path: path.mkdir(), "the file cannot be used: Is a directory"),
        (lambda path: path.symlink_to("/nowhere/notes"), "the file cannot be used: No such file or directory"),
        (lambda path: path.symlink_to("/proc/self/comm"), "the file cannot be used"),
        (lambda path: path.symlink_to("/dev/full"), "No space left on device"),
        (lambda path: path.symlink_to("/dev/null"), "the file cannot be used: Invalid argument"),
    ],
)
def test_a_file_that_cannot_keep_a_note_says_why(tmp_path: Path, prepare: Callable[[Path], None], reason: str) -> None:
    path = tmp_path / "notes"
    prepare(path)
    outcome = calls.put(file_sink(path), note(5))
    assert outcome.state == "failed"
    assert reason in str(outcome.reason)


def test_a_mount_that_is_away_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(TryAgainLater, match="is it mounted"):
        list(calls.newer(file_sink(tmp_path / "mount/notes"), 0))


@pytest.mark.full
def test_a_bucket_that_is_not_there_or_refuses_says_so(bucket: S3Sink) -> None:
    missing = S3Sink(sink="s3", url="s3://no-such-bucket/x", endpoint=bucket.endpoint)
    outcome = calls.put(missing, note(5))
    assert outcome.state == "failed"
    assert "the bucket could not be written" in str(outcome.reason)
    with pytest.raises(ConfigurationError, match="the bucket could not be listed"):
        list(calls.newer(missing, 0))


@pytest.mark.full
def test_a_bucket_that_may_only_be_read_says_so(server: Scripted, bucket: S3Sink) -> None:
    server.script = [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"]
    outcome = calls.put(S3Sink(sink="s3", url="s3://bucket/x", endpoint=f"http://127.0.0.1:{server.port}"), note(5))
    assert outcome.state == "failed"
    assert "the bucket could not be written: PermissionDeniedError (403)" in str(outcome.reason)


def test_a_bucket_that_forgets_what_it_took_is_no_anchor(server: Scripted, bucket: S3Sink) -> None:
    gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    server.script = [b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 0\r\n\r\n', gone]
    outcome = calls.put(S3Sink(sink="s3", url="s3://bucket/x", endpoint=f"http://127.0.0.1:{server.port}"), note(5))
    assert outcome == calls.AnchorOutcome("failed", "the bucket does not give back what was written")


@pytest.mark.full
def test_nobody_there_is_a_failure_with_its_reason(bucket: S3Sink, tmp_path: Path, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    gone = S3Sink(sink="s3", url="s3://bucket/x", endpoint=f"http://127.0.0.1:{port}")
    assert calls.put(gone, note(5)).state == "failed"
    sink = TimestampSink(sink="rfc3161", url=f"http://127.0.0.1:{port}/", root_file=authority.root_file)
    assert "127.0.0.1: " in str(calls.put(sink, note(5)).reason)


def test_the_address_of_a_webhook_is_in_no_command_line_and_no_reason(server: Scripted) -> None:
    seen: list[bytes] = []

    def look(_: Scripted, connection: socket.socket) -> None:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(process.read_bytes())
            except OSError:
                continue
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    server.script = [look]
    outcome = calls.put(webhook(server, "json"), note(5))
    assert any(b"archiver.evidence.anchors.child" in line for line in seen)
    assert not any(b"t0k3n" in line for line in seen)
    assert outcome == calls.AnchorOutcome("failed", "127.0.0.1: it answered with 500")


@pytest.mark.full
def test_a_proxy_is_used_by_the_child(server: Scripted) -> None:
    server.script = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"]
    sink = WebhookSink.model_validate({"sink": "webhook", "webhook": "https://hooks.example.com/t0k3n"})
    outcome = calls.put(sink, note(5), Way(None, f"http://127.0.0.1:{server.port}"))
    assert outcome.state == "failed"
    assert server.asked[0].startswith(b"CONNECT hooks.example.com:443 ")


@pytest.mark.full
def test_a_probe_says_what_this_account_could_do(tmp_path: Path, bucket: S3Sink) -> None:
    sink = file_sink(tmp_path / "notes")
    fresh = calls.probe(sink)
    assert [line.split(" by ")[0] for line in fresh] == ["may be overwritten", "may be deleted"]
    assert list(tmp_path.iterdir()) == []
    calls.put(sink, note(5))
    assert [line.split(" by ")[0] for line in calls.probe(sink)] == ["may be overwritten and deleted"]
    assert list(calls.newer(sink, 0)) == [note(5)]
    assert [line.split(" with ")[0] for line in calls.probe(bucket)] == ["may be overwritten", "may be deleted"]


@pytest.mark.full
def test_a_bucket_with_object_lock_keeps_what_it_has(bucket: S3Sink) -> None:
    name = f"locked{os.getpid()}"
    client = boto3.client("s3", endpoint_url=bucket.endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    locked = S3Sink(sink="s3", url=f"s3://{name}/checkpoints", endpoint=bucket.endpoint)
    assert calls.probe(locked) == []
    assert calls.put(locked, note(5)).state == "anchored"
    assert list(calls.newer(locked, 0)) == [note(5)]


def test_a_checksum_goes_along_as_a_bucket_with_a_retention_period_demands(server: Scripted, bucket: S3Sink) -> None:
    """moto wants a header that SDKs alone send; S3 takes this one, which is all that object_store sends."""
    server.script = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    calls.put(S3Sink(sink="s3", url="s3://bucket/x", endpoint=f"http://127.0.0.1:{server.port}"), note(5))
    request = server.asked[0].lower()
    assert b"\r\nif-none-match: *\r\n" in request
    checksum = base64.b64encode(hashlib.sha256(note(5)).digest())
    assert b"\r\nx-amz-checksum-sha256: " + checksum.lower() in request


@pytest.mark.deploy
def test_a_file_that_only_grows_passes_the_probe(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.touch(mode=0o644)
    program = shutil.which("chattr")
    if program is None or subprocess.run([program, "+a", path], capture_output=True).returncode:
        pytest.skip("no append-only files here: needs chattr, its right, and a file system that has them")
    try:
        assert calls.put(file_sink(path), note(5)).state == "anchored"
        assert calls.probe(file_sink(path)) == []
    finally:
        subprocess.run([program, "-a", path], check=True)


def test_webhooks_and_authorities_have_nothing_to_probe(server: Scripted) -> None:
    assert calls.probe(webhook(server, "json")) == []


@pytest.mark.full
def test_doctor_says_what_could_happen_to_anchors_and_whose_key_it_is(tmp_path: Path, authority: Authority) -> None:
    key = signing.create(tmp_path / "key")
    given = {"name": NAME, "key_file": tmp_path / "key", "state_file": tmp_path / "state"}
    sinks = (file_sink(tmp_path / "notes"), stamping(authority), file_sink(tmp_path / "away/notes"))
    section = Evidence.model_validate(given).model_copy(update={"anchors": sinks})
    findings = list(evidence.findings(section, Way()))
    assert [(finding.state, finding.what.partition(":")[2].partition(":")[0]) for finding in findings] == [
        ("ok", " key"),
        ("warning", " file"),
        ("warning", " file"),
        ("ok", " rfc3161"),
        ("failed", " file"),
    ]
    assert key.fingerprint in findings[0].text
    assert findings[-1].remedy
    authority.lie = b"no token"
    assert list(evidence.findings(section, Way()))[3].state == "warning"


def test_doctor_says_how_to_get_a_key(tmp_path: Path) -> None:
    given = {"name": NAME, "key_file": tmp_path / "key", "state_file": tmp_path / "state"}
    finding = next(evidence.findings(Evidence.model_validate(given), Way()))
    assert (finding.state, finding.code) == ("failed", 2)
    assert "archiver evidence init" in str(finding.remedy)
