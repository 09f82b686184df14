"""Where a refused connection has no SQLSTATE its text decides, and what is unknown passes by itself."""

from __future__ import annotations

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


@pytest.mark.parametrize(("text", "code"), [*((text, 2) for text in FOR_GOOD), *((text, 75) for text in PASSES)])
def test_what_a_refused_connection_means(text: str, code: int) -> None:
    refusal = ours(OperationalError("", None, psycopg.OperationalError(ADDRESS + text)))
    assert refusal.exit_code == code
    assert (refusal.hint is not None) == (code == 2)
