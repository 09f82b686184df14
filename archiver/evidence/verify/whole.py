"""`evidence verify`: a verification with the anchors that can be read, and its place among the scrubs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

from archiver import notes
from archiver.config import Settings
from archiver.errors import DatabaseRefused, TryAgainLater, UsageError
from archiver.evidence import sinks
from archiver.evidence.verify.columns import Decode
from archiver.evidence.verify.findings import VerifyFindings
from archiver.evidence.verify.run import Verification, VerifyOptions, VerifyProgress
from archiver.evidence.verify.shelf import NoteShelf
from archiver.notes import TrustedKey
from archiver.store import scrubs
from archiver.store.engine import Store

log = logging.getLogger("archiver.evidence")
_PIECE = 1 << 20


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
    shelf = NoteShelf()
    for path in files:
        _take_in_file(shelf, path)
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


def _take_in_file(shelf: NoteShelf, path: Path) -> None:
    """Notes in a file, or in a chat that was copied into one; a year of a sink's notes is 100 MB."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            shelf.add(str(path), notes.find_in(iter(partial(file.read, _PIECE), "")))
    except OSError as error:
        raise UsageError(f"--anchors: {path} cannot be read: {error.strerror}") from None


def _note(store: Store, findings: VerifyFindings) -> None:
    """A whole verification by somebody who may write counts as a scrub; an auditor leaves no trace."""
    try:
        with store.write() as tx:
            scrubs.advance(tx, scrubs.begin(tx), 0, findings.count, ended=True)
    except (DatabaseRefused, TryAgainLater) as error:
        log.debug("the verification is not noted: %s", error)
