"""The catalogues of languages: `make words` brings them up to the texts in the code, and compiles them."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parents[1] / "archiver"
CATALOGUE = PACKAGE / "locale" / "zh_CN" / "LC_MESSAGES" / "archiver.po"
_NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)
"""What is made from the same texts is the same file."""
_KEYWORDS = {"say": None, "plural": (1, 2)}


def template() -> Catalog:
    """What the code says to people, by `Language.say` and `Language.plural`."""
    catalogue = Catalog()
    for path, line, text, comments, _ in extract_from_dir(
        PACKAGE, keywords=_KEYWORDS, method_map=[("**.py", "python")]
    ):
        if isinstance(text, str) or all(isinstance(part, str) for part in text):
            catalogue.add(text, None, [(path, line)], auto_comments=comments)
    return catalogue


def read() -> Catalog:
    """The Chinese catalogue as it stands in the tree."""
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="zh_CN")


def compiled(catalogue: Catalog) -> bytes:
    """What gettext reads."""
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def main() -> int:
    """Renew the catalogue and its compiled form; 1 where a text has no translation yet."""
    catalogue = read() if CATALOGUE.exists() else Catalog(locale="zh_CN")
    catalogue.update(template(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.creation_date = catalogue.revision_date = _NO_DATE
    with CATALOGUE.open("wb") as file:
        write_po(file, catalogue, width=110, no_location=True, sort_output=True, omit_header=False)
    CATALOGUE.with_suffix(".mo").write_bytes(compiled(catalogue))
    missing = [message.id for message in catalogue if message.id and not _translated(message.string)]
    for text in missing:
        print("not translated:", text)  # noqa: T201 - for whoever translates
    return 1 if missing else 0


def _translated(string: object) -> bool:
    return all(string) if isinstance(string, tuple) else bool(string)


if __name__ == "__main__":
    sys.exit(main())
