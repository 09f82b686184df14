"""Sink `rfc3161`: the SHA-256 of a note to a time-stamping authority. Its token is kept whatever we think of it.

Two opinions: rfc3161-client refuses tokens whose embedded certificates are not in DER order, as `openssl ts` writes
them, and OpenSSL is not everywhere. A token is judged at its own time, since certificates expire and proofs must not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from archiver import http, signing
from archiver.errors import ConfigurationError

_LARGEST = 1 << 16
_QUERY, _OPENSSL_S = "application/timestamp-query", 10


class Judgement(NamedTuple):
    """What a token is worth for a note."""

    at: datetime | None
    """Its own time; None where it cannot be read."""
    problem: str | None
    """None: it is accepted."""


def put(url: str, root_file: str, note: bytes, way: http.Way) -> tuple[bytes, str | None]:
    """The authority's answer for this note, in DER, and what is wrong with it."""
    request = _library().TimestampRequestBuilder().data(note).hash_algorithm(_library().HashAlgorithm.SHA256).build()
    answer = http.post(url, request.as_bytes(), _QUERY, _LARGEST, way)
    return answer, judge(answer, note, root_file, nonce=request.nonce).problem


def judge(answer: bytes, note: bytes, root_file: str, *, nonce: int | None = None) -> Judgement:
    """Whether this answer stamps this note, by a certificate below one of the roots in the file."""
    library = _library()
    problem: str | None
    try:
        response = library.decode_timestamp_response(answer)
        at = response.tst_info.gen_time
    except ValueError as error:
        at, problem = _time_by_openssl(answer), f"{type(error).__name__}: {error}"
    else:
        problem = _refusal(response, note, root_file, nonce)
    if problem is not None and _openssl_accepts(answer, note, root_file, at):
        problem = None
    return Judgement(at, problem)


def _refusal(response: Any, note: bytes, root_file: str, nonce: int | None) -> str | None:
    """The library's opinion; None: it accepts."""
    library = _library()
    builder = library.VerifierBuilder(roots=signing.certificates(Path(root_file)), nonce=nonce)
    try:
        builder.build().verify_message(response, note)
    except (library.VerificationError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


def _openssl_accepts(answer: bytes, note: bytes, root_file: str, at: datetime | None) -> bool:
    if shutil.which("openssl") is None:
        return False
    when = [] if at is None else ["-attime", str(int(at.timestamp()))]
    with tempfile.TemporaryDirectory(prefix="archiver-") as folder:
        for name, content in (("answer", answer), ("note", note)):
            (Path(folder) / name).write_bytes(content)
        command = ["openssl", "ts", "-verify", "-in", f"{folder}/answer", "-data", f"{folder}/note"]
        return _openssl([*command, "-CAfile", root_file, *when]) is not None


def _time_by_openssl(answer: bytes) -> datetime | None:
    if shutil.which("openssl") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="archiver-") as folder:
        (Path(folder) / "answer").write_bytes(answer)
        text = _openssl(["openssl", "ts", "-reply", "-in", f"{folder}/answer", "-text"]) or ""
    stamp = re.search(r"^Time stamp: (\w{3}) +(\d+) (\d\d:\d\d:\d\d)(?:\.\d+)? (\d{4}) GMT$", text, re.MULTILINE)
    if stamp is None:
        return None
    return datetime.strptime(f"{stamp[1]} {stamp[2]} {stamp[3]} {stamp[4]} +0000", "%b %d %H:%M:%S %Y %z")


def _openssl(command: list[str]) -> str | None:
    """What it printed; None where it refused."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_OPENSSL_S, check=False)  # noqa: S603 - our own words
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _library() -> Any:
    """Loaded when it is needed: only this sink needs it."""
    try:
        import rfc3161_client
    except ImportError:
        hint = "pip install rfc3161-client"
        raise ConfigurationError("the sink rfc3161 needs the package rfc3161-client", hint=hint) from None
    return rfc3161_client
