"""`evidence`: the signed ledger of what is stored, from its beginning to its verification."""

from __future__ import annotations

from pathlib import Path

import click

from archiver import host
from archiver.cli import context
from archiver.errors import EXIT_DONE, EXIT_LATER


@click.group("evidence")
def evidence_command() -> None:
    """Sign what is stored in a ledger, and verify that nothing of it was altered.

    \b
    Example:
      archiver evidence init --keeper "internal audit"
      archiver evidence verify
    """


@evidence_command.command("init")
@click.option("--keeper", required=True, metavar="TEXT", help="The office that keeps the printed key; not a person.")
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Also write the printed key here.")
@click.pass_context
def begin(ctx: click.Context, keeper: str, output: Path | None) -> int:
    """Make the key that [evidence] key_file names, and begin the ledger. Only while nobody pulls.

    \b
    Exit codes: 0 begun; 1 a ledger or the key exists; 2 configuration; 75 a
    pull is at work.

    \b
    Example:
      archiver evidence init --keeper "internal audit" --output archive.vkey
    """
    from archiver.evidence import beginning

    with context.archive(ctx, offline=True) as (settings, store):
        begun = beginning.init(store, settings, keeper, host.account())
    if output is not None:
        output.write_text(begun.vkey + "\n", encoding="utf-8")
    click.echo(begun.vkey)
    click.echo(f"fingerprint {begun.fingerprint}")
    click.echo(f"Hand both to {keeper}. Every host that writes the archive needs a copy of the key file.", err=True)
    return EXIT_DONE


@evidence_command.command()
@click.pass_context
def seal(ctx: click.Context) -> int:
    """Give all that waits its place in the ledger, sign and anchor it, once. Exits with 75 unless all went well.

    \b
    Example:
      archiver evidence seal
    """
    from archiver.evidence import sinks

    with context.archive(ctx, writes=True) as (settings, store):
        done = sinks.publisher(store, settings)(within_s=600, force=True)
    if done.signed is not None:
        click.echo(f"{done.signed.size:,} entries are signed ({done.signed.origin})")
    if done.problem is not None:
        click.echo(done.problem, err=True)
    return EXIT_DONE if done.whole else EXIT_LATER


@evidence_command.command()
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in evidence_log.")
@click.pass_context
def resume(ctx: click.Context, reason: str) -> int:
    """Open the next epoch of the ledger, after the database was restored or a key was lost.

    \b
    Example:
      archiver evidence resume --reason "restored from Tuesday's backup, ticket 42"
    """
    from archiver.evidence import beginning, sinks

    with context.archive(ctx, writes=True) as (settings, store):
        known = sinks.publisher(store, settings).known()
        note = beginning.resume(store, settings, reason, host.account(), known)
    click.echo(f"the ledger goes on as {note.origin}, at {note.size:,} entries")
    return EXIT_DONE


@evidence_command.command()
@click.option("--to", "successor", metavar="KEYFILE", type=click.Path(path_type=Path), help="The file of the next key.")
@click.option("--finish", is_flag=True, help="From now on the configured key alone is valid.")
@click.pass_context
def rotate(ctx: click.Context, successor: Path | None, *, finish: bool) -> int:
    """Change the key: first let both be valid, and when every host has the new one, it alone.

    \b
    Example:
      archiver evidence rotate --to /etc/archiver/next-key
      archiver evidence rotate --finish
    """
    from archiver import signing
    from archiver.evidence import beginning

    if (successor is None) != finish:
        raise click.UsageError("give --to KEYFILE, or --finish", ctx)
    with context.archive(ctx, writes=True) as (settings, store):
        next_key = None
        if successor is not None:
            next_key = signing.load(successor) if successor.exists() else signing.create(successor)
        begun = beginning.rotate(store, settings, next_key, host.account())
    click.echo(begun.vkey)
    click.echo(f"fingerprint {begun.fingerprint}")
    return EXIT_DONE
