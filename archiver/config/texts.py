"""Files as editors save them and secrets as people paste them: what is read, and what is refused with the way out."""

from __future__ import annotations

import codecs
import re
import unicodedata
from pathlib import Path

_BOM = "\ufeff"
_QUOTES = ('""', "''", "“”", "‘’")
_NOT_TOML = re.compile("[\0-\x08\x0b-\x1f\x7f\xa0\u2000-\u200f\u2018-\u201f\u2028-\u202f\u3000\ufeff\uff01-\uff5e]")
"""What looks like a blank, a quote or a sign of TOML, or like nothing, and is none."""


def decoded(content: bytes) -> str:
    """The text of a file. Raises ValueError that says what it is instead."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise ValueError("UTF-32 text, not UTF-8; save it as UTF-8: iconv -f UTF-32 -t UTF-8")
    wide = len(content) > 3 and content.count(0) > len(content) // 4  # of letters of two bytes one is mostly zero
    if wide or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("UTF-16 text, not UTF-8; save it as UTF-8: iconv -f UTF-16 -t UTF-8")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        remedy = "save it as UTF-8: iconv -f GB18030 -t UTF-8, if Windows wrote it in Chinese"
        raise ValueError(f"not UTF-8 text (line {line}); {remedy}") from None


def beside(secret: str, *, blanks: bool = True) -> str | None:
    """What an editor, an `echo` or a paste has put beside a secret, in words; None where nothing is seen.

    `blanks`: whether they can be no part of it; in a password they can.
    """
    if _BOM in secret:
        return "begins with a byte order mark"
    if "\n" in secret or "\r" in secret:
        return "has an empty line, or more than one line"
    if blanks and secret != secret.strip():
        return "has blanks beside it"
    if blanks and not secret.isprintable():
        return "holds characters that cannot be seen"
    if blanks and len(secret) > 1 and secret[0] + secret[-1] in _QUOTES:
        return "stands in quotes"  # those of a shell, which docker --env-file and files keep
    return None


def credential(value: str) -> str:
    """A credential from the console: what came along with it is refused here, and not by the provider's ban."""
    if problem := beside(value):
        raise ValueError(f"{problem}; write it alone, as the console shows it")
    return value


def is_laid(file: Path, engines: Path) -> bool:
    """Whether a container engine has laid this secret: below `engines`, or, as Kubernetes, wherever it was to."""
    if file.resolve().is_relative_to(engines.resolve()) or file.is_relative_to("/var/run/secrets"):
        return True
    return (file.parent / "..data").is_symlink()  # by which Kubernetes replaces all files of a volume at once


def without_mark(text: str) -> str:
    """The text without the byte order mark that editors on Windows begin it with."""
    return text.removeprefix(_BOM)


def strange(text: str, problem: str) -> str:
    """The sign in the line that a decoder's `problem` names which people take for another one; "" where none is."""
    named = re.search(r"at line ([0-9]+)", problem)
    line = text.split("\n")[int(named[1]) - 1] if named else ""
    if (sign := _NOT_TOML.search(re.sub(r"\"[^\"]*\"|'[^']*'", "", line))) is None:
        return ""
    name = unicodedata.name(sign[0], "a control character").lower()
    return f"; that line holds U+{ord(sign[0]):04X}, {name}: write it as the ASCII sign, or leave it out"


def is_empty(secret: str) -> bool:
    return not secret.strip(f"{_BOM} \t\r\n")
