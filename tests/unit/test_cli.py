"""The command line before any command runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from archiver import cli
from archiver.cli.table import COMMANDS


@pytest.mark.parametrize(
    ("typed", "meant"), [("searchh", "search"), ("statusx", "status"), ("conversatoin", "conversation")]
)
def test_a_mistyped_command_is_answered_with_the_right_one(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.invoke([typed]) == 2
    assert f"there is no command '{typed}'; did you mean {meant}?" in capsys.readouterr().err


def test_what_resembles_no_command_is_refused_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["xyzzy\x1b[2J"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_every_command_is_a_file_of_its_name_in_the_table() -> None:
    shared = {
        "__init__",
        "console",
        "context",
        "options",
        "progress",
        "listing",
        "streams",
        "table",
        "transcript",
        "view",
    }
    files = {path.stem.replace("_", "-") for path in Path(cli.__file__).parent.glob("*.py") if path.stem not in shared}
    assert files == {name for commands in COMMANDS.values() for name in commands}


@pytest.mark.parametrize("columns", [60, 80])
def test_the_help_names_all_commands_by_task_within_narrow_terminals(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert cli.invoke(["-h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    for task, commands in COMMANDS.items():
        at = lines.index(f"{task}:")
        assert lines[at + 1].split()[0] == next(iter(commands))
