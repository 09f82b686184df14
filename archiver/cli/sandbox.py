"""`sandbox`: the stand-in Easemob server in the foreground."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiver.cli import context
from archiver.errors import EXIT_DONE, ArchiverError

if TYPE_CHECKING:
    from archiver.sandbox import Faults, Sandbox


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any free port.")
@click.option("--messages", type=click.IntRange(0), default=2000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same messages.")
@click.option("--fault", "faults", metavar="NAME=RATE", multiple=True, help="Switch on a fault; see --list-faults.")
@click.option("--list-faults", is_flag=True, help="List the faults and exit.")
@click.pass_context
def sandbox(
    ctx: click.Context, port: int, messages: int, seed: int, faults: tuple[str, ...], *, list_faults: bool
) -> int:
    """Run a simulated Easemob server on the loopback address, with generated chats.

    The first line of output has its address and credentials, as JSON. Stop it
    with SIGTERM or Ctrl-C.

    \b
    Example:
      archiver sandbox --port 8420 --fault http_500=0.1 --fault order_ignored
    """
    from archiver.sandbox import Faults

    context.begin_log(ctx)
    if list_faults:
        for fault in Faults.described():
            click.echo(f"{fault[0]:24} {fault[3]}")
        return EXIT_DONE
    with (
        context.stop_on_signals() as stop,
        _opened(messages, seed, port, Faults.parse(list(faults))) as server,
    ):
        click.echo(json.dumps(server.announcement()))
        stop.wait()
    return EXIT_DONE


def _opened(messages: int, seed: int, port: int, faults: Faults) -> Sandbox:
    from archiver.sandbox import Sandbox

    try:
        return Sandbox(messages, seed, port=port, faults=faults)
    except OSError as error:
        raise ArchiverError(f"port {port} cannot be opened: {error.strerror}", hint="--port 0") from None
