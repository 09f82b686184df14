"""`evidence`: the signed ledger of what is stored, from its beginning to its verification."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from archiver import host
from archiver.cli import context, options
from archiver.cli.context import Case
from archiver.cli.decision import DECISION, Decision, allowed
from archiver.cli.progress import VerifyBar
from archiver.config import Settings
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_LATER
from archiver.evidence.verify.findings import DECODER, FOREIGN_NOTES, NOT_SEALED_YET, VerifyFindings
from archiver.language import ENGLISH, Language
from archiver.logs import visible
from archiver.store.engine import Store

if TYPE_CHECKING:
    from archiver.signing import Key


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
    say = options.default_view(ctx).language.say
    click.echo(begun.vkey)
    click.echo(say("fingerprint {fingerprint}", fingerprint=begun.fingerprint))
    click.echo(say("Hand both to {keeper}.", keeper=keeper), err=True)
    click.echo(say("Every host that writes the archive needs a copy of the key file."), err=True)
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
        language = options.default_view(ctx).language
        entries = language.plural("{number} entry", "{number} entries", done.signed.size)
        click.echo(language.say("signed: {entries} ({origin})", entries=entries, origin=done.signed.origin))
    if done.problem is not None:
        click.echo(done.problem, err=True)
    return EXIT_DONE if done.whole else EXIT_LATER


@evidence_command.command()
@click.option(
    "--anchors",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A file with notes in it, such as the text of a chat; repeatable.",
)
@click.option("--vkey", metavar="FILE", type=click.Path(path_type=Path), help="The key that its keeper has.")
@click.option("--seals-only", is_flag=True, help="Leave columns alone: three times as fast.")
@click.option("--since", "since_ms", metavar="TIME", type=options.INSTANT, help="Only pages stored since then.")
@click.option("--sample", metavar="N", type=click.IntRange(1), help="Only N slices of 1,000 pages, chosen at random.")
@click.option("--files", "contents", is_flag=True, help="Also read all stored attachments.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@options.LANGUAGE
@click.pass_context
def verify(
    ctx: click.Context,
    files: tuple[Path, ...],
    vkey: Path | None,
    since_ms: int | None,
    sample: int | None,
    form: str,
    language: Language,
    *,
    seals_only: bool,
    contents: bool,
) -> int:
    """Compare everything that is stored with its seals, and the claim with the ledger.

    \b
    Exit codes: 0 nothing differs; 3 something does; 75 something could not be
    read; 2 configuration.

    \b
    Example:
      archiver evidence verify --vkey archive.vkey
    """
    from archiver.evidence import beginning
    from archiver.evidence.verify import whole
    from archiver.evidence.verify.run import VerifyOptions
    from archiver.sources import decode

    with context.verifiable(ctx) as (settings, store), context.stop_on_signals() as stop:
        trusted = None if vkey is None else whole.vkeys(vkey)
        name = beginning.section(settings).name
        chosen = VerifyOptions(name, trusted, columns=not seals_only, since_ms=since_ms, sample=sample)
        with VerifyBar(plain=context.plain(ctx), language=language) as progress:
            findings = whole.verify(store, settings, chosen, decode, files=files, stop=stop, progress=progress)
        if contents:
            compare_contents(settings, store, findings, stop)
    if form == "json":
        click.echo(json.dumps(findings.to_json()))
    else:
        print_findings(findings, language)
    return EXIT_INCOMPLETE if findings.count else EXIT_DONE


def compare_contents(settings: Settings, store: Store, findings: VerifyFindings, stop: Event) -> None:
    """Read all stored attachments again."""
    from archiver.attachments import commands
    from archiver.attachments import fetch as fetched

    for difference in fetched.verify(store, commands.open_blobs(settings), sample=None, stop=stop):
        findings.checked["contents"] += 1
        if difference is not None:
            findings.differ("attachments", difference.sha256, f"the stored content {difference.problem}")


def print_findings(findings: VerifyFindings, language: Language = ENGLISH) -> None:
    """What a verification has to say, differences first."""
    say, plural = language.say, language.plural
    if not findings.trusted:
        click.echo(say("compare with the keeper's fingerprint: {fingerprint}", fingerprint=findings.fingerprint))
    for difference in findings.differences:
        problem = language.problem(difference.problem)
        click.echo(visible(f"{difference.table} {difference.id}: {problem}"))
    for lost in findings.lost:
        click.echo(visible(say("lost: {entries}", entries=language.problem(lost))))
    classes = {
        DECODER: say("decoded by another version, which reads some columns differently"),
        FOREIGN_NOTES: say("notes of other ledgers or keys"),
        NOT_SEALED_YET: say("not sealed yet"),
    }
    for kind, count in sorted(findings.classes.items()):
        click.echo(f"{classes[kind]}: {count:,}")
    differences = plural("{number} difference", "{number} differences", findings.count)
    click.echo(say("verified {checked}: {differences}", checked=_checked(findings, language), differences=differences))


def _checked(findings: VerifyFindings, language: Language) -> str:
    """How much was looked at, by kind."""
    plural, counts = language.plural, findings.checked
    said = {
        "entries": plural("{number} entry", "{number} entries", counts["entries"]),
        "notes": plural("{number} note", "{number} notes", counts["notes"]),
        "pages": plural("{number} page", "{number} pages", counts["pages"]),
        "records": plural("{number} record", "{number} records", counts["records"]),
        "rows": plural("{number} row", "{number} rows", counts["rows"]),
        "windows": plural("{number} window", "{number} windows", counts["windows"]),
        "contents": plural("{number} file", "{number} files", counts["contents"]),
        "erased": plural("{number} erased message", "{number} erased messages", counts["erased"]),
        "expired": plural("{number} expired message", "{number} expired messages", counts["expired"]),
    }
    return language.say(", ").join(said[kind] for kind in counts)


@evidence_command.command()
@click.argument("msg_id", metavar="MSG_ID")
@click.option("--app", metavar="APP", help="Of which app, if several have a message of this id.")
@click.option("--output", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@options.CASE
@click.pass_context
def proof(ctx: click.Context, msg_id: str, app: str | None, output: Path, case: Case) -> int:
    """Write the proof of one message into a new folder, with verify.py. Exits with 3 where there is none.

    \b
    Example:
      archiver evidence proof 1624429280881541234 --output proof-1624429280881541234
    """
    from archiver.evidence import single

    with context.lookable(ctx, case) as (_, store, looks), store.read() as tx:

        def note(name: str, conversation: str | None, records: int) -> None:
            looks.show("proof", {"msg_id": msg_id}, count=records, conversations=[(name, conversation)])

        written = single.write(tx, msg_id, app, output, before=note)
    language, place = options.default_view(ctx).language, visible(str(output))
    records = language.plural("{number} record", "{number} records", written)
    click.echo(language.say("proved in {place}: {records} of this message", place=place, records=records))
    return EXIT_DONE


@evidence_command.command()
@click.pass_context
def baseline(ctx: click.Context) -> int:
    """Seal everything that was stored before the ledger began; beside pulls, and to be gone on with after a stop.

    \b
    Exit codes: 0 all of it is sealed; 3 pages are not what they were stored as;
    75 try again later.

    \b
    Example:
      archiver evidence baseline
    """
    from archiver.evidence import beginning, sinks
    from archiver.evidence.baseline import BaselineRun
    from archiver.sources import decode

    with context.archive(ctx, writes=True) as (settings, store), context.stop_on_signals() as stop:
        section, publisher = beginning.section(settings), sinks.publisher(store, settings)
        language = options.default_view(ctx).language
        with VerifyBar(plain=context.plain(ctx), language=language) as progress:
            run = BaselineRun(store, section, publisher.signer, decode, stop=stop, progress=progress)
            done = run(publisher, host.account())
    if done.was_there:
        click.echo(language.say("everything that was stored before the ledger is sealed already"))
    else:
        pages = language.plural("{number} page", "{number} pages", done.pages)
        rows = language.plural("{number} row", "{number} rows", done.rows)
        click.echo(language.say("sealed of before the ledger: {pages}, {rows}", pages=pages, rows=rows))
    for page in done.differing:
        text = language.say("its records are not those that it was stored with")
        click.echo(f"pages {page}: {text}", err=True)
    return EXIT_INCOMPLETE if done.differing else EXIT_DONE


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
    language = options.default_view(ctx).language
    entries = language.plural("{number} entry", "{number} entries", note.size)
    click.echo(language.say("the ledger goes on as {origin}, at {entries}", origin=note.origin, entries=entries))
    return EXIT_DONE


@evidence_command.command()
@click.option("--to", "successor", metavar="KEYFILE", type=click.Path(path_type=Path), help="The file of the next key.")
@click.option("--finish", is_flag=True, help="From now on the configured key alone is valid.")
@DECISION
@click.pass_context
def rotate(ctx: click.Context, successor: Path | None, *, finish: bool, decision: Decision) -> int:
    """Change the key: first let both be valid, and when every host has the new one, it alone.

    \b
    Example:
      archiver evidence rotate --to /etc/archiver/next-key
      archiver evidence rotate --finish
    """
    from archiver.evidence import beginning

    if (successor is None) != finish:
        raise click.UsageError("give --to KEYFILE, or --finish", ctx)
    body = {"to": None if successor is None else str(successor), "finish": finish}
    with context.archive(ctx, writes=True) as (settings, store):
        begin = allowed(store, settings, decision, "rotate", body)
        if begin is None:
            return EXIT_DONE
        next_key = None if successor is None else partial(_key_at, successor)  # made when it is sure to be used
        begun = beginning.rotate(store, settings, next_key, host.account(), begin)
    say = options.default_view(ctx).language.say
    click.echo(begun.vkey)
    click.echo(say("fingerprint {fingerprint}", fingerprint=begun.fingerprint))
    return EXIT_DONE


def _key_at(path: Path) -> Key:
    """The key of this file, which is made where there is none."""
    from archiver import signing

    return signing.load(path) if path.exists() else signing.create(path)
