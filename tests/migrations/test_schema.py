"""The migrations make what the program declares, on both databases; and program and schema know when they differ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from archiver.errors import SchemaMismatch
from archiver.store import migrate
from archiver.store.engine import Store, open_store
from archiver.store.schema import metadata
from tests.conftest import Database


def opened(database: Database) -> Store:
    return open_store(database.url.replace("postgresql://", "postgresql+psycopg://"))


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    found = opened(database)
    yield found
    found.dispose()


@pytest.fixture
def empty_store(empty_database: Database) -> Iterator[Store]:
    found = opened(empty_database)
    yield found
    found.dispose()


def test_the_migrated_schema_is_the_declared_one(store: Store) -> None:
    with store.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_the_declared_checks_and_keys_are_there(store: Store) -> None:
    with store.engine.connect() as conn:
        found = sa.inspect(conn)
        for table in metadata.sorted_tables:
            checks = {constraint.name for constraint in table.constraints if isinstance(constraint, sa.CheckConstraint)}
            assert {check["name"] for check in found.get_check_constraints(table.name)} >= checks
            assert found.get_pk_constraint(table.name)["constrained_columns"] == list(table.primary_key.columns.keys())
        views = set(found.get_view_names())
    assert views >= {"messages_readable", "conversations", "daily_counts", "coverage_holes"}


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(migrate.migrations())).get_current_head() == migrate.HEAD


def test_migrating_twice_changes_nothing(store: Store) -> None:
    migrate.upgrade(store)
    migrate.check(store)


def test_an_empty_database_is_refused_with_the_remedy(empty_store: Store) -> None:
    with pytest.raises(SchemaMismatch) as refused:
        migrate.check(empty_store)
    assert refused.value.hint == "archiver migrate"
    migrate.upgrade(empty_store)
    migrate.check(empty_store)


def test_a_newer_schema_is_refused_with_the_remedy(store: Store, database: Database) -> None:
    database.run("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="newer than this program") as refused:
        migrate.check(store)
    assert refused.value.hint is not None
    with pytest.raises(SchemaMismatch):
        migrate.upgrade(store)
