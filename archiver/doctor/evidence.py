"""The key of the evidence, and its sinks: what this account could do to the notes that they hold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from archiver import signing
from archiver.config import Evidence
from archiver.config.evidence import Sink, TimestampSink
from archiver.doctor.finding import Finding, tried
from archiver.errors import TryAgainLater
from archiver.evidence.anchors import calls
from archiver.http import Way


def findings(section: Evidence, way: Way) -> Iterator[Finding]:
    yield from tried("evidence: key", lambda: _key(section))
    for name, sink in section.sinks.items():
        yield from tried(f"evidence: {name}", partial(_sink, f"evidence: {name}", sink, way))


def _key(section: Evidence) -> Iterator[Finding]:
    fingerprint = signing.load(section.key_file).fingerprint
    yield Finding("ok", "evidence: key", f"its fingerprint is {fingerprint}; compare it with the keeper's")


def _sink(what: str, sink: Sink, way: Way) -> Iterator[Finding]:
    weaknesses = calls.probe(sink)
    for weakness in weaknesses:
        yield Finding("warning", what, f"what it holds {weakness}")
    if isinstance(sink, TimestampSink):
        yield _authority(what, sink, way)
    elif not sink.readable:
        yield Finding("ok", what, "it cannot be read back, and nothing was sent")
    elif not weaknesses:
        yield Finding("ok", what, "it lets this account neither overwrite nor delete")


def _authority(what: str, sink: TimestampSink, way: Way) -> Finding:
    outcome = calls.put(sink, b"a probe of `archiver doctor`\n", way)
    if outcome.state == "failed":
        raise TryAgainLater(outcome.reason)
    if outcome.state == "unverified":
        return Finding("warning", what, f"its token is not accepted: {outcome.reason}", "look at root_file")
    return Finding("ok", what, "it gives tokens that its root certificate vouches for")
