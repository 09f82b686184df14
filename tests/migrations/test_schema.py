"""The migrations make what the program declares, on both databases; and program and schema know when they differ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from archiver.errors import SchemaMismatch
from archiver.store.admin import comments, migrate
from archiver.store.engine import Store, open_store
from archiver.store.schema import ALL_VIEWS, metadata
from tests.fixtures.databases import Database


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


def is_declared(name: str | None, _kind: str, _parents: object) -> bool:
    """What only one of the two databases has, in words of its own, is SQL of the migration alone."""
    return name is None or not name.startswith(("search_index", "ix_search_texts"))


def with_comments() -> sa.MetaData:
    """What is declared, with the comments that docs/schema.md has for it."""
    declared = sa.MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        copy = table.to_metadata(declared)
        copy.comment, told = comments.meanings()[table.name]
        for column in copy.columns:
            column.comment = told[column.name]
    return declared


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_migrated_schema_is_the_declared_one(store: Store) -> None:
    with store.engine.connect() as conn:
        opts = {"compare_type": True, "compare_server_default": False, "include_name": is_declared}
        context = MigrationContext.configure(conn, opts=opts)
        assert compare_metadata(context, with_comments()) == []


def test_the_declared_checks_and_keys_are_there(store: Store) -> None:
    with store.engine.connect() as conn:
        found = sa.inspect(conn)
        for table in metadata.sorted_tables:
            checks = {constraint.name for constraint in table.constraints if isinstance(constraint, sa.CheckConstraint)}
            assert {check["name"] for check in found.get_check_constraints(table.name)} >= checks
            assert found.get_pk_constraint(table.name)["constrained_columns"] == list(table.primary_key.columns.keys())
        views = set(found.get_view_names())
    assert views == {*ALL_VIEWS}


def test_postgresql_tells_what_everything_means(postgres_database: Database) -> None:
    """The views, too; and again after docs/schema.md was changed, at the next migrate."""
    query = (
        "SELECT c.relname, a.attname, col_description(c.oid, a.attnum), obj_description(c.oid) FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND c.relname <> 'alembic_version'"
    )
    rows = postgres_database.rows(query)
    assert {row[0] for row in rows} == {*metadata.tables, *ALL_VIEWS}
    about_search = postgres_database.value("SELECT obj_description('archive_search'::regproc)")
    assert about_search == comments.meanings()["archive_search"].about
    assert about_search.startswith("Finds a text")
    for name, column, meaning, about in rows:
        assert (about, meaning) == (comments.meanings()[name].about, comments.meanings()[name].columns[column])
    postgres_database.run("COMMENT ON COLUMN messages.raw IS 'something else'")
    found = opened(postgres_database)
    migrate.upgrade(found)
    found.dispose()
    assert postgres_database.rows(query) == rows


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
