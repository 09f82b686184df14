"""What a Citus coordinator says of itself, and what must be asked of its machines by name."""

from __future__ import annotations

from archiver.errors import UsageError
from archiver.store.engine import Tx

_SPREAD = "SELECT 1 FROM pg_dist_partition WHERE logicalrelid = 'messages'::regclass"


def is_there(tx: Tx) -> bool:
    """Whether this database has the extension."""
    return tx.postgres and tx.conn.exec_driver_sql("SELECT to_regclass('pg_dist_partition')").scalar() is not None


def is_distributed(tx: Tx) -> bool:
    """Whether the messages lie on many machines."""
    return is_there(tx) and tx.conn.exec_driver_sql(_SPREAD).first() is not None


def one_connection(tx: Tx) -> None:
    """Let this transaction use one connection to each machine, as statements on roles, functions and keys need it."""
    tx.conn.exec_driver_sql("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")


def on_shards(tx: Tx, table: str, statement: str) -> None:
    """Run a statement on every shard of a table, which it calls `%s`; not on the table itself.

    Raises UsageError where a machine refuses.
    """
    asked = "SELECT result FROM run_command_on_shards(%s, %s) WHERE NOT success"
    if refusals := tx.conn.exec_driver_sql(asked, (table, statement)).scalars().all():
        raise UsageError(f"a machine of the cluster refused: {refusals[0]}", hint="see its log, and run it again")


def ensure_role(tx: Tx, role: str) -> None:
    """Make a role that the coordinator has on the workers that lack it: it may be older than the cluster.

    Raises UsageError where a worker refuses.
    """
    lacks = f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'"  # noqa: S608 - our own names
    # A worker makes no role on its own account, unless it is told not to pass it on: in one statement, in this order.
    alone = "set_config('citus.enable_ddl_propagation', 'off', true) = 'off'"
    made = f"worker_create_or_alter_role('{role}', 'CREATE ROLE {role} LOGIN', NULL)"
    create = f"SELECT CASE WHEN {alone} THEN {made} END"
    asked = "SELECT 1 FROM run_command_on_workers(%s) WHERE NOT success OR result = '0'"
    if tx.conn.exec_driver_sql(asked, (lacks,)).first() is None:
        return
    refused = "SELECT result FROM run_command_on_workers(%s) WHERE NOT success"
    if refusals := tx.conn.exec_driver_sql(refused, (create,)).scalars().all():
        problem = f"a worker has no role {role}, and refused to make it: {refusals[0]}"
        raise UsageError(problem, hint=f"CREATE ROLE {role} LOGIN on that worker")
