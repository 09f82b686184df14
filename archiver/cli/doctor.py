"""`doctor`: everything that a pull needs, tried."""

from __future__ import annotations

import json

import click

from archiver import logs
from archiver.cli import context


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--test-alert", is_flag=True, help="Also send a test to the webhook of [alerts].")
@click.pass_context
def doctor(ctx: click.Context, form: str, *, test_alert: bool) -> int:
    """Test everything that a pull needs, for real. Prints a line per item, with the remedy.

    Exit codes: 0 all is well, perhaps with warnings; otherwise that of a pull:
    2, 4 or 75; 1 for failures without a code of their own.

    \b
    Example:
      archiver doctor
    """
    from archiver import doctor as examination

    settings = context.settings(ctx)
    findings = []
    with context.stop_on_signals() as stop:
        for finding in examination.examine(settings, stop=stop, test_alert=test_alert):
            findings.append(finding)
            if form == "text":
                text = f"{finding.text} (try: {finding.remedy})" if finding.remedy else finding.text
                click.echo(f"{finding.state:8} {finding.what}: {logs.visible(logs.redacted(text))}")
    if form == "json":
        content = {"version": 1, "findings": [finding._asdict() for finding in findings]}
        click.echo(logs.redacted(json.dumps(content)))
    return examination.gravest(findings)
