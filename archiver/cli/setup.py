"""`init`, `check-config`, `migrate`, `doctor`: what is done before the first pull."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from archiver import config, logs
from archiver.cli import common
from archiver.errors import ArchiverError


@click.command()
@click.pass_context
def init(ctx: click.Context) -> None:
    """Write a commented config.toml. An existing file is never overwritten.

    \b
    Example:
      archiver --config /etc/archiver/config.toml init
    """
    path = Path(ctx.find_root().obj["config"])
    try:
        # Made so, and not changed afterwards: not every file system lets modes be changed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(config.example())
    except FileExistsError:
        raise ArchiverError(f"{path} exists, and is left as it is") from None
    except OSError as error:
        raise ArchiverError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"{path} written; fill in your app, then: archiver check-config")


@click.command("check-config")
@click.pass_context
def check_config(ctx: click.Context) -> None:
    """Show the effective configuration, with secrets as ***, or all its problems at once.

    \b
    Example:
      archiver check-config
    """
    settings = common.settings(ctx)
    described = config.describe(settings)
    for section, values in described.items():
        for number, table in enumerate(values if isinstance(values, list) else [values]):
            click.echo(f"[{section}]" if isinstance(values, dict) else f"[[{section}]]  # {number}")
            for key, value in table.items():
                if value is not None:
                    click.echo(f"  {key} = {logs.visible(json.dumps(value, ensure_ascii=False))}")
    if settings.evidence is not None:
        for warning in config.shortcomings(settings.evidence, settings.database.sqlalchemy_url):
            click.echo(f"warning: {logs.visible(warning)}", err=True)


@click.command()
@click.option("--roles", is_flag=True, help="Also create the roles on PostgreSQL.")
@click.pass_context
def migrate(ctx: click.Context, *, roles: bool) -> None:
    """Create the schema of the archive, or upgrade it to that of this program.

    \b
    Example:
      archiver migrate
    """
    from archiver.store.admin import migrate as schema
    from archiver.store.admin import roles as grants

    with common.archive(ctx, at_head=False, offline=True) as (_, store):
        before = schema.current(store)
        schema.upgrade(store)
        if roles:
            grants.create(store)
    when = "already" if before == schema.HEAD else "now"
    click.echo(f"the schema is {when} at {schema.HEAD}{'; roles are in place' if roles else ''}")


@click.command()
@click.option(
    "--shards", type=click.IntRange(1, 1024), default=32, show_default=True, help="Number of shards per table."
)
@click.pass_context
def distribute(ctx: click.Context, shards: int) -> None:
    """Distribute a new archive over a Citus cluster, by message id. Run it once, after migrate.

    \b
    Example:
      archiver migrate && archiver distribute --shards 64
    """
    from archiver.store.admin import distribution

    with common.archive(ctx, offline=True) as (_, store):
        names = distribution.distribute(store, shards)
    click.echo(f"distributed by {distribution.COLUMN} over {shards} shards: {', '.join(names)}")


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--test-alert", is_flag=True, help="Also send a test to the webhook of [alerts].")
@click.pass_context
def doctor(ctx: click.Context, form: str, *, test_alert: bool) -> int:
    """Test everything that a pull needs, for real. Prints a line per item, with the remedy.

    \b
    Exit codes: 0 all is well, perhaps with warnings; otherwise that of a pull:
    2, 4 or 75; 1 for failures without a code of their own.

    \b
    Example:
      archiver doctor
    """
    from archiver import doctor as examination

    settings = common.settings(ctx)
    findings = []
    with common.stop_on_signals() as stop:
        for finding in examination.examine(settings, stop=stop, test_alert=test_alert):
            findings.append(finding)
            if form == "text":
                text = f"{finding.text} (try: {finding.remedy})" if finding.remedy else finding.text
                click.echo(f"{finding.state:8} {finding.what}: {logs.visible(logs.redacted(text))}")
    if form == "json":
        click.echo(logs.redacted(json.dumps([finding._asdict() for finding in findings])))
    return examination.gravest(findings)
