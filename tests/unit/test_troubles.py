"""Where a refused connection has no SQLSTATE its text decides, and what is unknown passes by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from archiver.store.troubles import ours

ADDRESS = 'connection to server at "db", port 5432 failed: '
FOR_GOOD = [
    'FATAL:  password authentication failed for user "u"',
    "fe_sendauth: no password supplied",
    'FATAL:  role "u" does not exist',
    'FATAL:  database "d" does not exist',
    'FATAL:  permission denied for database "d"\nDETAIL:  User does not have CONNECT privilege.',
    'FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", no encryption',
    'FATAL:  no such database: "d"',
    "FATAL:  unsupported startup parameter: options",
    'FATAL:  server login failed: FATAL password authentication failed for user "u"',
    'invalid sslmode value: "on"',
    'FATAL:  database "d" is not currently accepting connections',
    'FATAL:  cannot connect to invalid database "d"',
    'FATAL:  -1 is outside the valid range for parameter "geqo_effort" (1 .. 10)',
    'FATAL:  parameter "shared_buffers" cannot be changed without restarting the server',
    'FATAL:  permission denied to set parameter "log_statement"',
    'FATAL:  could not access file "$libdir/plugins/none": No such file or directory',
    "FATAL:  connection requires a valid client certificate",
    'definition of service "s" not found',
    'server certificate for "a" does not match host name "b"',
    "channel binding required, but server authenticated client without channel binding",
    'authentication method requirement "scram-sha-256" failed: server did not complete authentication',
    "received invalid response to SSL negotiation: H",
    "expected authentication request from server, but received H",
    '致命错误: 数据库 "d" 当前不接受联接',
    '致命错误: -1 超出了参数 "geqo_effort" (1 .. 10) 的有效范围',
    '致命错误: 用户 "u" 认证 PAM 失败',
    '致命错误: 用户 "u" Password 认证失败',
    '致命错误: 角色 "u" 不存在',
    '致命错误: 数据库 "d" 不存在',
    '致命错误: 访问数据库"d"的权限不够',
    '致命错误: 没有用于主机 "h", 用户 "u", 数据库 "d", no encryption 的 pg_hba.conf 记录',
]
PASSES = [
    "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
    "FATAL:  the database system is starting up",
    "FATAL:  the database system is not yet accepting connections",
    "FATAL:  sorry, too many clients already",
    'FATAL:  too many connections for role "u"',
    'FATAL:  too many connections for database "d"',
    "FATAL:  terminating connection due to administrator command",
    "FATAL:  server login failed: FATAL the database system is starting up",
    "FATAL:  query_wait_timeout",
    "timeout expired",
    "致命错误: 数据库系统启动中",
    "致命错误: 对不起, 已经有太多的客户",
    '致命错误: 到数据库 "d" 的连接太多',
    '致命错误: 由角色"u"发起的连接太多了',
]


class Coded(psycopg.OperationalError):
    """An error that a server names by a code."""

    def __init__(self, state: str) -> None:
        super().__init__()
        self.sqlstate = state


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ("08006 40001 40P01 53100 53300 55P03 57014 57P01 57P03 58030 25006 25P03 XX000 23505 26000 0A000", 75),
        ("28P01 3D000 42501 42P01 42703 22003 23502 23514 54000 P0001 21000 44000 XX001 XX002 58P01 99999", 2),
    ],
)
def test_an_error_with_a_code_passes_only_if_it_is_known_to(states: str, code: int) -> None:
    for state in states.split():
        refusal = ours(OperationalError("", None, Coded(state)))
        assert (refusal.exit_code, refusal.hint is not None) == (code, code == 2 or state == "25006"), state


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("INSERT INTO t VALUES (1, 1), (1, 2)", 75),
        ("INSERT INTO t VALUES (2, NULL)", 2),
        ("SELECT none FROM t", 2),
        ("SELECT * FROM none", 2),
    ],
)
def test_what_sqlite_refuses_passes_where_another_writer_was_first(statement: str, code: int) -> None:
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x NOT NULL)")
        with pytest.raises(sqlite3.Error) as caught:
            conn.execute(statement)
    assert ours(OperationalError("", None, caught.value), ":memory:").exit_code == code


@pytest.mark.parametrize("name", ["loop", "dangling", "x" * 300, ".", "none/x.db"])
def test_a_file_whose_name_leads_nowhere_does_not_open_later(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere/x")
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    assert ours(OperationalError("", None, error), f"{tmp_path}/{name}").exit_code == 2
    assert ours(OperationalError("", None, error), f"{tmp_path}/other.db").exit_code == 75


@pytest.mark.parametrize(("text", "code"), [*((text, 2) for text in FOR_GOOD), *((text, 75) for text in PASSES)])
def test_what_a_refused_connection_means(text: str, code: int) -> None:
    refusal = ours(OperationalError("", None, psycopg.OperationalError(ADDRESS + text)))
    assert refusal.exit_code == code
    assert (refusal.hint is not None) == (code == 2)
