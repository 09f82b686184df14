"""The command line: arguments to one call to one exit code. Modules load when their command runs, not before."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from archiver import __version__
from archiver.cli import streams
from archiver.cli.table import CommandTable
from archiver.errors import EXIT_FAILED, EXIT_LATER, ArchiverError


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
      archiver init      # then fill in config.toml
      archiver migrate   # makes the database
      archiver doctor    # tests all that a pull needs
      archiver pull && archiver status
    """
    ctx.obj |= {"config": config_path, "log_format": log_format, "verbose": verbose}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    prepare_process()
    sys.exit(invoke(sys.argv[1:] if arguments is None else arguments))


def prepare_process() -> None:
    """What is set once for the whole process."""
    os.umask(0o077)  # whatever is made here holds chats, whoever makes it: SQLite, the store of attachments, a library
    # A page is ten thousand values that live until it is stored: looking for garbage among them took a fifth of a pull.
    gc.set_threshold(50_000, 20, 20)
    # Who stores a page waits for the database again and again, and each time for who reads the next one.
    sys.setswitchinterval(0.0005)
    streams.prepare()


def invoke(arguments: list[str]) -> int:
    """Run a command; every error becomes its exit code and a line or two that name the remedy."""
    shared: dict[str, Any] = {}
    try:
        code: Any = cli.main(args=arguments, prog_name="archiver", standalone_mode=False, obj=shared)
        sys.stdout.flush()
    except ArchiverError as error:
        _print_error(str(error), error.hint, shared)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.NoSuchOption):
            print("  try: -- before a text that begins with a dash", file=sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        _print_error("interrupted; what was committed stays, the rest is pulled again", None)
        return EXIT_LATER
    except streams.OutputLost as error:
        _print_error(f"standard output cannot be written: {error.strerror}; what was printed is not whole", None)
        return EXIT_FAILED
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on; the interpreter must not complain about that
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _print_error(message: str, hint: str | None, shared: Mapping[str, Any] | None = None) -> None:
    """The error as it is, and its remedy in the language of people: what an error says may have to be searched for."""
    from archiver import logs
    from archiver.language import language, of_environment

    for line in message.splitlines():
        print(f"archiver: {logs.visible(logs.redacted(line))}", file=sys.stderr)
    if hint:
        chosen = language((shared or {}).get("language") or of_environment(os.environ))
        remedy = chosen.say("try: {remedy}", remedy=chosen.remedy(hint))
        print(f"  {logs.visible(logs.redacted(remedy))}", file=sys.stderr)
