"""The command line before any command runs."""

from __future__ import annotations

import gc
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from archiver import cli
from archiver.cli.progress import PullBar
from archiver.cli.table import COMMANDS, load
from archiver.language import language as language_of
from archiver.model import Tally
from archiver.pull.progress import Phase
from archiver.view import View


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


def test_garbage_is_collected_again_once_a_command_is_loaded_or_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModuleNotFoundError):
        load("archiver.cli.nothing")
    assert gc.isenabled()
    assert cli.invoke(["demo", "--help"]) == 0
    assert capsys.readouterr().out
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_every_command_is_a_file_of_its_name_in_the_table() -> None:
    shared = {
        "__init__",
        "console",
        "context",
        "decision",
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


@pytest.mark.parametrize("columns", [60, 80])
def test_the_help_of_all_commands_fits_narrow_terminals(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Examples are for copying: they may be as long as 80 columns allow."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in (name for commands in COMMANDS.values() for name in commands):
        assert cli.invoke([name, "-h"]) == 0
        text = re.sub(r"(?s)  Example:\n.*?\n\n", examples_of_80_columns, capsys.readouterr().out)
        assert [line for line in text.splitlines() if len(line) > columns] == [], name


def examples_of_80_columns(found: re.Match[str]) -> str:
    assert max(map(len, found[0].splitlines())) <= 80, found[0]
    return ""


@pytest.mark.parametrize(
    "arguments", [["status", "--config", "there.toml"], ["quarantine", "list", "--config", "there.toml", "-v"]]
)
def test_options_of_all_commands_may_follow_the_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.invoke(arguments) == 2
    assert "there.toml: there is no such file" in capsys.readouterr().err
    assert cli.invoke([arguments[0], "-h"]) == 0
    assert "--log-format" not in capsys.readouterr().out, "they are in the help once"


def test_a_text_that_begins_with_a_dash_gets_the_usual_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["send", "user", "x", "-2+3"]) == 2
    assert "try: -- before a text" in capsys.readouterr().err


@pytest.mark.parametrize(("language", "words"), [("en", "audit 24 h, 7 checked"), ("zh", "复查 24 小时，已核对 7 条")])
def test_a_pull_shows_what_it_is_at_and_ends_with_one_line(language: str, words: str) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    view = View(language_of(language))
    with PullBar("o#a", plain=True, view=view, console=console) as bar:
        bar.begun(0, 86_400_000)
        bar.walking(Phase("live", 1, 120_000, 0, 86_400_000))
        bar.stored(Tally(new=1234))
        bar.moved(86_400_000)
        bar.walking(Phase("live", 3, 86_400_000, 0, 80_000_000))
        bar.stored(Tally(known=7, quarantined=1))
    shown = out.getvalue()
    assert words in shown
    assert re.search(r" 0?0:0\d\b", shown), "how long it will still take"
    last = shown.rstrip().splitlines()[-1]
    assert "1,234" in last
    assert "1970-01-02 00:00:00 UTC" in last


@pytest.mark.parametrize("group", ["quarantine", "apps", "export", "attachments"])
def test_the_help_of_a_group_cuts_no_sentence(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.invoke([group, "-h"]) == 0
    lines = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    assert not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("archiver st", {"status", "statement"}),
        ("archiver quarantine l", {"list"}),
        ("archiver export --for", {"--format"}),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(
    shell: str, typed: str, offered: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_ARCHIVER_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", typed.rsplit(maxsplit=1)[-1] if shell == "fish" else str(len(typed.split()) - 1))
    with pytest.raises(SystemExit):
        cli.invoke([])
    words = set(capsys.readouterr().out.replace(",", "\n").split())
    assert offered <= words
    assert "run" not in words
