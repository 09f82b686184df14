"""The command line before any command runs."""

from __future__ import annotations

import pytest

from archiver import cli


@pytest.mark.parametrize(
    ("typed", "meant"), [("searchh", "search"), ("statusx", "status"), ("conversatoin", "conversation")]
)
def test_a_mistyped_command_is_answered_with_the_right_one(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([typed]) == 2
    assert f"there is no command '{typed}'; did you mean {meant}?" in capsys.readouterr().err


def test_what_resembles_no_command_is_refused_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["xyzzy\x1b[2J"]) == 2
    assert "did you mean" not in capsys.readouterr().err
