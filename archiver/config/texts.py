"""Files as editors save them and secrets as people paste them: what is read, and what is refused with the way out."""

from __future__ import annotations

from pathlib import Path

_BOM = "\ufeff"


def decoded(content: bytes) -> str:
    """The text of a file. Raises ValueError that says what it is instead."""
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


def is_empty(secret: str) -> bool:
    return not secret.strip(f"{_BOM} \t\r\n")
