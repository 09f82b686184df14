"""`migrate`: the schema and, on PostgreSQL, its roles."""

from __future__ import annotations

import click

from archiver.cli import context, options
from archiver.errors import UsageError
from archiver.language import Language


@click.command()
@click.option("--roles", is_flag=True, help="Also create the roles on PostgreSQL.")
@click.pass_context
def migrate(ctx: click.Context, *, roles: bool) -> None:
    """Create the schema of the archive, or upgrade it to that of this program.

    \b
    Example:
      archiver migrate
    """
    from archiver.store import decisions, installation
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
                    place = settings.lifecycle.decided_in
                    before = installation.decide_in(tx, place) or installation.DATABASE
                    waiting = 0 if before == place else decisions.waiting(tx)
                    _tell_place(options.default_view(ctx).language, before, place, waiting)
                elif settings.lifecycle.decided_in != installation.DATABASE:
                    raise UsageError("a distributed archive decides by commands", hint='decided_in = "database"')
    when = "already" if before == schema.HEAD else "now"
    click.echo(f"the schema is {when} at {schema.HEAD}{'; roles are in place' if roles else ''}")


def _tell_place(language: Language, before: str, place: str, waiting: int) -> None:
    """Say that requests are made and decided on elsewhere from now on, and what that means for those that wait."""
    if before == place:
        return
    say = language.say
    if place == "page":
        click.echo(say("requests are made and decided on on the review page from now on, and by no command"))
    else:
        click.echo(say("requests are made and decided on by commands from now on, and not on the review page"))
    if waiting:
        click.echo(say("{count} requests wait from before: they can be refused; ask again for what is still wanted",
                       count=f"{waiting:,}"))  # fmt: skip
