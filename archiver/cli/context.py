"""What every command shares: settings, log, store, signals."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

import click

from archiver import connect, erasures_file, host, logs
from archiver.config import Settings, load
from archiver.errors import ArchiverError, UsageError
from archiver.looks import Looks
from archiver.store.engine import Store

if TYPE_CHECKING:
    from archiver.sessions import AppSession


log = logging.getLogger("archiver.cli")


def settings(ctx: click.Context, *, offline: bool = False) -> Settings:
    """Read the configuration, and begin to log as the options say; `offline`: without the clients' secrets."""
    begin_log(ctx)
    return read_settings(ctx, offline=offline)


def read_settings(ctx: click.Context, *, offline: bool = False) -> Settings:
    """Read the configuration, once more if need be."""
    chosen = load(Path(ctx.find_root().obj["config"]), os.environ, offline=offline)
    for secret in chosen.secrets():
        logs.keep_secret(secret)
    for warning in chosen.warnings:
        click.echo(f"warning: {logs.visible(warning)}", err=True)
    shared = ctx.find_root().obj
    shared.setdefault("language", chosen.display.language)
    if chosen.database.group:
        host.share_with_group()
    return chosen


def begin_log(ctx: click.Context, verbosity: int = -1) -> None:
    """Log to standard error; `verbosity` is what the command itself would tell, -v adds to it."""
    _demand_text(ctx)
    options = ctx.find_root().obj
    logs.configure(options["log_format"], verbosity + options["verbose"], sys.stderr)


def _demand_text(ctx: click.Context) -> None:
    """What a terminal of another encoding sends is no text for a database or a manifest; paths may be so."""
    for name, value in ctx.params.items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not _is_text(text):
                hint = "a terminal and a locale of one encoding, as LANG=C.UTF-8 with UTF-8"
                raise UsageError(f"{name} is not text in the locale's encoding: {text!r}", hint=hint)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain(ctx: click.Context) -> bool:
    """Whether people read what is printed beside the log."""
    return bool(ctx.find_root().obj["log_format"] == "text")


def opened(settings: Settings, *, reading: bool = False, **how: bool) -> AbstractContextManager[Store]:
    """As `connect.opened`, which compares the database with the file of erasures; a lost one is made anew before."""
    if settings.evidence is not None and (path := erasures_file.lost(settings)) is not None:
        from archiver.evidence import sinks

        try:
            if any(sink.readable for sink in sinks.reached(settings)):
                erasures_file.begin(path, sinks.noted_erasures(settings))
        except ArchiverError as error:
            log.warning("a restored database cannot be told from another one: %s", error)
    return connect.opened(settings, reading=reading, **how)


@contextmanager
def archive(
    ctx: click.Context, *, at_head: bool = True, offline: bool = False, writes: bool = False
) -> Iterator[tuple[Settings, Store]]:
    """The settings and the open database of this command; `offline` for those that read nothing else.

    `writes`: see `connect.opened`.
    """
    chosen = settings(ctx, offline=offline)
    with opened(chosen, at_head=at_head, writes=writes) as store:
        yield chosen, store
        if writes:
            publish(chosen, store)


def publish(settings: Settings, store: Store) -> None:
    """At the end of a command that stored something: sequence, sign and anchor, which changes no exit code."""
    if settings.evidence is not None:
        from archiver.evidence import sinks

        sinks.publisher(store, settings)()


@contextmanager
def deciding(ctx: click.Context) -> Iterator[tuple[Settings, Store]]:
    """As `archive`, for a command that asks for something or decides on it, where the archive says that is done."""
    with archive(ctx, offline=True) as (chosen, store):
        connect.demand_place(store, chosen)
        yield chosen, store


@contextmanager
def readable(ctx: click.Context) -> Iterator[tuple[Settings, Store]]:
    """As `archive`, for a command that changes nothing in it: an account that may only read is enough."""
    chosen = settings(ctx, offline=True)
    with opened(chosen, reading=True) as store:
        if store.note:
            click.echo(f"note: {logs.visible(store.note)}", err=True)
        yield chosen, store


class Case(NamedTuple):
    """What somebody reads for, as given."""

    id: str | None = None
    reason: str | None = None


@contextmanager
def lookable(ctx: click.Context, case: Case) -> Iterator[tuple[Settings, Store, Looks]]:
    """As `readable`, for a command that shows what people wrote, with what notes the looks.

    Raises UsageError where a case and a reason are needed and not given.
    """
    chosen = settings(ctx, offline=True)
    demand_case(chosen, case.id, case.reason)
    keeps = keeps_looks(chosen)
    if not keeps and (case.id or case.reason):
        click.echo("note: looks are off ([review] looks), so case and reason are noted nowhere", err=True)
    with opened(chosen, reading=not keeps or not connect.is_writable(chosen)) as store:
        if store.note:
            click.echo(f"note: {logs.visible(store.note)}", err=True)
        connect.demand_erased(store, chosen)
        yield chosen, store, Looks(store.patient if keeps else None, host.account(), case.id, case.reason)


def keeps_looks(settings: Settings) -> bool:
    """Whether looks are noted."""
    return settings.review is not None and settings.review.looks


def demand_case(settings: Settings, case: str | None, reason: str | None) -> None:
    """Raises UsageError where [review] wants a case and a reason, and one is missing."""
    if settings.review is not None and settings.review.require_case and not (case and reason):
        raise UsageError("what people wrote is read here for a case and a reason alone", hint="--case ID --reason TEXT")


@contextmanager
def exportable(ctx: click.Context) -> Iterator[tuple[Settings, Store]]:
    """As `archive`, to hand out what it has; as `readable` where this account cannot write, as on a read-only disk."""
    chosen = settings(ctx, offline=True)
    reading = not connect.is_writable(chosen)
    with opened(chosen, reading=reading) as store:
        if reading:
            note = "the archive cannot be written here: this export is not recorded in its audit_log"
            click.echo(f"note: {note}, and the manifest says so", err=True)
        connect.demand_erased(store, chosen)
        yield chosen, store


@contextmanager
def verifiable(ctx: click.Context) -> Iterator[tuple[Settings, Store]]:
    """As `readable`, for what is noted in the archive where this account may write it, and works without that."""
    chosen = settings(ctx, offline=True)
    with opened(chosen, reading=not connect.is_writable(chosen)) as store:
        yield chosen, store


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """An event that SIGTERM and SIGINT set; a second one of them ends the process at once."""
    stop = Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        # Not here: the main thread may hold the event's lock at this very moment, and would wait for itself.
        Thread(target=stop.set).start()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hangups() -> Iterator[Event]:
    """An event that SIGHUP sets, for those who read their configuration anew."""
    heard = Event()
    before = signal.signal(signal.SIGHUP, lambda *_: Thread(target=heard.set).start())
    try:
        yield heard
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def session(ctx: click.Context, app: str | None) -> Iterator[AppSession]:
    """A connection to the only app, or to the one of this name."""
    from archiver.sessions import open_session  # only commands that ask a provider load what it takes

    with archive(ctx) as (chosen, store), stop_on_signals() as stop:
        apps = connect.chosen(chosen, app)
        if len({one.name for one in apps}) > 1:
            raise UsageError("several apps are configured", hint=f"--app {apps[0].name}")
        with open_session(apps[0], chosen, store, stop) as connected:
            yield connected
