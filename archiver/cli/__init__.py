"""The command line: arguments to one call to one exit code. Modules load when their command runs, not before."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any

import click

from archiver import __version__
from archiver.cli import streams
from archiver.errors import EXIT_FAILED, EXIT_LATER, ArchiverError

_COMMANDS = {
    "apps": "listing",
    "attachments": "attachments",
    "audit": "pulling",
    "backfill": "pulling",
    "canary": "provider",
    "check-config": "setup",
    "conversation": "reading",
    "conversations": "listing",
    "copy": "moving",
    "coverage": "reporting",
    "demo": "demo",
    "doctor": "setup",
    "distribute": "setup",
    "export": "exporting",
    "index": "reading",
    "init": "setup",
    "migrate": "setup",
    "participants": "listing",
    "presence": "provider",
    "pull": "pulling",
    "quarantine": "reporting",
    "run": "pulling",
    "sandbox": "sandbox",
    "search": "reading",
    "send": "provider",
    "statement": "statement",
    "status": "reporting",
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command, or its help, is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        room = importlib.import_module(f"archiver.cli.{module}")
        name = cmd_name.replace("-", "_")
        # A command whose name is that of a module which it uses is called `<name>_command` there.
        command: click.Command = getattr(room, f"{name}_command", None) or getattr(room, name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a name that is nearly right is answered with the right one."""
        if args and args[0] not in _COMMANDS:
            import difflib  # for the rare case alone

            if close := difflib.get_close_matches(args[0], _COMMANDS, n=1):
                raise click.UsageError(f"there is no command {args[0]!r}; did you mean {close[0]}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _ABOUT[name]) for name in self.list_commands(ctx)])


_ABOUT = {
    "apps": "list the archived apps; forget one without messages",
    "attachments": "download attachments; verify the store",
    "audit": "walk a closed range again",
    "backfill": "extend the archive to earlier times",
    "canary": "send a marked message and wait until it is archived",
    "check-config": "show the effective configuration",
    "conversation": "print the conversation of two users or a group",
    "conversations": "list conversations, by user and time",
    "copy": "copy the archive to another database, and compare both",
    "coverage": "list windows and holes; accept a loss",
    "doctor": "test everything that a pull needs, and name the remedies",
    "demo": "end-to-end demo with generated messages",
    "distribute": "distribute a new archive over a Citus cluster",
    "export": "export a copy for others; verify such a copy",
    "index": "update the search index, after a pull by cron",
    "init": "write a commented config.toml",
    "migrate": "create or upgrade the schema",
    "participants": "list users who sent something",
    "presence": "query whether users are online",
    "pull": "archive everything that is due, once (for cron)",
    "quarantine": "list and requeue records that could not be parsed",
    "run": "archive on a schedule until stopped",
    "sandbox": "run the simulated Easemob server",
    "search": "search the messages",
    "send": "send a message to a user or a group",
    "statement": "state whether a range of time is archived",
    "status": "show the state of the archive",
}


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="archiver", message="%(prog)s %(version)s")
@click.option(
    "--config",
    "config_path",
    metavar="PATH",
    envvar="ARCHIVER_CONFIG",
    default="config.toml",
    show_default=True,
    help="Configuration file (environment: ARCHIVER_CONFIG).",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("-v", "--verbose", count=True, help="-v: information, -vv: debugging.")
@click.pass_context
def cli(ctx: click.Context, config_path: str, log_format: str, verbose: int) -> None:
    """Archive the messages of Easemob / Agora Chat apps in SQL, and prove what is complete.

    \b
    Example:
      archiver init && archiver migrate && archiver pull && archiver status
    """
    ctx.obj = {"config": config_path, "log_format": log_format, "verbose": verbose}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    prepare_process()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def prepare_process() -> None:
    """What is set once for the whole process."""
    os.umask(0o077)  # whatever is made here holds chats, whoever makes it: SQLite, the store of attachments, a library
    # A page is ten thousand values that live until it is stored: looking for garbage among them took a fifth of a pull.
    gc.set_threshold(50_000, 20, 20)
    # Who stores a page waits for the database again and again, and each time for who reads the next one.
    sys.setswitchinterval(0.0005)
    streams.prepare()


def run(arguments: list[str]) -> int:
    """Run a command; every error becomes its exit code and a line or two that name the remedy."""
    try:
        code: Any = cli.main(args=arguments, prog_name="archiver", standalone_mode=False)
        sys.stdout.flush()
    except ArchiverError as error:
        _tell(str(error), error.hint)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        _tell("interrupted; what was committed stays, the rest is pulled again", None)
        return EXIT_LATER
    except streams.OutputLost as error:
        _tell(f"standard output cannot be written: {error.strerror}; what was printed is not whole", None)
        return EXIT_FAILED
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on; the interpreter must not complain about that
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _tell(message: str, hint: str | None) -> None:
    from archiver import logs

    for line in message.splitlines():
        print(f"archiver: {logs.visible(logs.redacted(line))}", file=sys.stderr)
    if hint:
        print(f"  try: {logs.visible(logs.redacted(hint))}", file=sys.stderr)
