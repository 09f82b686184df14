"""The drivers' errors as ours: what passes by itself, what somebody has to mend, and what helps against that.

Where PostgreSQL refuses a connection, libpq keeps no SQLSTATE: there the text has to do, in English or in Chinese,
which are the languages of our users' servers; such a text that is not known is taken for what passes. Of errors with a
code those that pass are known, and any other one would come again.
"""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from archiver.errors import DatabaseRefused, DatabaseUnavailable, QueryTooLong
from archiver.store import sqlite

_RESTORE = "docs/operations.md, Back up and restore; on SQLite, sqlite3 FILE .recover saves what can be read"
_RIGHTS = (
    "archive_reader is enough to search and to read status and coverage, archive_officer to export, to decide, and to "
    "search where looks are noted, archive_auditor to read everything, archive_writer to pull: archiver migrate "
    "--roles, then GRANT the role to this login"
)
_SCHEMA = "archiver doctor; the search_path may not be that of the archive"
_TAKEN = "give the archive a database or a schema of its own"
_READ_ONLY = "default_transaction_read_only is on for this server, database or login; or it is a standby"
_STATES = {
    "28": "look at the user and password of [database] url, and at the server's pg_hba.conf",
    "3D000": "look at the name in [database] url; createdb makes one",
    "3F000": _SCHEMA,
    "42501": _RIGHTS,
    "42P07": _TAKEN,
    "42710": _TAKEN,
    "42723": _TAKEN,
    "42": _SCHEMA,
    "58P01": _RESTORE,
    "XX001": _RESTORE,
    "XX002": "REINDEX the index that the server's log names",
}
"""By SQLSTATE, or its class: what helps. An error that is not here and does not pass either gets `_CHANGED`."""
_CHANGED = "archiver doctor, and the server's log; somebody may have changed the archive's tables"
_SETTING = "ALTER ROLE or ALTER DATABASE ... RESET that setting, or do not give it in the URL or PGOPTIONS"
_PASSES = re.compile(
    r"08...|25...|40...|53...|55...|57...|58...|"
    r"0A000|26000|34000|42P05|"  # what a connection or a pooler had prepared before something was changed
    r"23505|"  # another writer was first
    r"XX000"  # also what Citus says of a node that cannot be reached
)
"""Connections, transactions, resources, what others hold, what an operator does, disks."""
_SAYS_NAMES_ONLY = re.compile(r"42501|42P0[127]|42703|42704|42883|3[DF]000|28...|25006")
"""Where the server's own sentence quotes names, and no value."""

_LOGIN = (
    r"authentication failed|no password supplied|empty password|no pg_hba.conf entry|pg_hba.conf rejects|no such user|"
    r"role .* (does not exist|is not permitted to log in)|"
    r"认证( PAM )?失败|角色.*不存在|不允许角色|pg_hba.conf *记录|空口令|有效的客户端认证"
)
_NO_DATABASE = (
    r"database .* does not exist|no such database|permission denied for database|not currently accepting connections|"
    r"invalid database|数据库.*(不存在|的权限不够|当前不接受联接)"
)
_OPTION = (
    r"unsupported startup parameter|unrecognized configuration parameter|invalid value for parameter|"
    r"invalid (connection option|URI|\w+ value|integer value|port number)|requires a Boolean value|"
    r"certificate verify failed|(root certificate|private key|certificate) file|server does not support SSL|"
    r"requirepeer specifies|definition of service|service file|server certificate for|channel binding required|"
    r"authentication method requirement|valid client certificate|invalid command-line argument|"
    r"outside the valid range for parameter|parameter .* cannot be (changed|set)|to set parameter|"
    r"could not access file|could not load library|invalid response to SSL negotiation|"
    r"expected authentication request|bouncer config error|"
    r"未认可的配置参数|的值无效|超出了参数|不能改变参数|参数 .* 不(可以改变|能设置)|设置参数|"
    r"无法(访问文件|加载库)|无效命令行参数"
)
_ON_CONNECTING = {
    _LOGIN: _STATES["28"],
    _NO_DATABASE: _STATES["3D000"],
    _OPTION: "look at the options in [database] url, and at the environment's PG... variables",
}

_MOVED = sqlite3.SQLITE_READONLY_DBMOVED
_DUPLICATES = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


def ours(
    error: SQLAlchemyError, path: str | None = None, *, reading: bool = False
) -> DatabaseUnavailable | DatabaseRefused | QueryTooLong:
    """The error that the program raises instead. `path`: of an SQLite file; `reading`: that is only read."""
    cause = getattr(error, "orig", None)
    text = describe(error)
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, text, path or "", reading=reading)
    state = getattr(cause, "sqlstate", None)
    if state is None:
        hint = next((helps for pattern, helps in _ON_CONNECTING.items() if re.search(pattern, str(cause))), None)
        return DatabaseUnavailable(text) if hint is None else DatabaseRefused(text, hint=hint)
    if state == "57014" and re.search(r"statement timeout|语句.*超时", str(cause)):
        return QueryTooLong()
    helps = _STATES.get(state, _STATES.get(state[:2], _CHANGED))
    if state not in _STATES and _PASSES.fullmatch(state):
        return DatabaseUnavailable(text, hint=_READ_ONLY if state == "25006" else None)
    return DatabaseRefused(text, hint=_SETTING if "to set parameter" in text else helps)


def _of_sqlite(
    cause: sqlite3.Error, text: str, path: str, *, reading: bool
) -> DatabaseUnavailable | DatabaseRefused | QueryTooLong:
    code = getattr(cause, "sqlite_errorcode", 0)
    match code & 0xFF:
        case sqlite3.SQLITE_INTERRUPT:
            return QueryTooLong()
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_FORMAT:
            return DatabaseRefused(f"{text}: {path}", hint="look at [database] url; that file is something else")
        case sqlite3.SQLITE_CORRUPT:
            return DatabaseRefused(f"{text}: {path}", hint=_RESTORE)
        case sqlite3.SQLITE_READONLY if code != _MOVED:
            return _no_rights(text, path)
        case sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return _no_rights(text, path)
        case sqlite3.SQLITE_CANTOPEN if reading and not os.access(path, os.R_OK):
            return DatabaseRefused(f"{text}: {path}", hint="the rights to read the file, for the user who runs this")
        case sqlite3.SQLITE_CANTOPEN if reading or not _may_write(Path(path)):
            return _no_rights(text, path)
        case sqlite3.SQLITE_CONSTRAINT if code in _DUPLICATES:  # another writer was first
            return DatabaseUnavailable(text)
        case sqlite3.SQLITE_ERROR | sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_MISMATCH | sqlite3.SQLITE_TOOBIG:
            hint = "archiver doctor; that file is another program's, or somebody has changed the archive's tables"
            return DatabaseRefused(text, hint=hint)
    return DatabaseUnavailable(text)


def _may_write(path: Path) -> bool:
    """As far as names and rights go: the file that a path leads to, and its folder, as SQLite lays files beside it."""
    try:
        end = path.resolve()
        in_a_circle = end.is_symlink()  # from Python 3.13 on; it raises before
        if in_a_circle or not os.access(end.parent, os.W_OK | os.X_OK) or end.is_dir():
            return False
        return not end.exists() or os.access(end, os.R_OK | os.W_OK)
    except (OSError, RuntimeError):  # too long a name, links in a circle
        return False


def _no_rights(text: str, path: str) -> DatabaseRefused:
    folder = Path(path).parent
    if stopping := sqlite.foreign(Path(path)):
        return DatabaseRefused(
            "\n".join(one.text for one in stopping), hint=" && ".join(one.remedy for one in stopping)
        )
    return DatabaseRefused(
        f"{text}: {path}", hint=f"the rights to write the file and its folder {folder}, for the user who runs this"
    )


def describe(error: SQLAlchemyError) -> str:
    """What went wrong, without any value: SQLAlchemy prints rows, and PostgreSQL's DETAIL line quotes chat text."""
    cause = getattr(error, "orig", None)
    if cause is None:
        return f"database error: {type(error).__name__}"
    state = getattr(cause, "sqlstate", None)
    if state is None:  # SQLite, or no connection: these messages name files, hosts and columns, never values
        return f"database error: {' '.join(str(cause).split())}"
    diag = cause.diag
    names = [name for name in (diag.table_name, diag.column_name, diag.constraint_name) if name]
    text = f"database error: {type(cause).__name__} ({state}){' in ' + ', '.join(names) if names else ''}"
    return f"{text}: {diag.message_primary}" if _SAYS_NAMES_ONLY.fullmatch(state) and diag.message_primary else text


def is_data_error(error: SQLAlchemyError) -> bool:
    """The database refused a value, not the connection or the transaction: the same row would fail again."""
    cause = getattr(error, "orig", None)
    state = getattr(cause, "sqlstate", None) or ""
    # 22: data exception; 54: a limit of the program, such as an index row too large
    return state[:2] in ("22", "54") or type(cause).__name__ in ("DataError", "OverflowError")


def is_duplicate(error: SQLAlchemyError) -> bool:
    """Another writer stored the same key first."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) == "23505"
