"""The program's own alerts: what is wrong, a line per finding, and what was sent. Figures only, never chat text.

Their names are those of the Prometheus rules, so that both ways lead to the same page of the manual. What has been sent
is in the database: several processes send it once, and a restart does not send it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from archiver import host
from archiver.callbacks.report import CallbackReport
from archiver.errors import TryAgainLater
from archiver.evidence.report import Report
from archiver.http import Form, body
from archiver.language import ENGLISH, Language
from archiver.lifecycle.contradictions import Contradiction
from archiver.logs import redacted, visible
from archiver.service.fitting import LIMITS, fitting
from archiver.status import SourceReport
from archiver.store import alerts
from archiver.store.alerts import News
from archiver.store.engine import Store
from archiver.store.schema import iso

log = logging.getLogger(__name__)

_SKEW_MS, _FILES_S, _DISK = 300_000, 2 * 86_400, 0.1


class Condition(NamedTuple):
    """Something wrong. `grows`: a count of which only more is news."""

    name: str
    app: str
    source: str
    severity: Literal["critical", "warning"]
    text: str
    grows: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.app, self.source


def findings(
    entries: Sequence[SourceReport],
    disk: Mapping[str, int | None],
    *,
    overdue_ms: int,
    files: bool,
    language: Language = ENGLISH,
) -> list[Condition]:
    """What is wrong with the configured sources. `files`: attachments are fetched, so they may be lost."""
    ours = [entry for entry in entries if entry.configured]
    wrong = [finding for entry in ours for finding in _of(entry, overdue_ms / 1000, language, files=files)]
    free, size = disk.get("disk_free_bytes"), disk.get("disk_size_bytes")
    if free is not None and size and free < size * _DISK:
        text = language.say("{free} MiB are free on the disk of the database", free=free // 2**20)
        wrong.append(Condition("ArchiverDiskNearlyFull", "", "", "critical", text))
    return wrong


def misconfigured(app: str, source: str, part: str, text: str) -> Condition:
    """A problem that no run in the database records."""
    return Condition("ArchiverMisconfigured", app, source, "critical", f"{part}: {text}")


def of_evidence(evidence: Report | None) -> list[Condition]:
    """What is wrong with the ledger: one finding for each kind, whichever sinks or entries it is about."""
    texts: dict[tuple[str, bool], list[str]] = {}
    for problem in () if evidence is None else evidence.problems:
        texts.setdefault((problem.name, problem.critical), []).append(problem.text)
    return [
        Condition(name, "", "", "critical" if critical else "warning", "; ".join(said))
        for (name, critical), said in texts.items()
    ]


def of_callbacks(callbacks: CallbackReport | None) -> list[Condition]:
    """What is wrong with callbacks."""
    return [
        Condition(problem.name, problem.app, "", "critical" if problem.critical else "warning", problem.text)
        for problem in (() if callbacks is None else callbacks.problems)
    ]


def of_restore(since_ms: int | None, language: Language = ENGLISH) -> list[Condition]:
    """What is wrong with an archive that was restored from before an erasure."""
    if since_ms is None:
        return []
    text = language.say("erased messages are back since {when}: archiver erase reapply", when=iso(since_ms))
    return [Condition("ArchiverReapply", "", "", "critical", text)]


def of_terms(contradictions: Sequence[Contradiction], language: Language = ENGLISH) -> list[Condition]:
    """What is wrong with the terms of apps."""
    wrong = []
    for one in contradictions:
        text = language.say(
            "messages are due for deletion after {most}, and have to stay for {least}: archiver retention set",
            most=one.most,
            least=one.least,
        )
        wrong.append(Condition("ArchiverTerms", one.app, "", "warning", text))
    return wrong


Severity = Literal["critical", "warning"]
_Wrong = tuple[str, Severity, str, int | None]


def _of(entry: SourceReport, overdue_s: float, language: Language, *, files: bool) -> Iterator[Condition]:
    for name, severity, text, grows in [
        *_late(entry, overdue_s, language, files=files),
        *_anomalies(entry, language),
    ]:
        yield Condition(f"Archiver{name}", entry.app, entry.source, severity, text, grows)


def _late(entry: SourceReport, overdue_s: float, language: Language, *, files: bool) -> Iterator[_Wrong]:
    """What may end in a loss."""
    say, run = language.say, entry.last_run
    left_s, kept_s = entry.time_to_loss_seconds, entry.retention_seconds
    if run and run["outcome"] == "refused":
        text = say("the provider refuses the credentials{reason}", reason=_reason(run, language))
        yield "CredentialsRefused", "critical", text, None
    if run and run["outcome"] == "failed":
        text = say("its configuration cannot be worked with{reason}", reason=_reason(run, language))
        yield "Misconfigured", "critical", text, None
    if entry.overdue_seconds > overdue_s:
        text = say(
            "overdue by {seconds} s, complete until {until}{reason}",
            seconds=f"{entry.overdue_seconds:.0f}",
            until=iso(entry.complete_until_ms),
            reason=_reason(run, language),
        )
        yield "Overdue", "critical", text, None
    if left_s is not None and kept_s and left_s < kept_s / 2:
        yield "LossNear", "critical", say("messages will be lost in {seconds} s", seconds=f"{left_s:.0f}"), None
    files_s = entry.attachments_time_to_loss_seconds
    if files and files_s is not None and files_s < _FILES_S:
        yield "FilesLossNear", "critical", say("files will be lost in {seconds} s", seconds=f"{files_s:.0f}"), None
    if files and (count := entry.foreign_expiring):
        text = say(
            "{count} files at {hosts} hosts that are not configured expire within two days, or have",
            count=count,
            hosts=entry.foreign_hosts,
        )
        yield "FilesForeign", "warning", text, entry.foreign_hosts


def _reason(run: Mapping[str, Any] | None, language: Language) -> str:
    """What the last run said of itself, to stand at the end of a sentence."""
    reason = (run or {}).get("reason")
    return language.say(": {reason}", reason=reason) if reason else ""


def _anomalies(entry: SourceReport, language: Language) -> Iterator[_Wrong]:
    """What is lost, or not as it should be."""
    say, states = language.say, [hole.state for hole in entry.holes]
    stuck = states.count("stuck")
    if lost := len(states) - states.count("accepted") - stuck:
        yield "Hole", "critical", say("{count} ranges are lost, and nobody has accepted that", count=lost), None
    if stuck:
        yield "Stuck", "critical", say("{count} ranges cannot be walked", count=stuck), None
    if count := entry.quarantined:
        yield "Quarantine", "warning", say("{count} records could not be read", count=count), count
    if count := entry.late_arrivals:
        worst = language.length(entry.worst_lateness_ms or 0)
        text = say("{count} late arrivals so far, the worst {length} late", count=count, length=worst)
        yield "LateArrivals", "warning", text, count
    if entry.clock_problem:
        yield "ClockSkew", "critical", entry.clock_problem, None
    elif abs(skew_ms := entry.clock_skew_ms or 0) > _SKEW_MS:
        text = say("the server's clock is {seconds} s ahead of the database's", seconds=skew_ms // 1000)
        yield "ClockSkew", "warning", text, None
    canary = entry.last_canary
    if canary and canary["outcome"] != "archived":
        text = say("the canary of {sent} was {outcome}", sent=canary["sent_at"], outcome=canary["outcome"])
        yield "CanaryLost", "critical", text, None


class Style(NamedTuple):
    """How a message is written. `runbook_url`: where people read what to do; the alert's name is put in or after it."""

    form: Form
    language: Language = ENGLISH
    runbook_url: str | None = None

    def link(self, name: str) -> str | None:
        """The page about an alert."""
        if self.runbook_url is None:
            return None
        page = self.runbook_url if "{name}" in self.runbook_url else self.runbook_url + "#{name}"
        return page.replace("{name}", name)


def tell(
    store: Store,
    wrong: Sequence[Condition],
    send: Callable[[dict[str, Any]], None],
    *,
    style: Style,
    repeat_ms: int,
) -> bool:
    """Send what is new, what still stands after `repeat_ms`, and what has ended, as one message; nothing if nothing.

    False where it could not be sent: then it is news again at the next call.
    """
    standing = {finding.key: finding.grows for finding in wrong}
    with store.read() as tx:
        if not alerts.news(tx, standing, repeat_ms):
            return True
    with store.write() as tx:
        alerts.lock(tx)
        news = alerts.news(tx, standing, repeat_ms)
        alerts.note(tx, news, standing)
    if not news:
        return True
    texts = {finding.key: finding for finding in wrong}
    try:
        send(message(news, texts, style))
    except TryAgainLater as error:
        log.error("an alert could not be sent: %s", error)
        with store.write() as tx:
            alerts.forget(tx, news)
        return False
    return True


def test_message(style: Style) -> dict[str, Any]:
    """What `doctor --test-alert` sends."""
    finding = Condition("ArchiverTest", "", "", "warning", style.language.say("this is a test; nothing is wrong"))
    return message([News(finding.key, ended=False, since=None)], {finding.key: finding}, style)


def message(news: Sequence[News], findings: Mapping[tuple[str, str, str], Condition], style: Style) -> dict[str, Any]:
    """The news in the form that a service reads."""
    entries = sorted((_entry(item, findings.get(item.key), style) for item in news), key=_gravity)
    title = style.language.say("archiver on {host}", host=host.name())
    text = fitting([title, *map(_line, entries)], *LIMITS[style.form], style.language)
    if style.form != "json":
        return body(text, style.form)
    more = {"left_out": len(entries) - _MOST_ALERTS} if len(entries) > _MOST_ALERTS else {}
    return {**body(text, style.form), "host": host.name(), "alerts": entries[:_MOST_ALERTS], **more}


def _line(entry: Mapping[str, Any]) -> str:
    about = " ".join(part for part in (entry["name"], entry["app"], entry["source"]) if part)
    link = f" {entry['runbook_url']}" if entry["status"] == "firing" and entry.get("runbook_url") else ""
    return f"[{entry['status']}] {about}: {entry['text']}{link}"


def _gravity(entry: Mapping[str, Any]) -> int:
    """What is worst comes first, as the end of a long message is cut off."""
    return ("critical", "warning", None).index(entry["severity"])


_MOST_ALERTS, _MOST_SAID = 500, 1_000
"""Of the list that programs read: how many, and how many characters of one."""


def _entry(news: News, finding: Condition | None, style: Style) -> dict[str, Any]:
    name, app, source = news.key
    status = "resolved" if finding is None else "firing"
    text = style.language.say("it has passed") if finding is None else _one_line(finding.text)
    severity = None if finding is None else finding.severity
    entry = {"name": name, "status": status, "severity": severity, "app": app, "source": source}
    link = style.link(name)
    return {**entry, "text": text, "since": news.since, **({} if link is None else {"runbook_url": link})}


def _one_line(text: str) -> str:
    """Some texts quote what others say: no line of theirs may pass for an alert, and none of their bytes be no text."""
    line = visible(redacted(" ".join(text.split())))
    return line if len(line) <= _MOST_SAID else f"{line[: _MOST_SAID - 1]}…"
