"""`check-config`: what was understood, or every problem of it."""

from __future__ import annotations

import json

import click

from archiver import config, logs
from archiver.cli import context


@click.command("check-config")
@click.pass_context
def check_config(ctx: click.Context) -> None:
    """Show the effective configuration, with secrets as ***, or all its problems at once.

    \b
    Example:
      archiver check-config
    """
    from archiver.doctor.database import files_in_place

    settings = context.settings(ctx)
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
    for finding in files_in_place(settings):
        click.echo(f"warning: {logs.visible(finding.text)} (try: {logs.visible(finding.remedy or '')})", err=True)
