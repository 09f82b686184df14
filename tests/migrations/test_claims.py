"""Archives of before 0002 come over: what they know of zones, audits and their beginning means the same afterwards."""

from __future__ import annotations

import pytest

from archiver.store.admin import migrate
from tests.fixtures.databases import Database
from tests.migrations.test_schema import opened

HOUR = 3_600_000
START = 1_793_491_200_000

SOURCES = (
    "INSERT INTO sources (app_id, source, origin_ms, settle_ms, created_at) VALUES (1, 'hourly', {origin}, 1, '{at}')"
)
MARKS = (
    "INSERT INTO watermarks (app_id, source, complete_from_ms, complete_until_ms, audited_until_ms, updated_at)"
    " VALUES (1, 'hourly', {start}, {origin}, {origin}, '{at}')"
)
WINDOW = (
    "INSERT INTO windows (app_id, source, pass, cause, lo_ms, hi_ms, lag_ms, state, received, new, outside,"
    " shift_hours, file_sha256, walked_at, created_at) VALUES (1, 'hourly', {number}, '{cause}', {lo}, {hi}, {lag},"
    " '{state}', {rows}, {rows}, {outside}, {shift}, {file}, '{at}', '{at}')"
)


@pytest.mark.full
def test_an_archive_of_the_first_schema_comes_over(empty_database: Database) -> None:
    store = opened(empty_database)
    migrate.upgrade(store, "0001")
    origin, at = START + 3 * HOUR, "2026-11-01T00:00:00.000Z"
    empty_database.run(f"INSERT INTO apps (id, name, created_at) VALUES (1, 'a#b', '{at}')")
    empty_database.run(SOURCES.format(origin=origin, at=at))
    empty_database.run(MARKS.format(start=START, origin=origin, at=at))

    def window(number: int, lo: int, lag: int, **more: object) -> None:
        usual: dict[str, object] = {"cause": "live", "state": "closed", "rows": 0, "outside": 0, "shift": "NULL"}
        usual |= {"file": "NULL", "hi": lo + HOUR, "at": at} | more
        empty_database.run(WINDOW.format(number=number, lo=lo, lag=lag, **usual))

    window(1, START, 24, hi=origin, cause="before_first_contact", state="accepted")
    window(1, origin, 24, rows=5, outside=1, shift=0, file="'ab'")
    window(1, origin + HOUR, 24, rows=7, outside=7, shift=8, file="'cd'")
    window(2, origin, 30)
    window(2, origin + HOUR, 59)
    window(3, origin, 59)
    window(3, origin + HOUR, 59, state="skipped")
    migrate.upgrade(store)
    migrate.check(store)
    store.dispose()
    query = "SELECT zone_evidence, file_seen_at IS NOT NULL FROM windows WHERE pass = 1 ORDER BY lo_ms"
    evidence = [(row[0], bool(row[1])) for row in empty_database.rows(query)]
    assert evidence == [(None, False), ('{"0": 4}', True), ('{"32": 7}', True)]
    lags = empty_database.rows("SELECT number, lag_ms FROM passes ORDER BY number")
    assert [tuple(row) for row in lags] == [(2, 30), (3, 59)], "the shortest lag that a number was ever walked at"
    assert empty_database.value("SELECT complete_from_ms FROM watermarks") == origin
    assert empty_database.rows("SELECT * FROM coverage_holes") == []


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_new_tables_get_the_rights_of_those_like_them(empty_database: Database) -> None:
    """Roles are made once, so an archive that has them is upgraded with the rights of its new tables."""
    store = opened(empty_database)
    migrate.upgrade(store, "0003")
    with store.write() as tx:
        for role in ("archive_writer", "archive_reader"):
            if tx.conn.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).first() is None:
                tx.conn.exec_driver_sql(f"CREATE ROLE {role} NOLOGIN")
        tx.conn.exec_driver_sql("GRANT SELECT, INSERT ON pages, quarantine TO archive_writer")
        tx.conn.exec_driver_sql("GRANT INSERT, UPDATE, DELETE ON search_queue TO archive_writer")
        tx.conn.exec_driver_sql("GRANT SELECT ON pages TO archive_reader")
    migrate.upgrade(store)
    store.dispose()

    def may(role: str, verb: str, table: str) -> object:
        return empty_database.value("SELECT has_table_privilege(?, ?, ?)", role, table, verb)

    assert may("archive_writer", "INSERT", "seals")
    assert may("archive_writer", "DELETE", "ledger_queue")
    assert not may("archive_writer", "UPDATE", "ledger")
    assert may("archive_reader", "SELECT", "ledger")
    assert not may("archive_reader", "SELECT", "seals")
    assert empty_database.value("SELECT has_sequence_privilege('archive_writer', 'seals_id_seq', 'USAGE')")
    assert not empty_database.value("SELECT has_sequence_privilege('archive_reader', 'anchorings_id_seq', 'USAGE')")
