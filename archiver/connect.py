"""Opens the archive for commands. The way to a provider is in `session`, which reading does not need to load."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archiver import erasures_file, logs, signing
from archiver.config import App, Settings
from archiver.erasures_file import ErasureLine
from archiver.errors import ConfigurationError, UsageError
from archiver.store import erasures, installation, seals
from archiver.store.admin import migrate
from archiver.store.engine import Store, may_write, open_for_reading, open_store
from archiver.store.installation import DATABASE
from archiver.store.seals import Signer

log = logging.getLogger("archiver.connect")


@contextmanager
def opened(settings: Settings, *, at_head: bool = True, reading: bool = False, writes: bool = False) -> Iterator[Store]:
    """The archive's database; unless `at_head` is false, only with the schema that this program works with.

    `reading`: for those who change nothing, and may have no right to. `writes`: what it stores is sealed where
    [evidence] is configured; raises ConfigurationError without a key.
    """
    for secret in settings.secrets():
        logs.keep_secret(secret)
    url = settings.database.sqlalchemy_url
    store = open_for_reading(url) if reading else open_store(url)
    try:
        if writes:
            seal(store, settings)
        if at_head:
            migrate.check(store)
            if not reading:
                note_restore(store, settings)
        yield store
    finally:
        store.dispose()


def is_writable(settings: Settings) -> bool:
    """Whether this account may write the archive, as far as the rights to a file say so."""
    return may_write(settings.database.sqlalchemy_url)


def seal(store: Store, settings: Settings) -> None:
    """Have a store seal what it stores, by the key of [evidence]. Raises ConfigurationError where that cannot be."""
    signer = None
    if (section := settings.evidence) is not None:
        key = signing.load(section.key_file)
        signer = Signer(section.name, key.id, key.sign)
    seals.sign_with(store, signer)


def check_schema(store: Store) -> None:
    """Raises SchemaMismatch where `archiver migrate` is needed, and DatabaseUnavailable."""
    migrate.check(store)


def chosen(settings: Settings, name: str | None) -> list[App]:
    """The configured apps, or those of one name ("org#app", or its second half)."""
    matching = [app for app in settings.apps if name in (None, app.name, app.app)]
    if not matching:
        known = ", ".join(sorted({app.name for app in settings.apps})) or "none"
        raise ConfigurationError(f"no app named {name!r} is configured; there is: {known}")
    return matching


_LOOKED_AT = 1_000


def note_restore(store: Store, settings: Settings) -> bool:
    """Whether erasures are known here that the database lacks: it was restored from an older one; notes that in it."""
    file = settings.erasures_file
    lines = [] if file is None else _last_lines(file, settings)
    with store.read() as tx:
        known = installation.read(tx)
        noted = known is not None and known.reapply_since_ms is not None
        if file is None or not lines or not erasures.sees_tombstones(tx):
            return noted
        lacks = bool(erasures.lacking(tx, lines))
        if noted and not lacks:  # as where an erasure was cut off, and carried on
            lacks = bool(erasures.lacking(tx, list(erasures_file.read(file))))
    if lacks != noted and not store.is_read_only:
        _note(store, lacks=lacks)
    return lacks


def _last_lines(file: Path, settings: Settings) -> list[ErasureLine]:
    try:
        return erasures_file.last(file, _LOOKED_AT)
    except ConfigurationError:
        if settings.lifecycle is not None and settings.lifecycle.erasures_file is not None:
            raise
        return []  # nobody named it: the state directory is another account's, and what it noted is in the database


def _note(store: Store, *, lacks: bool) -> None:
    if lacks:
        log.critical("the database was restored: erased messages are in it again (try: archiver erase reapply)")
    with store.write() as tx:
        if installation.read(tx) is None:
            installation.begin(tx, deletion=True)
        installation.reapply(tx, needed=lacks)


def demand_place(store: Store, settings: Settings) -> None:
    """Raises ConfigurationError where [lifecycle] names another place for decisions than this archive has."""
    if settings.lifecycle is None:
        return
    with store.read() as tx:
        place = installation.decided_in(tx) or DATABASE
    if settings.lifecycle.decided_in != place:
        problem = f'[lifecycle] decided_in = "{settings.lifecycle.decided_in}", and this archive decides in "{place}"'
        raise ConfigurationError(problem, hint=f'archiver migrate, to change the archive; or decided_in = "{place}"')


def demand_erased(store: Store, settings: Settings) -> None:
    """Raises UsageError where erased messages may be in the database again: nothing is shown then."""
    if note_restore(store, settings):
        problem = "this database was restored, and holds messages that were erased: nothing of it is shown"
        raise UsageError(problem, hint="archiver erase reapply")
