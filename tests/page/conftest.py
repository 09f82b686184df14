"""An archive that the page shows: pulled, with a record that could not be read.

On PostgreSQL the page has the login that it should have: a member of archive_page, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database
from tests.page.browsing import PAGE_LOGINS
from tests.postgres import Postgres


@pytest.fixture(autouse=True)
def page_login(request: pytest.FixtureRequest) -> Iterator[None]:
    """The login of the page, for the tests that have a database on PostgreSQL."""
    database = request.getfixturevalue("database") if "database" in request.fixturenames else None
    if database is None or database.kind != "postgresql":
        yield
        return
    server: Postgres = request.getfixturevalue("postgres")
    from archiver.store.admin.roles import create

    store = open_database(database)
    create(store)
    store.dispose()
    login = f"page_of_{database.url.rpartition('archiver_')[2].partition('?')[0]}"
    server.run(f"CREATE ROLE {login} LOGIN IN ROLE archive_page")
    PAGE_LOGINS[database.url] = login
    yield
    del PAGE_LOGINS[database.url]
    server.run(f"DROP ROLE {login}")


@pytest.fixture
def pulled(database: Database, make_archive: MakeArchive) -> Archive:
    archive = make_archive(database, messages=300)
    broken = b'{"msg_id": "q1", "timestamp": "1e3", "note": "<b>secret</b>"}'
    archive.server.add(broken, timestamp_ms=archive.server.start_ms + 1000, visible_ms=0)
    assert archive("pull") == 0
    return archive
