"""What a pull needs of the database and of the disk under it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from archiver import connect, host, status
from archiver.config import Settings
from archiver.doctor.finding import Finding
from archiver.errors import EXIT_FAILED, EXIT_LATER, EXIT_USAGE
from archiver.model import SECOND_MS
from archiver.store.admin import guards as triggers
from archiver.store.admin import health
from archiver.store.engine import Store

_CLOCK_MS = 5_000


def version_and_schema(store: Store) -> Iterator[Finding]:
    with store.read() as tx:
        version = health.version(tx)
    yield Finding("ok", "database", version)
    connect.check_schema(store)
    yield Finding("ok", "schema", "at the revision that this program works with")


def rights(store: Store) -> Iterator[Finding]:
    if store.is_read_only:
        text, remedy = "this account may read the archive, and not write it", "run it as the account that pulls"
        yield Finding("failed", "rights", text, remedy, EXIT_USAGE)
        return
    missing = health.missing_rights(store)
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        remedy = "archiver migrate --roles, then GRANT archive_writer TO this login"
        yield Finding("failed", "rights", f"this login may not: {named}", remedy, EXIT_USAGE)
    else:
        yield Finding("ok", "rights", "this login may do what a pull does")
    with store.read() as tx:
        if (risk := health.read_only(tx)) is not None:
            yield Finding("failed", "rights", *risk, EXIT_LATER)
    if problem := health.journal(store):
        yield Finding("failed", "rights", problem, "put the file on a local disk", EXIT_FAILED)


def durability(store: Store) -> Iterator[Finding]:
    with store.read() as tx:
        risks = health.risks(tx)
    for risk in risks:
        yield Finding("warning", "durability", *risk)
    if not risks:
        yield Finding("ok", "durability", "the database keeps what it has committed, as far as its settings say")


def room(settings: Settings) -> Iterator[Finding]:
    """Before the database is opened, which a full disk may prevent."""
    health.check_room(settings.database.sqlalchemy_url)
    yield from ()


def files_in_place(settings: Settings) -> Iterator[Finding]:
    """Whose the files of an SQLite archive are, and who may read them."""
    url = settings.database.sqlalchemy_url
    for stopping in health.foreign_files(url):
        yield Finding("failed", "database", *stopping, EXIT_USAGE)
    is_shared = settings.database.group
    files = health.files(url)
    yield from open_to_all("database", files, "0660" if is_shared else "0600")
    if is_shared and files and not host.is_shared_folder(files[0].parent):
        folder = shlex.quote(str(files[0].parent))
        text = f"[database] group: the group cannot write {folder}, or does not own what is made in it"
        yield Finding("warning", "database", text, f"chgrp GROUP {folder} && chmod 2770 {folder}")
    yield from open_to_all("attachments", _attachment_folders(settings), "2770" if is_shared else "0700")


def _attachment_folders(settings: Settings) -> list[Path]:
    parts = urlsplit(settings.attachments.store if settings.attachments else "")
    folder = Path(unquote(parts.path))
    return [folder] if parts.scheme == "file" and folder.is_dir() else []


def open_to_all(what: str, paths: Sequence[Path], mode: str) -> Iterator[Finding]:
    """What was made before the program saw to it, or by another one, under a umask that lets everybody read."""
    open_ones = [str(path) for path in paths if host.is_open_to_all(path)]
    if open_ones:
        remedy = f"chmod {mode} {' '.join(map(shlex.quote, open_ones))}"
        yield Finding("warning", what, f"everybody on this machine may read {', '.join(open_ones)}", remedy)


def disk(store: Store) -> Iterator[Finding]:
    store.check_disk()
    disk = store.disk()
    size, free = disk["database_bytes"] or 0, disk["disk_free_bytes"]
    text = f"the database has {size / 2**20:,.0f} MiB"
    yield Finding("ok", "disk", text if free is None else f"{text}, {free / 2**30:,.1f} GiB are free beside it")


def clock(store: Store) -> Iterator[Finding]:
    with store.read() as tx:
        skew_ms = int(time.time() * SECOND_MS) - tx.now_ms()
    text = f"this machine is {abs(skew_ms) / SECOND_MS:.1f} s {'ahead of' if skew_ms > 0 else 'behind'} the database"
    if abs(skew_ms) > _CLOCK_MS:
        yield Finding("warning", "clock", text, "let NTP set both; only the database's clock counts")
    else:
        yield Finding("ok", "clock", text)


def guards(store: Store) -> Iterator[Finding]:
    """Whether the database itself keeps what was decided."""
    with store.read() as tx:
        missing = triggers.missing(tx)
    if missing:
        text = f"triggers are missing or disabled: {', '.join(missing)}; what was decided may have been changed"
        remedy = "ask who owns the database; archiver evidence verify; then make them anew, as a backup has them"
        yield Finding("failed", "guards", text, remedy, EXIT_FAILED)
    else:
        yield Finding("ok", "guards", "the database itself keeps logs, decisions, holds and terms")


def place(settings: Settings, store: Store) -> Iterator[Finding]:
    """Whether this host asks and decides where the archive does."""
    if settings.lifecycle is None:
        return
    connect.demand_place(store, settings)
    where = "on the review page" if settings.lifecycle.decided_in == "page" else "by commands"
    yield Finding("ok", "decisions", f"requests are made and decided on {where}")


def search(store: Store) -> Iterator[Finding]:
    with store.read() as tx:
        problem = health.search_problem(tx)
    if problem:
        yield Finding("warning", "text search", problem, "create the database with --encoding=UTF8, or use PostgreSQL")
    else:
        yield Finding("ok", "text search", "the database has what it needs")


def starts(settings: Settings, store: Store) -> Iterator[Finding]:
    for start in status.moved_starts(store, status.configured(settings.apps)):
        yield Finding("warning", f"{start.app} ({start.source}): start", start.text, start.remedy)
