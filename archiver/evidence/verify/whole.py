"""`evidence verify`: a verification with the anchors that can be read, and its place among the scrubs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from archiver import notes
from archiver.config import Settings
from archiver.errors import DatabaseRefused, TryAgainLater, UsageError
from archiver.evidence import sinks
from archiver.evidence.verify.columns import Decode
from archiver.evidence.verify.findings import VerifyFindings
from archiver.evidence.verify.run import Verification, VerifyOptions, VerifyProgress
from archiver.evidence.verify.shelf import NoteShelf, in_texts
from archiver.notes import TrustedKey
from archiver.store import scrubs
from archiver.store.engine import Store

log = logging.getLogger("archiver.evidence")


def vkeys(path: Path) -> list[TrustedKey]:
    """The keys in a file that their keeper gave. Raises UsageError where it holds none."""
    try:
        keys = notes.parse_vkeys(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--vkey: {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--vkey: {path}: {error}") from None
    if not keys:
        raise UsageError(f"--vkey: {path} holds no key")
    return keys


def verify(
    store: Store,
    settings: Settings,
    options: VerifyOptions,
    decode: Decode,
    *,
    files: Sequence[Path] = (),
    stop: Event,
    progress: VerifyProgress = lambda *_: None,
) -> VerifyFindings:
    """Verify everything that `options` ask for, against the readable sinks and files of notes.

    Raises TryAgainLater where a sink cannot be read: then its word is missing, and nothing may pass for verified.
    """
    shelf = in_texts((str(path), _text(path)) for path in files)
    read = [sink for sink in sinks.reached(settings) if sink.readable]
    for sink in read:
        take_in(shelf, sink)
    verification = Verification(store, options, decode, stop=stop, progress=progress)
    verification.entries(shelf)
    verification.pages()
    verification.claim()
    verification.sinks(sink.name for sink in read)
    if options.is_whole:
        _note(store, verification.findings)
    return verification.findings


def take_in(shelf: NoteShelf, sink: sinks.Reached) -> None:
    """Take in all notes that a readable sink has, one after the other. Raises ArchiverError where it cannot be read."""
    for text in sinks.anchored(sink):
        shelf.add(sink.name, notes.find(text.decode(errors="replace")))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"--anchors: {path} cannot be read: {error.strerror}") from None


def _note(store: Store, findings: VerifyFindings) -> None:
    """A whole verification by somebody who may write counts as a scrub; an auditor leaves no trace."""
    try:
        with store.write() as tx:
            scrubs.advance(tx, scrubs.begin(tx), 0, findings.count, ended=True)
    except (DatabaseRefused, TryAgainLater) as error:
        log.debug("the verification is not noted: %s", error)
