"""What a bucket does with objects that are deleted: whether it keeps their versions, and whether it locks them.

obstore knows objects alone, so these two questions are signed here (AWS Signature Version 4,
docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html), and asked by whoever has a way to the network.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit

Get = Callable[[str, Mapping[str, str]], tuple[int, bytes]]
"""Asks an address with these headers; gives status and body. Raises ProviderUnavailable."""
_EMPTY = hashlib.sha256(b"").hexdigest()


class Credentials(NamedTuple):
    """By which a request is signed, and where the environment says that it goes."""

    key_id: str
    secret: str
    token: str | None
    region: str
    endpoint: str | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Credentials | None:
        """Those of the environment; None where it has none, as on machines that are given theirs otherwise."""
        key_id, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
        if not key_id or not secret:
            return None
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        endpoint = environ.get("AWS_ENDPOINT_URL") or environ.get("AWS_ENDPOINT")
        return cls(key_id, secret, environ.get("AWS_SESSION_TOKEN"), region, endpoint)

    @property
    def address(self) -> str:
        """Amazon's in the region, unless the environment names another one; in China it has a domain of its own."""
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return self.endpoint or f"https://s3.{self.region}.{domain}"


class Bucket(NamedTuple):
    """What a bucket says of itself; None: it does not say, or not to these credentials."""

    keeps_versions: bool | None
    locks: bool | None


def examine(url: str, endpoint: str | None, credentials: Credentials, get: Get, now: datetime) -> Bucket:
    """Ask the bucket of an `s3://` URL. Raises ProviderUnavailable where nothing answers."""
    bucket = urlsplit(url).netloc
    base = endpoint or credentials.address
    versioning, lock = (
        get(*_signed(f"{base.rstrip('/')}/{quote(bucket)}", question, credentials, now))
        for question in ("versioning", "object-lock")
    )
    return Bucket(_keeps_versions(*versioning), _locks(*lock))


def _keeps_versions(status: int, body: bytes) -> bool | None:
    """GetBucketVersioning. A bucket that was suspended keeps the versions that it has.

    S3 answers with VersioningConfiguration, other servers with GetBucketVersioningResponse.
    """
    if status != 200 or not re.search(rb"<\w*Versioning\w*", body):
        return None
    return re.search(rb"<Status>\s*(Enabled|Suspended)\s*</Status>", body) is not None


def _locks(status: int, body: bytes) -> bool | None:
    """GetObjectLockConfiguration: 404 with a code of its own where there is none."""
    if status == 404 and b"ObjectLockConfigurationNotFoundError" in body:
        return False
    if status != 200 or b"ObjectLockConfiguration" not in body:
        return None
    return re.search(rb"<ObjectLockEnabled>\s*Enabled\s*</ObjectLockEnabled>", body) is not None


def _signed(address: str, question: str, credentials: Credentials, now: datetime) -> tuple[str, dict[str, str]]:
    """The address of a question about a bucket, and the headers with which it is asked."""
    parts, stamp = urlsplit(address), now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    asked = f"GET\n{parts.path}\n{question}=\n{lines}\n{names}\n{_EMPTY}"
    scope = f"{stamp[:8]}/{credentials.region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    authorization = f"AWS4-HMAC-SHA256 Credential={credentials.key_id}/{scope}, SignedHeaders={names}, "
    headers["authorization"] = f"{authorization}Signature={signature}"
    return f"{address}?{question}=", headers
