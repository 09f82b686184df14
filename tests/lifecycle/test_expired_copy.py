"""A copy follows what its source let go of, and refuses a target that let go of more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive, MakeArchive, check_sums
from tests.fixtures.databases import Database, fresh_postgres
from tests.lifecycle.halves import expire_half
from tests.postgres import Postgres, migrated


@pytest.fixture
def target(database: Database, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the other kind."""
    if database.kind == "postgresql":
        migrated(f"sqlite:///{tmp_path}/target.db")
        yield Database("sqlite", f"sqlite:///{tmp_path}/target.db")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        with fresh_postgres(server) as made:
            yield made


def test_a_copy_lets_go_of_what_has_expired_in_its_source(
    database: Database, target: Database, make_archive: MakeArchive
) -> None:
    archive: Archive = make_archive(database, messages=60)
    assert archive("pull", page_size=7) == 0
    assert archive("index") == 0
    assert archive("copy", "--to", target.url) == 0, archive.errors
    before = target.value("SELECT count(*) FROM messages")
    sender = database.value("SELECT lower(sender) FROM messages GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
    expire_half(archive, hold=sender)
    assert archive("copy", "--to", target.url) == 0, archive.errors
    assert target.value("SELECT count(*) FROM messages") == archive.count("messages") < before
    assert target.rows("SELECT app_id, ms FROM expired_before") == database.rows(
        "SELECT app_id, ms FROM expired_before"
    )
    check_sums(target)
    assert archive("copy", "--to", target.url, "--compare-only") == 0
    database.alter("DELETE FROM tombstones")
    assert archive("copy", "--to", target.url) == 2
    assert "has deleted what the archive still has" in archive.errors
