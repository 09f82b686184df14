"""Tokens and secrets of callbacks, read from their files by whoever needs them, and never logged from then on."""

from __future__ import annotations

import re
from pathlib import Path

from archiver import logs
from archiver.config import CallbackApp
from archiver.errors import ConfigurationError


def token(app: CallbackApp) -> str:
    """What stands in the URL behind the alias. Raises ConfigurationError."""
    text = _text(app.token_file).strip()
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        problem = f"{app.token_file}: a token is 32 hex digits, and this is something else"
        raise ConfigurationError(problem, hint=f"openssl rand -hex 16 > {app.token_file}")
    logs.keep_secret(text)
    return text


def secrets(app: CallbackApp) -> tuple[bytes, ...]:
    """The secrets of an app's rules. Raises ConfigurationError."""
    lines = [line.strip() for line in _text(app.secrets_file).splitlines() if line.strip()]
    if not lines:
        raise ConfigurationError(f"{app.secrets_file}: is empty", hint="write the secret of every rule, one a line")
    for line in lines:
        logs.keep_secret(line)
    return tuple(line.encode() for line in lines)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problem = f"{path}: cannot be read: {error.strerror or type(error).__name__}"
        raise ConfigurationError(problem, hint="a file that this account may read") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text", hint="write it again") from None
