"""`sandbox`: the stand-in Easemob server in the foreground."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from archiver.cli import context
from archiver.errors import EXIT_DONE, ArchiverError, UsageError

if TYPE_CHECKING:
    from archiver.sandbox import Faults, Sandbox


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any free port.")
@click.option("--messages", type=click.IntRange(0), default=2000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same messages.")
@click.option("--fault", "faults", metavar="NAME=RATE", multiple=True, help="Switch on a fault; see --list-faults.")
@click.option("--callbacks", metavar="URL", help="Send the callbacks of all messages to this receiver.")
@click.option(
    "--signed-by",
    "signed_by",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="File with the rule's secret on its first line; without it, callbacks are signed with: sandbox.",
)
@click.option("--list-faults", is_flag=True, help="List the faults and exit.")
@click.pass_context
def sandbox(
    ctx: click.Context,
    port: int,
    messages: int,
    seed: int,
    faults: tuple[str, ...],
    callbacks: str | None,
    signed_by: Path | None,
    *,
    list_faults: bool,
) -> int:
    """Run a simulated Easemob server on the loopback address, with generated chats.

    The first line of output has its address and credentials, as JSON. With
    --callbacks, a second one counts what the receiver took. Stop it with SIGTERM
    or Ctrl-C.

    \b
    Example:
      archiver sandbox --port 8420 --fault http_500=0.1 --fault order_ignored
      archiver sandbox --callbacks http://127.0.0.1:9490/callback/support/TOKEN
    """
    from archiver.sandbox import Faults

    context.begin_log(ctx)
    if callbacks is not None and urlsplit(callbacks).scheme != "http":
        raise UsageError("--callbacks is an address with http", hint="that of archiver receive itself, without a proxy")
    if list_faults:
        for fault in Faults.described():
            click.echo(f"{fault[0]:24} {fault[3]}")
        return EXIT_DONE
    with (
        context.stop_on_signals() as stop,
        _opened(messages, seed, port, Faults.parse(list(faults))) as server,
    ):
        click.echo(json.dumps(server.announcement()))
        if callbacks is not None:
            _send_callbacks(server, callbacks, _secret(signed_by), stop)
        stop.wait()
    return EXIT_DONE


def _secret(path: Path | None) -> str:
    return "sandbox" if path is None else path.read_text(encoding="utf-8").partition("\n")[0].strip()


def _send_callbacks(server: Sandbox, url: str, secret: str, stop: Event) -> None:
    from archiver.sandbox import CallbackRule, chatter

    sender = server.callbacks(url, CallbackRule(secret))
    try:
        chatter.send(sender, (row.record for row in server.records), is_stopped=stop.is_set)
    finally:
        sender.close()
    click.echo(json.dumps({"callbacks": sender.delivery.counts}))


def _opened(messages: int, seed: int, port: int, faults: Faults) -> Sandbox:
    from archiver.sandbox import Sandbox

    try:
        return Sandbox(messages, seed, port=port, faults=faults)
    except OSError as error:
        raise ArchiverError(f"port {port} cannot be opened: {error.strerror}", hint="--port 0") from None
