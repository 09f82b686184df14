"""`migrate`: the schema and, on PostgreSQL, its roles."""

from __future__ import annotations

import click

from archiver.cli import context


@click.command()
@click.option("--roles", is_flag=True, help="Also create the roles on PostgreSQL.")
@click.pass_context
def migrate(ctx: click.Context, *, roles: bool) -> None:
    """Create the schema of the archive, or upgrade it to that of this program.

    \b
    Example:
      archiver migrate
    """
    from archiver.store import installation
    from archiver.store.admin import citus
    from archiver.store.admin import migrate as schema
    from archiver.store.admin import roles as grants

    with context.archive(ctx, at_head=False, offline=True) as (settings, store):
        before = schema.current(store)
        schema.upgrade(store)
        roles = roles or (before not in (None, schema.HEAD) and grants.to_repeat(store))
        if roles:
            grants.create(store)
        if settings.lifecycle is not None:
            with store.write() as tx:
                if not citus.is_distributed(tx):  # where nothing is deleted
                    installation.begin(tx, deletion=settings.lifecycle.deletion)
    when = "already" if before == schema.HEAD else "now"
    click.echo(f"the schema is {when} at {schema.HEAD}{'; roles are in place' if roles else ''}")
