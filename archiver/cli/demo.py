"""`demo`: the whole way in one command, from a stand-in chat app to rows that SQL finds."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import socket
import sys
from pathlib import Path
from secrets import token_hex
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from archiver import connect, host, signing
from archiver import status as standing
from archiver.attachments import commands
from archiver.cli import console, context
from archiver.cli.evidence import print_findings
from archiver.cli.pull import pull_watched
from archiver.cli.status import print_status
from archiver.config import Settings, load
from archiver.errors import ArchiverError, worst_exit_code
from archiver.evidence import beginning
from archiver.evidence.verify import whole
from archiver.evidence.verify.run import VerifyOptions
from archiver.model import HOUR_MS
from archiver.notes import TrustedKey
from archiver.pull.run import PullOptions
from archiver.sources import decode
from archiver.store.admin import migrate
from archiver.store.admin.ask import ask, forged_copy
from archiver.store.engine import Store
from archiver.store.schema import iso

if TYPE_CHECKING:
    from archiver.sandbox import Sandbox

_PORT = 8420
_HOURS_BACK = 29

_QUERIES = {
    "Who wrote what, newest first": """\
SELECT substr(sent_at, 6, 11) AS sent, sender, recipient, body_type, text
FROM messages_readable WHERE text <> '' ORDER BY sent_at DESC LIMIT 5""",
    "The busiest conversations": """\
SELECT conversation, chat_type, messages, senders, substr(last_sent_at, 6, 11) AS last
FROM conversations ORDER BY messages DESC LIMIT 5""",
    "Attachments, by what their bytes are": """\
SELECT media_type, count(*) AS files, sum(size) AS bytes,
       max(substr(sha256, 1, 12)) AS one_of_them
FROM attachments WHERE state = 'stored' GROUP BY media_type ORDER BY 2 DESC""",
    "Bodies a day, by type": """\
SELECT substr(sent_at, 1, 10) AS day, body_type, count(*) AS bodies
FROM messages_readable GROUP BY 1, 2 ORDER BY 1, 3 DESC LIMIT 8""",
}

_ATTACHMENT = """\
SELECT m.sender, b.filename, a.media_type, a.size, a.sha256
FROM attachments a JOIN messages m ON m.app_id = a.app_id AND m.msg_id = a.msg_id
JOIN message_bodies b ON b.app_id = a.app_id AND b.msg_id = a.msg_id AND b.position = a.position
WHERE a.state = 'stored' AND a.kind = 'file' AND a.media_type LIKE 'image/%' ORDER BY a.sha256 LIMIT 1"""

_RECALLED = """\
SELECT msg_id, sender FROM messages_readable
WHERE body_type = 'txt' AND text <> '' AND sender IS NOT NULL ORDER BY sent_at DESC LIMIT 1"""
_MARKED = """\
SELECT substr(sent_at, 6, 11) AS sent, sender, text, substr(recalled_at, 6, 11) AS recalled, recalled_by
FROM messages_readable WHERE recalled_at IS NOT NULL"""

_CONFIG = """\
# The demonstration's configuration. Its server is gone; start it again with
#   {program} sandbox --port {port} --messages {messages}
# and then: {program} --config {path} pull
[database]
url = "sqlite:///{database}"

[attachments]
store = "file://{files}"
rate = "1000/s"

{evidence}
{callbacks}
[[apps]]
org = "{org}"
app = "{app}"
base_url = "{base_url}"
client_id = "{client_id}"
client_secret_file = "{secret}"
start = {start}
rate = "100/s"

# The same app once more, by the hourly files that the public cloud serves: a few hours. The public cloud allows ten
# requests a minute, which is the default; the stand-in server allows more.
[[apps]]
org = "{org}"
app = "{app}"
base_url = "{base_url}"
client_id = "{client_id}"
client_secret_file = "{secret}"
source = "hourly"
start = {hourly_start}
early = "off"
rate = "100/s"
"""


_EVIDENCE = """\
# What is stored is sealed in a signed ledger, whose checkpoints go where others hold them: here only a file beside it.
[evidence]
name = "demo.example.com/archive"
key_file = "{keys}/key"
state_file = "{keys}/state"

[[evidence.anchors]]
sink = "file"
path = "{keys}/checkpoints"
"""


_CALLBACKS = """\
# Recalls, edits and more, as the provider reports them by callback to `archiver receive`.
[callbacks]
spool = "{place}/spool"

[[callbacks.apps]]
app = "{org}#{app}"
alias = "demo"
token_file = "{place}/callback-token"
secrets_file = "{place}/callback-secrets"
"""


@click.command()
@click.option(
    "--directory", metavar="DIR", help="Where to put the archive and its configuration; default: demo, demo-2, ..."
)
@click.option("--messages", type=click.IntRange(1, 1_000_000), default=2000, show_default=True)
@click.pass_context
def demo(ctx: click.Context, directory: str | None, messages: int) -> int:
    """Archive a simulated chat app into SQLite; show status, queries and a file.

    Needs nothing but this program. The database and a configuration stay for
    further experiments.

    \b
    Example:
      archiver demo --directory /tmp/demo --messages 20000
    """
    from archiver.sandbox import Sandbox

    context.begin_log(ctx)
    place = _prepare(directory)
    path = place / "config.toml"
    with Sandbox(messages, port=_free_port()) as server, context.stop_on_signals() as stop:
        console.out().print(f"A stand-in Easemob server with {messages:,} messages: {server.base_url}", soft_wrap=True)
        path.write_text(_config(place, path, server, messages), encoding="utf-8")
        settings = load(path, {})
        with connect.opened(settings, at_head=False) as store:
            migrate.upgrade(store)
            if settings.evidence is not None:
                beginning.init(store, settings, "the demonstration", host.account())
                connect.seal(store, settings)
            code = pull_watched(settings, store, None, PullOptions(command="pull"), stop)
            code = worst_exit_code(
                [code, commands.fetch_each(settings, store, commands.open_blobs(settings), stop=stop)]
            )
            configured = standing.configured(settings.apps)
            for entry in standing.report(store, configured, every_ms=settings.schedule.every_ms):
                print_status(entry)
            for title, sql in _QUERIES.items():
                columns, rows = ask(store, sql)
                click.echo(f"\n{title}\n\n{sql};\n")
                console.table("", columns, rows)
            _show_attachment(store, place)
            if settings.callbacks is not None:
                _show_recall(settings, store, server)
            if settings.evidence is not None:
                _show_evidence(settings, store, place)
    database = place / "archive.db"
    click.echo(f"\nThe archive is {database}, its configuration {path}. Look on with:")
    click.echo(f"  sqlite3 {shlex.quote(str(database))} .schema")
    click.echo(f"  {_program()} --config {shlex.quote(str(path))} status")
    click.echo(f"  {_program()} --config {shlex.quote(str(path))} review    # the same in a browser, by a link")
    click.echo(
        f"\nNext, with an account of the provider: {_program()} init, write org, app, client_id and the secret into"
        f" config.toml, and {_program()} doctor tests them."
    )
    return code


def _show_recall(settings: Settings, store: Store, server: Sandbox) -> None:
    """A message is recalled at the provider: a callback says so, and the archive still has it."""
    from archiver.callbacks import receiver, secrets
    from archiver.callbacks.job import CallbackJob
    from archiver.callbacks.spooling import SpoolWriter
    from archiver.sandbox import CallbackRule

    section, stop = settings.callbacks, Event()
    rows = ask(store, _RECALLED)[1]
    if section is None or not rows:
        return
    app = section.apps[0]
    writer = SpoolWriter(section.spool, server.true_ms)
    with receiver.listen("127.0.0.1", 0) as bound:
        token = secrets.token(app)
        taker = receiver.Receiver({app.alias: token}, writer, receiver.free_part(section.spool))
        thread = Thread(target=receiver.serve, args=(bound, taker, writer, stop))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/callback/{app.alias}/{token}"
        thread.start()
        sender = server.callbacks(url, CallbackRule(secrets.secrets(app)[0].decode()))
        try:
            sender.recall(rows[0][0], by=rows[0][1])
        finally:
            sender.close()
            stop.set()
            thread.join()
            writer.close()
    CallbackJob(settings, store, Event())()
    click.echo(f"\n{rows[0][1]} recalls a message. A callback says so, and it stays, marked:\n\n{_MARKED};\n")
    console.table("", *ask(store, _MARKED))


def _show_evidence(settings: Settings, store: Store, place: Path) -> None:
    """A verification of what is there, and one of a copy in which a message was forged."""
    context.publish(settings, store)
    click.echo("\nIs all of it as it was stored? archiver evidence verify\n")
    _verify(settings, store)
    with forged_copy(store, place / "forged.db") as (forged, forgery):
        click.echo(f"\nThe same in a copy, after\n  {forgery};\n")
        _verify(settings, forged)


def _verify(settings: Settings, store: Store) -> None:
    section = beginning.section(settings)
    trusted = [TrustedKey(section.name, signing.load(section.key_file).public)]
    print_findings(whole.verify(store, settings, VerifyOptions(section.name, trusted), decode, stop=Event()))


def _show_attachment(store: Store, place: Path) -> None:
    """One file: who sent it, under which name, and where its bytes lie."""
    _, rows = ask(store, _ATTACHMENT)
    for sender, filename, media_type, size, sha256 in rows:
        path = place / "files" / sha256[:2] / sha256[2:4] / sha256
        there = path.stat().st_size == size
        click.echo(f"\n{sender} sent {filename}: {size:,} bytes of {media_type}, {'stored' if there else 'MISSING'} as")
        click.echo(f"  {path}")


def _program() -> str:
    """How this program was called: in a checkout it is on nobody's PATH."""
    called = Path(sys.argv[0])
    if called.name == "archiver":
        return shlex.quote(str(called)) if os.sep in sys.argv[0] else "archiver"
    python = Path(sys.executable)
    here = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shlex.quote(str(here))} -m archiver"


def _prepare(directory: str | None) -> Path:
    """A folder without an archive. Raises ArchiverError rather than overwrite one."""
    names = [directory] if directory else ["demo", *(f"demo-{number}" for number in range(2, 100))]
    place = next((Path(name) for name in names if not (Path(name) / "archive.db").exists()), None)
    if place is None:
        raise ArchiverError(
            f"{Path(names[0]) / 'archive.db'} exists, and will not be overwritten", hint="--directory NEW"
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArchiverError(f"{place} cannot be made: {error.strerror}") from None
    return place


def _config(place: Path, path: Path, server: Any, messages: int) -> str:
    secret = place.absolute() / "client-secret"
    _write_secret(secret, server.client_secret)
    announced = server.announcement()
    database = place.absolute() / "archive.db"
    port = announced["base_url"].rpartition(":")[2]
    hourly_start = iso(server.now_ms() // HOUR_MS * HOUR_MS - _HOURS_BACK * HOUR_MS)
    files = quote(str(place.absolute() / "files"))
    names = {"path": shlex.quote(str(path)), "database": _toml(database), "files": files, "secret": _toml(secret)}
    names["evidence"] = "# [evidence] needs the package cryptography, which is not installed here."
    if importlib.util.find_spec("cryptography") is not None:
        keys = place.absolute() / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        names["evidence"] = _EVIDENCE.format(keys=_toml(keys))
    names["callbacks"] = "# [callbacks] needs the package waitress, which is not installed here."
    if importlib.util.find_spec("waitress") is not None:
        for name in ("callback-token", "callback-secrets"):
            _write_secret(place.absolute() / name, token_hex(16))
        names["callbacks"] = _CALLBACKS.format(place=_toml(place.absolute()), **announced)
    names |= {"port": port, "program": _program()}
    return _CONFIG.format(**names, messages=messages, hourly_start=hourly_start, **announced)


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _toml(path: Path) -> str:
    """Within the quotes of TOML, which escapes as JSON does."""
    return json.dumps(str(path), ensure_ascii=False)[1:-1]


def _free_port() -> int:
    """The port that the configuration left behind can name again; another one where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _PORT))
        except OSError:
            return 0
    return _PORT
