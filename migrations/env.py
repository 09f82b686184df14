"""Alembic's entry: the connection comes from the program, so no ini file is needed."""

from alembic import context

from archiver.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transaction_per_migration=False,
    version_table_schema=context.config.attributes.get("schema"),  # or that of another schema in sight would do
)
with context.begin_transaction():
    context.run_migrations()
