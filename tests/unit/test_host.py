"""What the machine says of itself, and what becomes of what it lacks."""

from __future__ import annotations

import os
import pwd
import socket
from types import SimpleNamespace

import pytest

from archiver import host


def test_who_runs_this_is_the_operating_systems_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert host.account() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 1_000_650_000)  # as OpenShift gives them out, without a name
    assert host.account() == "1000650000"


def test_a_name_of_any_bytes_is_visible_text(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SimpleNamespace(pw_name=os.fsdecode(b"\xd5\xc5\x1b[2J\n"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: entry)
    assert host.account() == r"\xd5\xc5\x1b[2J\n"
    monkeypatch.setattr(socket, "gethostname", lambda: os.fsdecode(b"\xd5-pc"))
    assert host.name() == r"\xd5-pc"
