"""`--propose` and `--request`: the options of acts that two persons may have to agree on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from archiver import connect, host
from archiver.cli import options as shared
from archiver.config import Settings
from archiver.errors import UsageError
from archiver.language import Language
from archiver.lifecycle import decisions, proposals
from archiver.lifecycle.proposals import Asker, Made, Proposal
from archiver.store import installation
from archiver.store.engine import Store, Tx


class Decision(NamedTuple):
    """Whether an act is only asked for, or which request it carries out."""

    propose: bool = False
    request: int | None = None


def DECISION(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802 - a decorator as those of options
    """Give a command --propose and --request; it gets them as `decision`."""

    @wraps(command)
    def with_decision(*arguments: Any, propose: bool, request_id: int | None, **options: Any) -> Any:
        if propose and request_id is not None:
            raise click.UsageError("give --propose, or --request")
        return command(*arguments, decision=Decision(propose, request_id), **options)

    number = click.IntRange(1, 2**63 - 1)
    request = click.option("--request", "request_id", metavar="ID", type=number, help="Carry out an approved request.")
    return click.option("--propose", is_flag=True, help="Only ask for it: another person approves.")(
        request(with_decision)
    )


def asker() -> Asker:
    """Who runs this command."""
    return Asker(host.account())


def say_made(language: Language, made: Made) -> None:
    """Say what came of asking, and who has to do what now."""
    say, number = language.say, made.number
    if made.is_draft:
        click.echo(say("draft {number} is stored; on the review page somebody adopts it, and another person approves",
                       number=number))  # fmt: skip
    else:
        click.echo(say("request {number} is made; another person: archiver requests approve {number}", number=number))


Begin = Callable[[Tx], None]
"""Notes that an act is carried out now, in the transaction in which it is."""


def allowed(store: Store, settings: Settings, decision: Decision, kind: str, body: Mapping[str, Any]) -> Begin | None:
    """What begins the act, to be called within it; None where it was only asked for.

    Raises UsageError where it needs two persons and has no request; what begins it does where the request forbids it.
    """
    if decision.propose or decision.request is not None:
        connect.demand_place(store, settings)
    if decision.propose:
        made = proposals.make(store, Proposal(kind, body, body), asker())
        say_made(shared.default_view(click.get_current_context()).language, made)
        return None
    if decision.request is not None:
        return partial(decisions.begin, request_id=decision.request, kind=kind, body=body, who=host.account())
    if settings.lifecycle is not None and kind in settings.lifecycle.two_persons:
        raise UsageError(
            "two persons decide on this here ([lifecycle] two_persons)",
            hint=_by_page if _is_on_page(store) else _by_command,
        )
    return lambda _: None


def may_go_on(store: Store, settings: Settings, decision: Decision, kind: str, body: Mapping[str, Any]) -> bool:
    """The same for an act of many transactions, which is begun in one of its own; False where it was only asked for."""
    begin = allowed(store, settings, decision, kind, body)
    if begin is not None and decision.request is not None:
        with store.write() as tx:
            begin(tx)
    return begin is not None


_by_command = "the same command with --propose; archiver requests approve ID, by somebody else; then --request ID"
_by_page = "the same command with --propose; two persons adopt and approve it on the review page; then --request ID"


def _is_on_page(store: Store) -> bool:
    with store.read() as tx:
        return installation.decided_in(tx) == installation.PAGE


_MOST_IDS, _LONGEST_ID = 1_000_000, 1_000


def listed(path: Path, option: str) -> tuple[str, ...]:
    """Message ids, one a line. Raises UsageError for a file that has none, or is none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise UsageError(f"{option}: {path}: {reason}", hint="a file with one message id a line") from None
    ids = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not 1 <= len(ids) <= _MOST_IDS or max(map(len, ids)) > _LONGEST_ID or "\0" in "".join(ids):
        raise UsageError(f"{option}: {path} is not a list of message ids", hint="a file with one message id a line")
    return ids


def demand_deletion(settings: Settings) -> None:
    """Raises UsageError where nothing may be deleted."""
    if settings.lifecycle is not None and not settings.lifecycle.deletion:
        raise UsageError("nothing is deleted here ([lifecycle] deletion = false)")
