"""`--propose` and `--request`: the options of acts that two persons may have to agree on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from archiver import host
from archiver.config import Settings
from archiver.errors import UsageError
from archiver.lifecycle import decisions
from archiver.store.engine import Store


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


def may_go_on(store: Store, settings: Settings, decision: Decision, kind: str, body: Mapping[str, Any]) -> bool:
    """Whether the act is to be carried out now; False where it was only asked for.

    Raises UsageError where it needs two persons and has no request, and where the request does not allow it.
    """
    if decision.propose:
        number = decisions.propose(store, kind, body, host.account())
        click.echo(f"request {number} is made; another person: archiver requests approve {number}")
        return False
    if decision.request is not None:
        decisions.begin(store, decision.request, kind, body, host.account())
    elif settings.lifecycle is not None and kind in settings.lifecycle.two_persons:
        raise UsageError(
            "two persons decide on this here ([lifecycle] two_persons)",
            hint="the same command with --propose; archiver requests approve ID, by somebody else; then --request ID",
        )
    return True


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
