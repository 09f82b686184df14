"""The table of commands, by task. `archiver NAME` is in archiver/cli/name.py, imported when the command runs."""

from __future__ import annotations

import gc
import importlib
import sys
from types import ModuleType
from typing import Any

import click

COMMANDS = {
    "Get started": {
        "demo": "end-to-end demo with generated messages",
        "init": "write a commented config.toml",
        "check-config": "show the effective configuration",
        "migrate": "create or upgrade the schema",
        "doctor": "test everything a pull needs; name remedies",
    },
    "Archive": {
        "pull": "archive everything that is due, once (cron)",
        "run": "archive on a schedule until stopped",
        "backfill": "extend the archive to earlier times",
        "audit": "walk a closed range again",
        "attachments": "download attachments; verify the store",
        "index": "update the search index after a pull",
        "receive": "accept callbacks; spool them for run and pull",
    },
    "Check completeness": {
        "status": "show the state of the archive",
        "statement": "state whether a range of time is archived",
        "coverage": "list windows and holes; accept a loss",
        "quarantine": "list and requeue unparsable records",
        "evidence": "sign what is stored; verify that it is unaltered",
        "callbacks": "show how callbacks compare with the record",
    },
    "Read": {
        "search": "search the messages",
        "conversation": "print a conversation",
        "conversations": "list conversations, by user and time",
        "participants": "list users who sent something",
        "review": "serve the review page for a browser",
        "export": "export a copy for others; verify such a copy",
    },
    "Decide what stays": {
        "requests": "approve or refuse what needs two persons",
        "hold": "place, list, widen and release legal holds",
        "retention": "show and set how long messages are kept",
        "erase": "erase messages as two persons decide",
    },
    "Maintain": {
        "apps": "list apps; forget one without messages",
        "copy": "copy the archive to another database",
        "distribute": "distribute a new archive over Citus",
    },
    "Talk to the provider": {
        "send": "send a message to a user or a group",
        "presence": "query whether users are online",
        "canary": "send a message; wait until it is archived",
        "sandbox": "run the simulated Easemob server",
    },
}
"""What each command does, by task, in the order of the help."""

_NAMES = [name for group in COMMANDS.values() for name in group]


def _take_global_options(command: click.Command) -> None:
    """Let `archiver status --config FILE` be what people mean by it: the options of all commands, after any of them."""
    if any(option.name == _AFTER for option in command.params):
        return
    command.params += [
        _after("--config", "config", metavar="PATH"),
        _after("--log-format", "log_format", type=click.Choice(["text", "json"])),
        _after("-v", "verbose", "--verbose", count=True),
    ]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            below.short_help = below.short_help or (below.help or "").partition(".")[0]  # whole, for narrow terminals
            _take_global_options(below)


_AFTER = "global_config"


def _after(flag: str, key: str, *further: str, **options: Any) -> click.Option:
    """Not in the help, which has it once. Known early, as other options are read by the configuration."""

    def keep(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            ctx.find_root().obj[key] = value
            ctx.find_root().obj.pop("display", None)

    return click.Option(
        [flag, *further, f"global_{key}"], hidden=True, expose_value=False, is_eager=True, callback=keep, **options
    )


def load(name: str) -> ModuleType:
    """Import a module. What importing makes stays: looking for garbage among it, meanwhile and once more when the
    process ends, would be a quarter of a command's start, and a part of every collection of a pull."""
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


class CommandTable(click.Group):
    """Imports a command's module only when that command, or its help, is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return _NAMES

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _NAMES:
            return None
        name = cmd_name.replace("-", "_")
        module = load(f"archiver.cli.{name}")
        # A command whose name is that of a module which it uses is called `<name>_command` there.
        command: click.Command = getattr(module, f"{name}_command", None) or getattr(module, name)
        _take_global_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a name that is nearly right is answered with the right one."""
        if args and args[0] not in _NAMES:
            import difflib  # for the rare case alone

            if close := difflib.get_close_matches(args[0], _NAMES, n=1):
                raise click.UsageError(f"there is no command {args[0]!r}; did you mean {close[0]}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The commands by task, without importing any of them."""
        widest = max(map(len, _NAMES))
        for task, commands in COMMANDS.items():
            with formatter.section(task):
                formatter.write_dl([(name.ljust(widest), about) for name, about in commands.items()])
