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
    # A cluster makes functions and roles over one connection to each machine, and so must all else beside them.
    on_server = connection.dialect.name == "postgresql"
    if on_server and connection.exec_driver_sql("SELECT to_regclass('pg_dist_partition')").scalar() is not None:
        connection.exec_driver_sql("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")
    context.run_migrations()
