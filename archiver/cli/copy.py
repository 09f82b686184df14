"""`copy`: the archive into another database."""

from __future__ import annotations

import sys
import time

import click
from pydantic import SecretStr, ValidationError

from archiver import connect, logs
from archiver.cli import console, context, options
from archiver.cli.context import Case
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE, UsageError

_TOLD_EVERY_S = 2.0


@click.command()
@click.option("--to", "url", required=True, envvar="ARCHIVER_COPY_TO", metavar="URL", help="The other database.")
@click.option("--compare-only", is_flag=True, help="Copy nothing; only compare.")
@options.CASE
@click.pass_context
def copy(ctx: click.Context, url: str, *, compare_only: bool, case: Case) -> int:
    """Copy the archive to another database, and compare both completely.

    The target is empty, or an earlier copy: existing rows are compared and not
    sent again, so the same command resumes an interrupted copy. Stop all pulls
    before the last run. Exits with 3 if the two differ.

    Put a URL with a password into the variable ARCHIVER_COPY_TO: everybody on
    the machine can see the arguments of a command.

    \b
    Example:
      archiver copy --to postgresql://archive_admin@db/archive
    """
    from archiver import copy as copying
    from archiver.store.engine import open_store

    to = _address(url)
    with context.archive(ctx, offline=True) as (settings, source), context.stop_on_signals() as stop:
        context.demand_case(settings, case.id, case.reason)
        connect.demand_erased(source, settings)
        record = copying.CopyRecord(source, case.id, case.reason) if context.keeps_looks(settings) else None
        target = open_store(to.get_secret_value())
        try:
            copying.prepare(source, target)
            if not compare_only:
                if record is not None:
                    record.begun()
                copying.copy(source, target, stop=stop, on_batch=_Told())
            tables = copying.compare(source, target)
            if record is not None and not compare_only:
                record.ended(tables)
        finally:
            target.dispose()
    rows = [
        (one.table, f"{one.source.rows:,}", f"{one.target.rows:,}", one.source.digest[:16], _verdict(one.same))
        for one in tables
    ]
    console.table("", ("table", "rows here", "rows there", "digest here", ""), rows)
    if all(one.same for one in tables):
        click.echo("both databases hold the same; next: [database] url, then archiver doctor")
        return EXIT_DONE
    click.echo("the databases differ; stop what pulls, and run the same command again")
    return EXIT_INCOMPLETE


def _verdict(same: bool) -> str:
    return "same" if same else "DIFFERENT"


def _address(url: str) -> SecretStr:
    from archiver.config import Database

    try:
        database = Database.model_validate({"url": url})
    except ValidationError as error:
        raise UsageError(f"--to: {error.errors()[0]['ctx']['error']}") from None
    if database.safe_url != database.sqlalchemy_url:
        logs.keep_secret(url)
        logs.keep_secret(database.sqlalchemy_url.partition("://")[2].rpartition("@")[0].partition(":")[2])
    return SecretStr(database.sqlalchemy_url)


class _Told:
    """A line now and then, on standard error."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, table: str, rows: int) -> None:
        now = time.monotonic()
        if now - self._last > _TOLD_EVERY_S:
            self._last = now
            print(f"{table}: {rows:,} rows copied", file=sys.stderr)
