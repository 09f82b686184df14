"""Whether a bucket can let go of what is erased: by the S3 API of moto, and by answers that moto does not give."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import botocore.auth
import pytest
import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from archiver.blobs import bucket
from archiver.blobs.bucket import Bucket, Credentials
from archiver.errors import ProviderUnavailable
from archiver.http import get
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.blobs import KEYS
from tests.fixtures.databases import Database
from tests.fixtures.http import Scripted
from tests.postgres import free_port

VERSIONS = "<VersioningConfiguration><Status>{}</Status></VersioningConfiguration>"
_numbers = iter(range(10_000))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def made_bucket(s3_endpoint: str, keys: None) -> str:
    """The address of a bucket of its own."""
    address = f"{s3_endpoint}/bucket-{os.getpid()}-{next(_numbers)}"
    requests.put(address, timeout=10).raise_for_status()
    return address


def of_doctor(archive: Archive, address: str, *, lifecycle: str = "[lifecycle]\n") -> list[str]:
    """What `doctor` says of the store of attachments in a bucket."""
    endpoint, _, name = address.rpartition("/")
    archive.write_config()
    section = f'\n[attachments]\nstore = "s3://{name}/files"\nendpoint = "{endpoint}"\n'
    archive.config.write_text(lifecycle + archive.config.read_text() + section)
    archive("doctor")
    return [line for line in archive.output.splitlines() if "attachments" in line or "bucket" in line]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_doctor_says_when_a_bucket_cannot_erase(
    database: Database, make_archive: MakeArchive, made_bucket: str
) -> None:
    archive = make_archive(database, messages=5)
    assert archive("pull") == 0
    lines = of_doctor(archive, made_bucket)
    assert any("lets go of what is erased" in line for line in lines), lines
    for status in ("Enabled", "Suspended"):
        requests.put(f"{made_bucket}?versioning=", data=VERSIONS.format(status), timeout=10).raise_for_status()
        assert any("the bucket keeps versions" in line for line in of_doctor(archive, made_bucket)), status
    locked = f"{made_bucket}-locked"
    requests.put(locked, headers={"x-amz-bucket-object-lock-enabled": "true"}, timeout=10).raise_for_status()
    assert any("the bucket has object lock" in line for line in of_doctor(archive, locked))
    for section in ("", "[lifecycle]\ndeletion = false\n"):
        lines = of_doctor(archive, locked, lifecycle=section)
        assert len(lines) == 1, "where nothing is erased, versions are no fault"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_doctor_cannot_ask_it_says(
    database: Database, make_archive: MakeArchive, made_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_archive(database, messages=5)
    assert archive("pull") == 0
    monkeypatch.setattr(bucket.Credentials, "of", classmethod(lambda *_: None))
    assert any("is not known: no AWS_ACCESS_KEY_ID" in line for line in of_doctor(archive, made_bucket))


KNOWN = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a token", "eu-west-1")
NO_LOCK = b"<Code>ObjectLockConfigurationNotFoundError</Code>"
AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("versioning", "lock", "expected"),
    [
        (
            (200, b"<VersioningConfiguration/>"),
            (404, b"<Code>ObjectLockConfigurationNotFoundError</Code>"),
            (False, False),
        ),
        ((403, b"<Code>AccessDenied</Code>"), (403, b"<Code>AccessDenied</Code>"), (None, None)),
        ((501, b"<Code>NotImplemented</Code>"), (404, b"<Code>NoSuchBucket</Code>"), (None, None)),
        ((200, b"\xff<html>"), (200, b""), (None, None)),
    ],
)
def test_what_a_bucket_says_is_read_with_care(
    versioning: tuple[int, bytes], lock: tuple[int, bytes], expected: tuple[bool | None, bool | None]
) -> None:
    answers = iter((versioning, lock))
    assert bucket.examine("s3://b/x", None, KNOWN, lambda *_: next(answers), AT) == Bucket(*expected)


def test_a_question_is_signed_with_all_that_it_has() -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    def get_nothing(url: str, headers: object) -> tuple[int, bytes]:
        asked.append((url, dict(headers)))  # type: ignore[call-overload]
        return 403, b""

    bucket.examine("s3://b/x", None, KNOWN, get_nothing, AT)
    assert [url for url, _ in asked] == [
        f"https://s3.eu-west-1.amazonaws.com/b?{question}=" for question in ("versioning", "object-lock")
    ]
    signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
    for url, headers in asked:
        assert signed in headers["authorization"]
        assert headers["x-amz-date"] == "20261129T120000Z"
        assert KNOWN.secret not in str(headers)
        assert headers["authorization"] == by_botocore(url, headers)


def by_botocore(url: str, headers: dict[str, str]) -> str:
    """The signature of Amazon's own library, over the same headers."""
    request = AWSRequest("GET", url, {"x-amz-content-sha256": headers["x-amz-content-sha256"]})
    signer = S3SigV4Auth(BotoCredentials(KNOWN.key_id, KNOWN.secret, KNOWN.token), "s3", KNOWN.region)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: AT.replace(tzinfo=None))
        signer.add_auth(request)
    return str(request.headers["Authorization"])


def test_a_silent_bucket_is_no_answer(server: Scripted) -> None:
    with pytest.raises(ProviderUnavailable):
        bucket.examine("s3://b/x", f"http://127.0.0.1:{free_port()}", KNOWN, get, AT)
    assert server.asked == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "https://s3.us-east-1.amazonaws.com"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com"),
        ({"AWS_REGION": "cn-north-1"}, "https://s3.cn-north-1.amazonaws.com.cn"),
        ({"AWS_ENDPOINT_URL": "https://oss.example.com"}, "https://oss.example.com"),
    ],
)
def test_a_bucket_is_asked_where_its_objects_are(environ: dict[str, str], expected: str) -> None:
    known = Credentials.of({**KEYS, "AWS_REGION": "", **environ})
    assert known is not None
    assert known.address == expected
    assert Credentials.of(environ) is None, "without keys nothing is asked"
