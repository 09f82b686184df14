"""The store of attachments: whether it takes a content and gives it back, and whether it can let go of one."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from archiver import http
from archiver.blobs import Blobs, bucket
from archiver.config import Attachments, Settings
from archiver.doctor.finding import Finding
from archiver.errors import EXIT_FAILED, TryAgainLater
from archiver.sessions import way_out

_WHAT = "attachments"
_ENDS = "a bucket without versions and object lock, or a lifecycle rule there that ends noncurrent versions"


def findings(settings: Settings) -> Iterator[Finding]:
    """An empty content is stored and read back: it is a content like any other, and stays."""
    section = settings.attachments
    if section is None:
        return
    blobs = Blobs(section.store, section.endpoint)
    digest = hashlib.sha256(b"").hexdigest()
    blobs.save(io.BytesIO(), digest, 0)
    if blobs.digest(digest) != (digest, 0):
        yield Finding("failed", _WHAT, "the store does not give back what was stored", None, EXIT_FAILED)
    else:
        yield Finding("ok", _WHAT, "the store takes a content and gives it back")
    if blobs.folder is None and settings.lifecycle is not None and settings.lifecycle.deletion:
        yield from _erasable(settings, section)


def _erasable(settings: Settings, section: Attachments) -> Iterator[Finding]:
    """Whether what is erased is gone from a bucket."""
    credentials = bucket.Credentials.of(os.environ)
    if credentials is None:
        yield _unknown("no AWS_ACCESS_KEY_ID in the environment to ask it with")
        return
    get = partial(http.get, way=way_out(settings))
    try:
        known = bucket.examine(section.store, section.endpoint, credentials, get, datetime.now(UTC))
    except TryAgainLater as error:
        yield _unknown(str(error))
        return
    if known.locks:
        yield Finding("warning", _WHAT, "the bucket has object lock: contents of erased messages stay in it", _ENDS)
    elif known.keeps_versions:
        yield Finding("warning", _WHAT, "the bucket keeps versions: contents of erased messages stay in it", _ENDS)
    elif None in known:
        yield _unknown("it does not say so, or not to these credentials")
    else:
        yield Finding("ok", _WHAT, "the bucket lets go of what is erased")


def _unknown(why: str) -> Finding:
    text = f"whether the bucket keeps versions, so that contents of erased messages stay in it, is not known: {why}"
    remedy = "the rights s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration, or look at the bucket"
    return Finding("warning", _WHAT, text, remedy)
