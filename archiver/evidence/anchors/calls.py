"""Calls to sinks, each in a child process that is killed when it does not answer in time."""

from __future__ import annotations

import base64
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import archiver
from archiver.config.evidence import FileSink, S3Sink, Sink, TimestampSink, WebhookSink
from archiver.errors import (
    EXIT_INCOMPLETE,
    EXIT_USAGE,
    ArchiveIncomplete,
    ArchiverError,
    ConfigurationError,
    TryAgainLater,
)
from archiver.http import Way

LIMIT_S = 10.0
_PARTING_S = 0.5
_hanging: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
"""Children that outlive being killed: a process that waits for a disk that is away cannot be ended."""


@dataclass(frozen=True)
class AnchorOutcome:
    """What came of anchoring one note in one sink. `proof`: a time-stamping authority's answer, in DER."""

    state: Literal["anchored", "unverified", "failed"]
    """unverified: there is a token, which neither the library nor OpenSSL accepts."""
    reason: str | None = None
    proof: bytes | None = None


def put(sink: Sink, note: bytes, way: Way | None = None, limit_s: float = LIMIT_S) -> AnchorOutcome:
    """Anchor a signed note. Raises nothing that a sink does; `limit_s` bounds the call whatever it does."""
    arguments = {**_arguments(sink, way), "note": base64.b64encode(note).decode()}
    try:
        answer = next(_call(sink, "put", arguments, limit_s))
    except ArchiverError as error:
        return AnchorOutcome("failed", str(error))
    proof = None if answer["proof"] is None else base64.b64decode(answer["proof"])
    if answer["unverified"] is not None:
        return AnchorOutcome("unverified", answer["unverified"], proof)
    return AnchorOutcome("anchored", None, proof)


def newer(sink: Sink, size: int, limit_s: float = LIMIT_S) -> Iterator[bytes]:
    """The notes in a readable sink that are newer than a size, oldest first, as they are there: nothing is checked.

    Raises TryAgainLater or ConfigurationError where the sink cannot be read, or is silent for `limit_s`.
    """
    for answer in _call(sink, "newer", {**_arguments(sink, None), "size": size}, limit_s):
        yield answer["note"].encode()


def note(sink: Sink, lines: bytes, limit_s: float = LIMIT_S) -> None:
    """Keep lines on erasures in a readable sink; errors as of `newer`."""
    for _ in _call(sink, "note", {**_arguments(sink, None), "lines": base64.b64encode(lines).decode()}, limit_s):
        pass


def noted(sink: Sink, limit_s: float = LIMIT_S) -> Iterator[bytes]:
    """The lines on erasures that a readable sink has, some at a time; errors as of `newer`."""
    for answer in _call(sink, "noted", _arguments(sink, None), limit_s):
        yield answer["lines"].encode("ascii", "replace")


def probe(sink: Sink, limit_s: float = LIMIT_S) -> list[str]:
    """In what way notes in a readable sink could be lost by this account's own hand; errors as of `newer`."""
    if not sink.readable:
        return []
    return [answer["weakness"] for answer in _call(sink, "probe", _arguments(sink, None), limit_s)]


def _arguments(sink: Sink, way: Way | None) -> dict[str, Any]:
    """What the functions of the sink's module take."""
    match sink:
        case FileSink():
            return {"path": str(sink.path)}
        case S3Sink():
            return {"url": sink.url, "endpoint": sink.endpoint}
    out = way or Way()
    arguments: dict[str, Any] = {"way": [out.ca_file, out.proxy, out.private_http]}
    match sink:
        case WebhookSink():
            secret = sink.sign_secret.get_secret_value() if sink.sign_secret else None
            url = sink.webhook.get_secret_value() if sink.webhook else None
            return {**arguments, "url": url, "form": sink.form, "sign_secret": secret}
        case TimestampSink():
            return {**arguments, "url": sink.url, "root_file": str(sink.root_file)}


def _call(sink: Sink, action: str, arguments: dict[str, Any], limit_s: float) -> Iterator[dict[str, Any]]:
    key = f"{sink.sink}:{sink.place}"
    _refuse_while_hanging(key)
    child = _start()
    try:
        request = {"sink": sink.sink, "action": action, "arguments": arguments}
        yield from _answers(child, json.dumps(request).encode(), limit_s)
    finally:
        _end(child, key)


def _start() -> subprocess.Popen[bytes]:
    folder = str(Path(archiver.__file__).parents[1])
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "archiver.evidence.anchors.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # a signal from the terminal ends us, and we end it
    )


def _answers(child: subprocess.Popen[bytes], request: bytes, limit_s: float) -> Iterator[dict[str, Any]]:
    assert child.stdin is not None  # noqa: S101 - for mypy
    try:
        child.stdin.write(request)
        child.stdin.close()
    except BrokenPipeError:
        pass  # its end says more
    for line in _lines(child, limit_s):
        answer = json.loads(line)
        if "problem" in answer:
            raise _error(answer)
        if "end" in answer:
            return
        yield answer
    raise TryAgainLater(f"the call to the sink ended with {child.wait()}")


def _lines(child: subprocess.Popen[bytes], limit_s: float) -> Iterator[bytes]:
    """Complete lines; the limit counts anew when one was taken. Raises TryAgainLater when it is over."""
    assert child.stdout is not None  # noqa: S101 - for mypy
    rest, descriptor = b"", child.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            until = time.monotonic() + limit_s
            while b"\n" not in rest:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise TryAgainLater(f"no answer within {limit_s:g} s")
                if not (piece := os.read(descriptor, 1 << 16)):
                    return
                rest += piece
            *lines, rest = rest.split(b"\n")
            yield from lines


def _error(answer: dict[str, Any]) -> ArchiverError:
    if answer["code"] == EXIT_USAGE:
        return ConfigurationError(answer["problem"], hint=answer["hint"])
    kind = ArchiveIncomplete if answer["code"] == EXIT_INCOMPLETE else TryAgainLater
    return kind(answer["problem"], hint=answer["hint"])


def _end(child: subprocess.Popen[bytes], key: str) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    try:
        child.wait(_PARTING_S)
    except subprocess.TimeoutExpired:
        child.kill()
        try:
            child.wait(_PARTING_S)
        except subprocess.TimeoutExpired:
            _hanging[key] = (child, time.monotonic())


def _refuse_while_hanging(key: str) -> None:
    """One process that hangs on a mount is enough."""
    if key in _hanging:
        child, since = _hanging[key]
        if child.poll() is None:
            raise TryAgainLater(f"a call from {time.monotonic() - since:.0f} s ago still hangs and cannot be ended")
        del _hanging[key]
