"""Log lines for people (text) or machines (json): one fact a line, nothing that steers a terminal, no secret.

A line has the id of its run: eight characters for the process, and within a pull the number of its row in `runs`.

Redaction works on the finished text, tracebacks included, because nobody knows beforehand which exception quotes what.
Libraries are kept at WARNING whatever the verbosity: below it they print query strings and rows.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO
from urllib.parse import quote

_TALKATIVE = ("urllib3", "sqlalchemy", "apscheduler", "alembic", "psycopg", "requests")
_SHORTEST_SECRET = 4
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

_process = secrets.token_hex(4)
_run: ContextVar[str] = ContextVar("run", default=_process)

_secrets: dict[str, None] = {}
_renewed: deque[str] = deque(maxlen=256)


@contextmanager
def run(number: int) -> Iterator[None]:
    """What is logged within belongs to this row of `runs`."""
    token = _run.set(f"{_process}/{number}")
    try:
        yield
    finally:
        _run.reset(token)


def carried() -> dict[str, Any]:
    """Arguments by which the threads of an executor log under the run of the thread that made it."""
    setter: Callable[[str], object] = _run.set
    return {"initializer": setter, "initargs": (_run.get(),)}


def keep_secret(value: str, *, renewed: bool = False) -> None:
    """Show `***` for `value` from now on. Of renewed ones (tokens) only the latest are kept: a daemon runs long."""
    for form in {value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}:
        if len(form) < _SHORTEST_SECRET:
            continue  # it would shred every line, and nobody's secret is that short
        if not renewed:
            _secrets[form] = None
        elif form not in _renewed:
            _renewed.append(form)


def redacted(text: str) -> str:
    # The longest first: a secret may begin with another one.
    for secret in sorted([*_secrets, *_renewed], key=len, reverse=True):
        if secret in text:
            text = _whole(secret).sub("***", text) if _WORD.fullmatch(secret) else text.replace(secret, "***")
    return text


_WORD = re.compile("[a-z]{1,16}")
"""A secret that may be a part of words, which tell nothing of it."""


@lru_cache
def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-zA-Z]){word}(?![a-zA-Z])")


def visible(text: str) -> str:
    """`text` with every control, direction and line-breaking character as an escape that can be seen.

    The two joiners stay: emoji and several scripts are written with them.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def readable(text: str) -> str:
    """As `visible`, for a line that somebody wrote to be read: a tab steers nothing, and is a tab."""
    return "\t".join(map(visible, text.split("\t")))


def _shown(char: str) -> str:
    if char.isprintable() or char in "\u200c\u200d" or unicodedata.category(char) in ("Zs", "Co", "Cn"):
        return char
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def configure(format: Literal["text", "json"], verbosity: int, stream: TextIO) -> None:  # noqa: A002 - as the option
    """Send the log to `stream`. Verbosity -1 tells of warnings, 0 also what happens, 1 and more also how."""
    handler = _Handler(stream)
    handler.setFormatter(_Json() if format == "json" else _Text())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    level = logging.WARNING if verbosity < 0 else logging.DEBUG if verbosity else logging.INFO
    logging.getLogger("archiver").setLevel(level)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that a second `configure` finds it."""


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _fields(record))
        line = f"{_time(record)} {record.levelname} {_run.get()} {record.name}: {record.getMessage()}{fields}"
        # Every line of a traceback is marked, so that no text in it can pass for a line of the log.
        return "\n  | ".join(visible(redacted(part)) for part in [line, *_traceback(self, record).splitlines()])


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {str(name): _clean(value) for name, value in _fields(record)}
        entry |= {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        entry["run"] = _run.get()
        entry["message"] = redacted(record.getMessage())
        if trace := _traceback(self, record):
            entry["traceback"] = redacted(trace)
        order = {name: entry[name] for name in ("time", "level", "logger", "message", "run")}
        # The one control character that JSON lets through; it can only lie within a text.
        return json.dumps(order | entry, ensure_ascii=True).replace("\x7f", r"\u007f")


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> Iterator[tuple[Any, Any]]:
    fields = getattr(record, "fields", None)
    return iter(fields.items() if isinstance(fields, Mapping) else ())


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _clean(value: object) -> object:
    """What JSON can hold, without secrets."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {redacted(str(key)): _clean(part) for key, part in value.items()}
        case list() | tuple() | set():
            return [_clean(part) for part in value]
        case _:
            return redacted(str(value))
