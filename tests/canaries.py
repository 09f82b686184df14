"""Listens to every log record and every captured output of the test run, at debug level, for what must never be in it.

The stand-in server's secrets and tokens are canaries as soon as they are made; so is the chat text it serves. A record
counts as the program would print it, redaction and all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import pytest

from archiver import logs
from archiver.sandbox import service, tokens

CHAT = (
    *("canary-text-71c2", "在的，请说", "收到，谢谢！", "已付款，请尽快发货", "周末一起去", "牛丼好吃"),
    *("Hi, are you there?", "see you at", "family photo from", "not html", "100% sure"),
)
secrets: set[str] = set()
_PREFIXES = ("YWMt", "YXA6")
"""Of tokens and of secrets: a search for two texts instead of hundreds."""
leaks: list[str] = []


def secrets_in(text: str) -> list[str]:
    return [each for each in secrets if each in text] if any(prefix in text for prefix in _PREFIXES) else []


def chat_in(text: str) -> list[str]:
    return [each for each in CHAT if each in text]


def hear(text: str, where: str) -> None:
    """What a process of its own has said."""
    leaks.extend(f"{where}: {each}" for each in secrets_in(text) + chat_in(text))


class _Ear(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("tests"):
            return
        for form in (logs._Text(), logs._Json()):
            told = form.format(record)
            heard = secrets_in(told) + chat_in(told)
            if isinstance(form, logs._Json) and not (told.isascii() and "\n" not in told):
                heard.append("a line of JSON that is no ASCII")
            leaks.extend(f"{record.name} at {record.lineno}: {each}" for each in heard)


@contextmanager
def listening() -> Iterator[None]:
    """Learn every secret that is made, and hear every record of the program, whatever verbosity a test asks for."""
    monkeypatch, ear = pytest.MonkeyPatch(), _Ear(0)
    give: Callable[..., str] = tokens.IssuedTokens.give
    begin: Callable[..., None] = service.Service.__init__
    configure = logs.configure

    def told_give(self: tokens.IssuedTokens, ends_ms: float) -> str:
        token = give(self, ends_ms)
        secrets.add(token)
        return token

    def told_begin(self: service.Service, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        secrets.add(self.client_secret)

    def loud(format_: Literal["text", "json"], verbosity: int, stream: TextIO) -> None:
        configure(format_, verbosity, stream)
        ours = logging.getLogger("archiver")
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logs._Handler):
                handler.setLevel(ours.level)
        ours.setLevel(logging.DEBUG)

    monkeypatch.setattr(tokens.IssuedTokens, "give", told_give)
    monkeypatch.setattr(service.Service, "__init__", told_begin)
    monkeypatch.setattr(logs, "configure", loud)
    logging.getLogger("archiver").addHandler(ear)
    try:
        yield
    finally:
        logging.getLogger("archiver").removeHandler(ear)
        monkeypatch.undo()
