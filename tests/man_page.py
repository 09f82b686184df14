"""`make docs`: docs/archiver.1, the manual page, from the help of the commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from archiver.cli import cli
from archiver.cli.table import COMMANDS

PAGE = Path(__file__).parents[1] / "docs" / "archiver.1"

_END = """\
.SH EXIT STATUS
.TP
0
done
.TP
1
failed
.TP
2
configuration or usage
.TP
3
the archive has a hole, a loss or a difference
.TP
4
the credentials were refused
.TP
75
try again later
.SH ENVIRONMENT
.TP
ARCHIVER_CONFIG
the configuration file
.TP
ARCHIVER_...
every setting, as ARCHIVER_DATABASE__URL
.SH FILES
.TP
config.toml
the configuration, as `archiver init` writes it
"""


def page() -> str:
    """The whole page in roff."""
    # With what the program says: click keeps a command's option for help as its first context names it.
    root = click.Context(cli, info_name="archiver", **cli.context_settings)
    parts = ['.TH ARCHIVER 1 "" "archiver" "User Commands"', ".SH NAME", "archiver \\- archive chat messages in SQL"]
    parts += [".SH SYNOPSIS", ".B archiver", "[OPTIONS] COMMAND [ARGS]...", ".SH DESCRIPTION", *_text(cli.help or "")]
    parts += [".SH OPTIONS", *_options(cli, root)]
    for task, names in COMMANDS.items():
        parts.append(f".SH COMMANDS: {task.upper()}")
        for name in names:
            command = cli.get_command(root, name)
            assert command is not None
            parts += _command(command, click.Context(command, info_name=name, parent=root))
    return "\n".join(parts) + "\n" + _END


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f".SS {_escaped(context.command_path)} {_escaped(' '.join(command.collect_usage_pieces(context)))}"
    yield from _text(command.help or "")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _command(below, click.Context(below, info_name=name, parent=context))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for option in command.get_params(context):
        if (record := option.get_help_record(context)) and "--help" not in record[0]:
            yield from (".TP", f".B {_escaped(record[0])}", _escaped(record[1]) or "\\&")


def _text(text: str) -> Iterator[str]:
    """Paragraphs; those behind \\\\b keep their lines."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield from (".PP", ".nf", *map(_escaped, paragraph.splitlines()[1:]), ".fi")
        else:
            yield from (".PP", _escaped(" ".join(paragraph.split())))


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"[^\x00-\x7f]", lambda sign: f"\\[u{ord(sign[0]):04X}]", text)
    return re.sub(r"^(?=[.'])", r"\\&", text)


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE} written")  # noqa: T201


if __name__ == "__main__":
    main()
