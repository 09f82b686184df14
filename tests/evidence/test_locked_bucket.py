"""A bucket that gives every object a retention by itself: notes are taken, read back, and removed by nobody.

Such a bucket demands a digest of what is written. moto knows one header of the two by which S3 takes it, which SDKs
send and object_store does not: so a stand-in before it asks as S3 does, and says it in moto's way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import boto3
import pytest
import requests

from archiver import merkle, notes, signing
from archiver.config.evidence import S3Sink
from archiver.evidence.anchors import calls
from tests.fixtures.blobs import KEYS

pytestmark = pytest.mark.full
KEY, NAME, DAYS = signing.from_seed(bytes(range(32))), "archive.example.com/acme", 3


_numbers = count()


class Demanding(BaseHTTPRequestHandler):
    """Before moto: an object without a digest is refused, as S3 refuses it where a default retention is set."""

    behind = ""
    refused: list[str] = []  # noqa: RUF012 - one server at a time
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        if self.command == "PUT" and "x-amz-checksum-sha256" not in self.headers:
            self.refused.append(self.path)
            self._say(400, {}, b"<Error><Code>InvalidRequest</Code></Error>")
            return
        if self.command == "PUT":
            headers["x-amz-sdk-checksum-algorithm"] = "SHA256"
        answer = requests.request(self.command, self.behind + self.path, headers=headers, data=body, timeout=30)
        kept = {name: value for name, value in answer.headers.items() if name.lower() in _KEPT}
        self._say(answer.status_code, kept, answer.content)

    def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _answer  # noqa: N815 - as the class wants them

    def log_message(self, *_: object) -> None:
        pass


_KEPT = ("etag", "last-modified", "content-type", "x-amz-version-id")


@pytest.fixture
def demanding(s3_endpoint: str) -> Iterator[str]:
    handler = type("One", (Demanding,), {"behind": s3_endpoint, "refused": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")


@pytest.fixture
def retaining(client: Any, demanding: str) -> S3Sink:
    """A bucket with object lock, and a retention of three days by default."""
    name = f"retaining{os.getpid()}-{next(_numbers)}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": DAYS}}
    client.put_object_lock_configuration(
        Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    return S3Sink(sink="s3", url=f"s3://{name}/checkpoints", endpoint=demanding)


def note(size: int) -> bytes:
    return notes.sign(notes.Note(NAME, size, merkle.leaf_hash(b"%d" % size)), [(KEY.public, KEY.sign)])


def test_a_bucket_with_a_retention_of_its_own_takes_notes_and_keeps_them(retaining: S3Sink, client: Any) -> None:
    bucket = retaining.url.removeprefix("s3://").partition("/")[0]
    for size in (5, 70):
        assert calls.put(retaining, note(size)) == calls.AnchorOutcome("anchored")
    assert calls.put(retaining, note(5)).state == "anchored", "a lost answer is no failure"
    assert list(calls.newer(retaining, 0)) == [note(5), note(70)]
    other = notes.sign(notes.Note(NAME, 5, bytes(32)), [(KEY.public, KEY.sign)])
    assert calls.put(retaining, other).state == "failed", "the first one stays"
    versions = client.list_object_versions(Bucket=bucket, Prefix="checkpoints/")["Versions"]
    assert len(versions) == 2
    for one in versions:
        kept = client.head_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
        assert kept["ObjectLockMode"] == "COMPLIANCE"
        until = kept["ObjectLockRetainUntilDate"] - datetime.now(UTC)
        assert timedelta(days=DAYS - 1) < until <= timedelta(days=DAYS, hours=1)
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    calls.note(retaining, b'{"msg_id":"1"}\n')
    assert list(calls.noted(retaining)) == [b'{"msg_id":"1"}\n'], "lines on erasures as well"


def test_the_probe_of_doctor_finds_nothing_to_warn_of(retaining: S3Sink) -> None:
    assert calls.probe(retaining) == []
    assert calls.put(retaining, note(5)).state == "anchored"
