"""What reaches a terminal or a log file: visible, on one line, without secrets."""

from __future__ import annotations

import io
import json
import logging
import re
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import logs

log = logging.getLogger("archiver.somewhere")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("archiver").level
    yield
    root.handlers[:], level, ours = before
    root.setLevel(level)
    logging.getLogger("archiver").setLevel(ours)


def stream(format_: Literal["text", "json"] = "text", verbosity: int = 0) -> io.StringIO:
    out = io.StringIO()
    logs.configure(format_, verbosity, out)
    return out


def fail(text: str) -> None:
    raise ValueError(text)


def test_text_is_one_line_a_fact() -> None:
    out = stream()
    log.info("closed %s", "a\nb", extra={"fields": {"pages": 3, "app": "x\x1b[2J"}})
    line = out.getvalue()
    assert line.endswith(r" archiver.somewhere: closed a\nb pages=3 app=x\x1b[2J" + "\n")
    assert re.search(r"Z INFO [0-9a-f]{8} archiver", line)
    assert line.count("\n") == 1
    assert line[10] == "T"


def test_json_is_ascii_and_one_object_a_line() -> None:
    out = stream("json")
    log.warning("消息 \u202e\n", extra={"fields": {"pages": 3, "when": None, "of": ["é", {1: 2.5}], "level": "no"}})
    assert out.getvalue().isascii()
    told = json.loads(out.getvalue())
    assert list(told)[:4] == ["time", "level", "logger", "message"]
    assert (told["level"], told["logger"], told["message"]) == ("warning", "archiver.somewhere", "消息 \u202e\n")
    assert (told["pages"], told["when"], told["of"]) == (3, None, ["é", {"1": 2.5}])
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize("format_", ["text", "json"])
def test_secrets_show_nowhere(format_: Literal["text", "json"]) -> None:
    out = stream(format_)
    logs.keep_secret('p@ss/"word')
    logs.keep_secret("token-1", renewed=True)
    try:
        fail('url https://u:p%40ss%2F%22word@h token-1 p@ss/"word')
    except ValueError:
        log.exception(
            "failed with %s", 'p@ss/"word', extra={"fields": {"token": "token-1", "deep": [{"x": "token-1"}]}}
        )
    text = out.getvalue()
    assert not any(word in text for word in ("p@ss", "p%40ss", "token-1"))
    assert "***" in text
    assert "ValueError" in text


def test_a_secret_that_begins_like_another() -> None:
    logs.keep_secret("abcd")
    logs.keep_secret("abcdefgh")
    assert logs.redacted("abcdefgh abcd") == "*** ***"


def test_renewed_secrets_do_not_pile_up() -> None:
    for number in range(1000):
        logs.keep_secret(f"token-{number}", renewed=True)
    assert logs.redacted("token-999") == "***"
    assert len(logs._renewed) <= 256


def test_very_short_secrets_do_not_shred_the_log() -> None:
    logs.keep_secret("")
    logs.keep_secret("a")
    assert logs.redacted("a banana") == "a banana"


def test_traceback_lines_cannot_pass_for_log_lines() -> None:
    out = stream()
    try:
        fail("x\n2026-11-23T00:00:00.000Z INFO archiver: all is well\x1b")
    except ValueError:
        log.exception("failed")
    first, *others = out.getvalue().splitlines()
    assert first.endswith("failed")
    assert all(line.startswith("  | ") for line in others)
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("verbosity", "shown"), [(-1, ["w"]), (0, ["i", "w"]), (1, ["d", "i", "w"]), (2, ["d", "i", "w"])]
)
def test_verbosity(verbosity: int, shown: list[str]) -> None:
    out = stream(verbosity=verbosity)
    log.debug("d")
    log.info("i")
    log.warning("w")
    assert [line[-1] for line in out.getvalue().splitlines()] == shown


@pytest.mark.parametrize(
    "name", ["urllib3.poolmanager", "sqlalchemy.engine", "apscheduler.scheduler", "alembic.x", "other"]
)
def test_libraries_stay_quiet(name: str) -> None:
    out = stream(verbosity=2)
    logging.getLogger(name).info("GET /chatmessages?ql=...")
    logging.getLogger(name).debug("row")
    assert out.getvalue() == ""
    logging.getLogger(name).warning("trouble")
    assert out.getvalue().endswith("trouble\n")


def test_configured_twice_logs_once() -> None:
    first, second = stream(), stream()
    log.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 你好 👨‍👩‍👧 \u3000\xa0", "plain 你好 👨‍👩‍👧 \u3000\xa0"),
        ("\x1b[31m\x00\x7f", r"\x1b[31m\x00\x7f"),
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x9b1m\x85", r"\x9b1m\x85"),
        ("\u202eabc\u2066\u200f", r"\u202eabc\u2066\u200f"),
        ("\u2028\u2029\ufeff\xad", r"\u2028\u2029\ufeff\xad"),
        ("\ud83d", r"\ud83d"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert logs.visible(text) == shown


@given(st.text())
def test_nothing_visible_steers_a_terminal(text: str) -> None:
    shown = logs.visible(text)
    assert {unicodedata.category(char) for char in shown if char not in "\u200c\u200d"}.isdisjoint(
        {"Cc", "Cf", "Zl", "Zp", "Cs"}
    )
    assert logs.visible(shown) == shown


def test_each_line_has_the_id_of_its_run_in_every_thread_of_it() -> None:
    out = stream("json")
    log.info("before")
    with logs.run(17), ThreadPoolExecutor(1, **logs.carried()) as pool:
        log.info("within")
        pool.submit(log.info, "in a thread").result()
    log.info("after")
    process, *within, after = (json.loads(line)["run"] for line in out.getvalue().splitlines())
    assert process == after
    assert within == [f"{process}/17"] * 2


def test_a_secret_that_is_a_word_hides_no_part_of_another() -> None:
    logs.keep_secret("hooked")
    assert logs.redacted("hooked: unhooked, hookedness; is=hooked&x") == "***: unhooked, hookedness; is=***&x"
    logs.keep_secret("Hook3d")
    assert logs.redacted("unHook3dness") == "un***ness"
