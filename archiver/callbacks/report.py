"""How callbacks stand: the figures of every app, the spool on this host, and what of it alarms."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from archiver.callbacks import spool
from archiver.callbacks.spool import Backlog
from archiver.config import Callbacks, Settings
from archiver.model import SECOND_MS
from archiver.store import apps
from archiver.store.engine import Store
from archiver.store.read import callbacks
from archiver.store.read.callbacks import Figures
from archiver.store.schema import iso

_LEAST_FREE, _OLDEST_S = 0.15, 3_600.0
_NONE = Figures(None, 0, 0, 0, 0, 0, 0)


class CallbackProblem(NamedTuple):
    """What alarms, by the name of its alert. `app`: "" for the spool, which all share."""

    name: str
    app: str
    text: str
    critical: bool = False


@dataclass(frozen=True, slots=True)
class CallbackReport:
    """`spool_bytes` and the oldest are None where the spool lies on another host; `free`: part of its disk."""

    apps: dict[str, Figures]
    spool_bytes: int | None
    oldest_unread_seconds: float | None
    free: float | None
    problems: list[CallbackProblem] = field(default_factory=list)
    totals: Sequence[tuple[str, str, str, int]] = ()
    """Where it is asked for: app, kind, signature and number of all events ever stored."""

    def to_json(self, app: str) -> dict[str, Any] | None:
        """What `status --format json` says of an app; None where its callbacks are not configured."""
        if app not in self.apps:
            return None
        figures = self.apps[app]
        return {
            "last_event_at": None if figures.last_event_ms is None else iso(figures.last_event_ms),
            "spool_bytes": self.spool_bytes,
            "oldest_unread_seconds": self.oldest_unread_seconds,
            "unsigned": figures.unsigned,
            "wrong": figures.wrong,
            "only_file": figures.only_file,
            "only_callback": figures.only_callback,
        }


def report(store: Store, settings: Settings, *, totals: bool = False) -> CallbackReport | None:
    """How callbacks stand; None where none are configured. `totals`: all events are counted, which takes a second."""
    section = settings.callbacks
    if section is None:
        return None
    figures = {}
    with store.read() as tx:
        now_ms = tx.now_ms()
        for app in section.apps:
            app_id = apps.find_app(tx, app.app)
            figures[app.app] = _NONE if app_id is None else callbacks.figures(tx, app_id, partial=app.partial)
    waiting, free = _spool(section)
    oldest_s = None
    if waiting is not None and waiting.oldest_ms is not None:
        oldest_s = max(0.0, (now_ms - waiting.oldest_ms) / SECOND_MS)
    counted = event_totals(store) if totals else ()
    result = CallbackReport(figures, None if waiting is None else waiting.bytes, oldest_s, free, totals=counted)
    result.problems.extend(_problems(result))
    return result


def event_totals(store: Store) -> list[tuple[str, str, str, int]]:
    """App, kind, signature and number of all events ever stored."""
    with store.read() as tx:
        return callbacks.ever(tx)


def _spool(section: Callbacks) -> tuple[Backlog | None, float | None]:
    try:
        if not section.spool.is_dir():
            return None, None
        usage = shutil.disk_usage(section.spool)
        return spool.backlog(section.spool), usage.free / usage.total
    except OSError:  # of the receiver's account alone, or a mount that is away
        return None, None


def _problems(result: CallbackReport) -> list[CallbackProblem]:
    problems = []
    for app, figures in result.apps.items():
        if figures.wrong_lately:
            text = f"{figures.wrong_lately} callbacks of the last hour are signed by none of its secrets"
            problems.append(CallbackProblem("ArchiverCallbackSignature", app, text))
        if figures.gaps:
            text = f"{figures.gaps} hours compared in the last day lack more than a hundredth of their messages"
            text += f": {figures.only_file} without a callback, {figures.only_callback} without a record"
            problems.append(CallbackProblem("ArchiverCallbackGap", app, text))
    if result.free is not None and result.free < _LEAST_FREE:
        text = f"{result.free:.0%} of the spool's disk is free; below 10 % callbacks are refused"
        problems.append(CallbackProblem("ArchiverCallbackSpool", "", text, critical=True))
    elif result.oldest_unread_seconds is not None and result.oldest_unread_seconds > _OLDEST_S:
        text = f"callbacks have waited in the spool for {result.oldest_unread_seconds:.0f} s"
        problems.append(CallbackProblem("ArchiverCallbackSpool", "", text, critical=True))
    return problems
