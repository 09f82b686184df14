"""The spool of callbacks, its secrets and tokens, as far as this account may see them, and how to test the URL."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial

from archiver.callbacks import secrets, spool
from archiver.config import CallbackApp, Callbacks
from archiver.doctor.finding import Finding, tried
from archiver.errors import EXIT_USAGE, ConfigurationError

_LEAST_FREE = 0.15


def findings(section: Callbacks) -> Iterator[Finding]:
    yield from tried("callbacks: spool", lambda: _spool(section))
    for app in section.apps:
        yield from tried(f"callbacks: {app.app}", partial(_app, app))
    text = "whether the provider reaches the URL is not to be seen from here; from outside, "
    text += "curl -s -o /dev/null -w '%{http_code}' https://HOST/callback/ALIAS/TOKEN prints 405"
    yield Finding("ok", "callbacks: URL", text)


def _spool(section: Callbacks) -> Iterator[Finding]:
    """`run` or `pull` reads it on the receiver's host."""
    what, folder = "callbacks: spool", section.spool
    if not (folder / spool.READY).is_dir():
        text = f"{folder} has no spool: no receiver has begun here, or it is on another host"
        yield Finding("warning", what, text, "archiver receive; and archiver run or pull on the same host")
        return
    if not os.access(folder / spool.READY, os.W_OK | os.X_OK):
        yield Finding("failed", what, f"{folder} cannot be written by this account", "one account for both", EXIT_USAGE)
        return
    usage = shutil.disk_usage(folder)
    if usage.free < usage.total * _LEAST_FREE:
        text = f"{usage.free / usage.total:.0%} of its disk is free; below 10 % callbacks are refused"
        yield Finding("warning", what, text, "make room there")
    if damaged := list(folder.glob("damaged/*.segment")):
        text = f"{len(damaged)} damaged segments were put aside"
        yield Finding("warning", what, text, f"look at the disk; then delete {folder}/damaged")
    waiting = spool.backlog(folder)
    yield Finding("ok", what, f"this host reads it: {waiting.segments} segments with {waiting.bytes} bytes wait")


def _app(app: CallbackApp) -> Iterator[Finding]:
    """The ingest needs the secrets, and the receiver the token; an account may be allowed to read one of them."""
    what = f"callbacks: {app.app}"
    count = len(secrets.secrets(app))
    yield Finding("ok", what, f"{count} secret{'' if count == 1 else 's'} of rules")
    try:
        secrets.token(app)
    except ConfigurationError as error:
        yield Finding("warning", what, f"the token, which the receiver needs: {error}", error.hint)
