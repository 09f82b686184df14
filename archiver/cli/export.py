"""`export`, `export verify`: a copy of what the archive has, for others; and the check of a copy, offline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from archiver import coverage, host, logs
from archiver.cli import context, options, progress
from archiver.cli.decision import DECISION, Decision, may_go_on
from archiver.cli.statement import tell_gaps
from archiver.config import Settings
from archiver.config.evidence import TimestampSink
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE, UsageError
from archiver.export import FOR_PEOPLE, FORMATS, TRANSLATED
from archiver.language import language
from archiver.statement import StatementWording
from archiver.store.read.filters import Filter
from archiver.view import View

if TYPE_CHECKING:
    from archiver.export.run import ExportOutcome

_MOST_SHOWN = 20


@click.group(invoke_without_command=True)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Only jsonl contains the verbatim records.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="A new folder.")
@click.option("--case", metavar="ID", help="Case id, for audit_log, manifest and printed pages.")
@click.option("--reason", metavar="TEXT", help="Reason, recorded likewise.")
@click.option("--attachments", is_flag=True, help="Also copy the stored attachments.")
@click.option("--bom", is_flag=True, help="csv: begin with a byte order mark, so that Excel detects UTF-8.")
@click.option("--single-file", is_flag=True, help="csv: one file, not one for each day.")
@click.option("--compress", type=click.Choice(["gzip", "zstd"]), help="jsonl, csv: compress the files.")
@click.option("--workers", type=click.IntRange(1, 16), default=1, help="PostgreSQL: days written at the same time.")
@click.option("--proofs", is_flag=True, help="jsonl: add proofs, and verify.py, which checks them anywhere.")
@click.option("--text", metavar="TEXT", help="Only messages that archiver search finds by this text.")
@options.message_filter
@DECISION
@options.VIEW
@click.pass_context
def export(ctx: click.Context, /, form: str | None, output: Path | None, **options: Any) -> int | None:
    """Export messages to files, with a manifest of SHA-256 and the claim of completeness.

    All of it is one snapshot, while archiving continues. An interrupted export is resumed by the same command. Every
    export is recorded in the table audit_log before it begins. Exits with 3 if the range is not wholly archived, or a
    stored attachment is missing or damaged.

    \b
    Example:
      archiver export --format xlsx --output case-42 \\
          --case 42 --conversation 'iris|xingchen' --month 2026-11
      archiver export verify case-42
    """
    if ctx.invoked_subcommand is not None:
        return None
    if form is None or output is None:
        missing = "--format" if form is None else "--output"
        raise UsageError(f"{missing} is missing", hint="archiver export --format jsonl --output DIR")
    return _export(ctx, form, output, **options)


def _export(
    ctx: click.Context,
    form: str,
    output: Path,
    *,
    case: str | None,
    reason: str | None,
    text: str | None,
    attachments: bool,
    bom: bool,
    single_file: bool,
    compress: str | None,
    workers: int,
    proofs: bool,
    view: View,
    criteria: Filter,
    decision: Decision,
) -> int:
    from archiver.attachments import commands
    from archiver.export import run
    from archiver.export.request import Request
    from archiver.sources import decode

    _demand_fitting(form, csv_alone={"bom": bom, "single-file": single_file}, proofs=proofs, compress=compress)
    _note_language(ctx, form)
    calendar = options.calendar_for(
        view.calendar.zone, form, machines=[name for name in FORMATS if name not in FOR_PEOPLE]
    )
    request = Request(
        *(form, output, criteria, host.account(), case, reason, text, attachments, bom, calendar),
        single_file=single_file,
        language=view.language.name if form in TRANSLATED else "en",
        proofs=proofs,
        compress=compress,
        workers=workers,
        request_id=decision.request,
    )
    wording = StatementWording(view.language, calendar)
    claims = partial(coverage.claims, language=language(request.language), calendar=calendar)
    with context.exportable(ctx) as (settings, store), context.stop_on_signals() as stop:
        context.demand_case(settings, case, reason)
        if not may_go_on(store, settings, decision, "export", request.subject()):
            return EXIT_DONE
        tell_gaps(store, (criteria.from_ms, criteria.to_ms), criteria.app, wording, machine=form not in FOR_PEOPLE)
        ways: Any = {"blobs": commands.open_blobs(settings) if attachments else None}
        with progress.ExportBar(str(output), plain=context.plain(ctx)) as bar:
            ways |= {"tsa_roots": _tsa_roots(settings), "keeps_looks": context.keeps_looks(settings)}
            ways |= {"claims": claims, "decode": decode, "stop": stop, "watcher": bar}
            done = run.Export(store, request, **ways).run()
    return _tell(done, output)


def _note_language(ctx: click.Context, form: str) -> None:
    if form not in TRANSLATED and ctx.get_parameter_source("language") is ParameterSource.COMMANDLINE:
        click.echo(f"--language is for {' and '.join(TRANSLATED)}; it changes nothing in {form}", err=True)


def _demand_fitting(form: str, *, csv_alone: dict[str, bool], proofs: bool, compress: str | None) -> None:
    """Raises UsageError for an option that is for other formats."""
    for name, given in csv_alone.items():
        if given and form != "csv":
            raise UsageError(f"--{name} is for --format csv")
    if proofs and form != "jsonl":
        raise UsageError("--proofs is for --format jsonl, which alone has the records that were sealed")
    if proofs and compress:
        raise UsageError("--proofs needs files that verify.py can read: leave --compress out")


def _tell(done: ExportOutcome, output: Path) -> int:
    """Say what came of it; gives the exit code."""
    click.echo(f"{done.messages:,} messages of {done.days:,} days in {logs.visible(str(output))}")
    if done.kept_days:
        click.echo(f"{done.kept_days:,} days had been finished before, and are the same in this snapshot")
    click.echo(f"manifest.json has SHA-256 {done.manifest_sha256}")
    if done.missing:
        click.echo(f"{done.missing:,} stored files are missing or damaged; the manifest names them", err=True)
    if done.unproved:
        click.echo(f"{done.unproved:,} records are not as they were sealed: archiver evidence verify", err=True)
    return EXIT_INCOMPLETE if done.missing or done.unproved or not done.is_whole else EXIT_DONE


def _tsa_roots(settings: Settings) -> list[Path]:
    """The roots of time-stamping authorities, which go along with their tokens."""
    anchors = settings.evidence.anchors if settings.evidence else ()
    return [sink.root_file for sink in anchors if isinstance(sink, TimestampSink)]


@export.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--sha256", metavar="HEX", help="Expected SHA-256 of the manifest, from audit_log.")
@click.pass_context
def verify(ctx: click.Context, folder: Path, sha256: str | None) -> int:
    """Verify a folder by its manifest, offline, without configuration or database. Exits with 3 on a difference.

    \b
    Example:
      archiver export verify case-42
    """
    from archiver.export import manifest

    context.begin_log(ctx)
    checked = manifest.verify(folder, sha256)
    for path, problem in checked.differences[:_MOST_SHOWN]:
        click.echo(f"{logs.visible(path)} {problem}")
    if len(checked.differences) > _MOST_SHOWN:
        click.echo(f"and {len(checked.differences) - _MOST_SHOWN:,} more")
    click.echo(f"{checked.files:,} files, {checked.messages:,} messages: {_verdict(len(checked.differences))}")
    click.echo(f"manifest.json has SHA-256 {checked.sha256}")
    return EXIT_INCOMPLETE if checked.differences else EXIT_DONE


def _verdict(differences: int) -> str:
    if not differences:
        return "as the manifest says"
    return f"{differences:,} difference{'' if differences == 1 else 's'}"
