"""Descriptions of tables, views, columns and functions, copied from docs/schema.md into PostgreSQL as comments."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from archiver.store.engine import Tx

_PACKAGE = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| (.+) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


class Meaning(NamedTuple):
    """The description of a table or view, and of its columns by name."""

    about: str
    columns: dict[str, str]


@cache
def meanings() -> dict[str, Meaning]:
    """The descriptions in docs/schema.md, by table, view or function. A wheel has the page inside the package."""
    inside = _PACKAGE / "schema.md"
    page = (inside if inside.is_file() else _PACKAGE.parent / "docs" / "schema.md").read_text(encoding="utf-8")
    meaning_of = {}
    for name, text in re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE):
        about = re.split(r"^\|", text, maxsplit=1, flags=re.MULTILINE)[0]
        columns = {
            column: _plain(meaning)
            for columns, meaning in _ROW.findall(text.partition("| column |")[2])
            for column in re.findall(r"\w+", columns)
        }
        meaning_of[name] = Meaning(_plain(about), columns)
    return meaning_of


def _plain(text: str) -> str:
    return " ".join(_LINK.sub(r"\1", text).replace("`", "").split())


_OURS = """
SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, a.attname, col_description(c.oid, a.attnum),
       obj_description(c.oid)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'v')
  AND pg_has_role(c.relowner, 'USAGE')
UNION ALL
SELECT p.proname, 'FUNCTION', NULL, NULL, obj_description(p.oid)
FROM pg_proc p
WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND pg_has_role(p.proowner, 'USAGE')
"""


def write(tx: Tx) -> None:
    """Update the comments that differ, as far as this login may. PostgreSQL only: SQLite has no comments."""
    changed: dict[str, str] = {}
    for name, kind, column, meaning, about in tx.conn.exec_driver_sql(_OURS):
        documented = meanings().get(name)
        if documented is None:
            continue
        if documented.about != about:
            changed[f"{kind} {name}"] = documented.about
        if column in documented.columns and documented.columns[column] != meaning:
            changed[f'COLUMN {name}."{column}"'] = documented.columns[column]
    for what, text in changed.items():
        tx.conn.exec_driver_sql(f"COMMENT ON {what} IS {_quoted(text)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
