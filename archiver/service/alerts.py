"""The program's own alerts: what is wrong, a line per finding, and what was sent. Figures only, never chat text.

Their names are those of the Prometheus rules, so that both ways lead to the same page of the manual. What has been sent
is in the database: several processes send it once, and a restart does not send it again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from archiver import host
from archiver.errors import TryAgainLater
from archiver.evidence.report import Report
from archiver.http import Form, body
from archiver.logs import redacted, visible
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
    entries: Sequence[SourceReport], disk: Mapping[str, int | None], *, overdue_ms: int, files: bool
) -> list[Condition]:
    """What is wrong with the configured sources. `files`: attachments are fetched, so they may be lost."""
    wrong = [finding for entry in entries if entry.configured for finding in _of(entry, overdue_ms / 1000, files=files)]
    free, size = disk.get("disk_free_bytes"), disk.get("disk_size_bytes")
    if free is not None and size and free < size * _DISK:
        text = f"{free // 2**20} MiB are free on the disk of the database"
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


Severity = Literal["critical", "warning"]
_Wrong = tuple[str, Severity, str, int | None]


def _of(entry: SourceReport, overdue_s: float, *, files: bool) -> Iterator[Condition]:
    for name, severity, text, grows in [*_late(entry, overdue_s, files=files), *_anomalies(entry)]:
        yield Condition(f"Archiver{name}", entry.app, entry.source, severity, text, grows)


def _late(entry: SourceReport, overdue_s: float, *, files: bool) -> Iterator[_Wrong]:
    """What may end in a loss."""
    run, left_s, kept_s = entry.last_run, entry.time_to_loss_seconds, entry.retention_seconds
    if run and run["outcome"] == "refused":
        yield "CredentialsRefused", "critical", "the provider refuses the credentials", None
    if run and run["outcome"] == "failed":
        yield "Misconfigured", "critical", "its configuration cannot be worked with; the log says why", None
    if entry.overdue_seconds > overdue_s:
        text = f"overdue by {entry.overdue_seconds:.0f} s, complete until {iso(entry.complete_until_ms)}"
        yield "Overdue", "critical", text, None
    if left_s is not None and kept_s and left_s < kept_s / 2:
        yield "LossNear", "critical", f"messages will be lost in {left_s:.0f} s", None
    files_s = entry.attachments_time_to_loss_seconds
    if files and files_s is not None and files_s < _FILES_S:
        yield "FilesLossNear", "critical", f"files will be lost in {files_s:.0f} s", None
    if files and (count := entry.foreign_expiring):
        text = f"{count} files at {entry.foreign_hosts} hosts that are not configured expire within two days, or have"
        yield "FilesForeign", "warning", text, entry.foreign_hosts


def _anomalies(entry: SourceReport) -> Iterator[_Wrong]:
    """What is lost, or not as it should be."""
    states = [hole.state for hole in entry.holes]
    stuck = states.count("stuck")
    if lost := len(states) - states.count("accepted") - stuck:
        yield "Hole", "critical", f"{lost} ranges are lost, and nobody has accepted that", None
    if stuck:
        yield "Stuck", "critical", f"{stuck} ranges cannot be walked", None
    if count := entry.quarantined:
        yield "Quarantine", "warning", f"{count} records could not be read", count
    if count := entry.late_arrivals:
        text = f"{count} late arrivals so far, the worst {entry.worst_lateness_ms or 0} ms late"
        yield "LateArrivals", "warning", text, count
    if entry.clock_problem:
        yield "ClockSkew", "critical", entry.clock_problem, None
    elif abs(skew_ms := entry.clock_skew_ms or 0) > _SKEW_MS:
        yield "ClockSkew", "warning", f"the server's clock is {skew_ms // 1000} s ahead of the database's", None
    canary = entry.last_canary
    if canary and canary["outcome"] != "archived":
        yield "CanaryLost", "critical", f"the canary of {canary['sent_at']} was {canary['outcome']}", None


def tell(
    store: Store, wrong: Sequence[Condition], send: Callable[[object], None], *, form: Form, repeat_ms: int
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
        send(message(news, texts, form))
    except TryAgainLater as error:
        log.error("an alert could not be sent: %s", error)
        with store.write() as tx:
            alerts.forget(tx, news)
        return False
    return True


def test_message(form: Form) -> object:
    """What `doctor --test-alert` sends."""
    finding = Condition("ArchiverTest", "", "", "warning", "this is a test; nothing is wrong")
    return message([News(finding.key, ended=False, since=None)], {finding.key: finding}, form)


def message(news: Sequence[News], findings: Mapping[tuple[str, str, str], Condition], form: Form) -> object:
    """The news in the form that a service reads."""
    entries = sorted((_entry(item, findings.get(item.key)) for item in news), key=_gravity)
    lines = [
        f"[{entry['status']}] {entry['name']} {entry['app']} {entry['source']}: {entry['text']}".replace("  :", ":")
        for entry in entries
    ]
    text = fitting([f"archiver on {host.name()}", *lines], *_LIMITS[form])
    if form != "json":
        return body(text, form)
    more = {"left_out": len(entries) - _MOST_ALERTS} if len(entries) > _MOST_ALERTS else {}
    return {**body(text, form), "host": host.name(), "alerts": entries[:_MOST_ALERTS], **more}


def _gravity(entry: Mapping[str, Any]) -> int:
    """What is worst comes first, as the end of a long message is cut off."""
    return ("critical", "warning", None).index(entry["severity"])


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def _escaped(text: str) -> int:
    """As it goes over the wire: what is not ASCII takes six bytes and more."""
    return len(json.dumps(text))


_LIMITS: Mapping[Form, tuple[int, Callable[[str], int]]] = {
    "wecom": (2048, _bytes),
    "dingtalk": (16_000, _escaped),
    "feishu": (16_000, _escaped),
    "json": (4_000, len),
}
"""How long a message may be, and by what measure; a robot refuses what is longer, so that nobody hears of it.

WeCom: `content` of a text, 2048 bytes of UTF-8 (developer.work.weixin.qq.com, path/91770). DingTalk: a request of 20000
bytes, beyond which it answers 460101 (open.dingtalk.com, custom-robot-access). Feishu: a request body of 20 KB
(open.feishu.cn, add-custom-bot). For both some is left for what stands around the text. "json" goes to services that
show `text`: Slack's webhooks take 4,000 characters well, and cut it from 40,000 on (docs.slack.dev, text formatting).
"""

_MOST_ALERTS, _MOST_SAID = 500, 1_000
"""Of the list that programs read: how many, and how many characters of one."""


def fitting(lines: Sequence[str], limit: int, measure: Callable[[str], int]) -> str:
    """As many whole lines as fit, and how many do not; of a single line that does not fit its beginning."""
    if measure("\n".join(lines)) <= limit:
        return "\n".join(lines)

    def first(count: int) -> str:
        return "\n".join([*lines[:count], _more(len(lines) - count)])

    if (kept := _most(len(lines) - 1, lambda count: measure(first(count)) <= limit)) > 1:
        return first(kept)
    head, end = "\n".join(lines[:2]), "\n".join(["…", *([_more(len(lines) - 2)] if len(lines) > 2 else [])])
    return head[: _most(len(head), lambda count: measure(head[:count] + end) <= limit)] + end


def _most(high: int, fits: Callable[[int], bool]) -> int:
    """The greatest number up to `high` that fits; 0 where none does."""
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _more(count: int) -> str:
    return f"… and {count} more: archiver status"


def _entry(news: News, finding: Condition | None) -> dict[str, Any]:
    name, app, source = news.key
    status = "resolved" if finding is None else "firing"
    text = "it has passed" if finding is None else _one_line(finding.text)
    severity = None if finding is None else finding.severity
    entry = {"name": name, "status": status, "severity": severity, "app": app, "source": source}
    return {**entry, "text": text, "since": news.since}


def _one_line(text: str) -> str:
    """Some texts quote what others say: no line of theirs may pass for an alert, and none of their bytes be no text."""
    line = visible(redacted(" ".join(text.split())))
    return line if len(line) <= _MOST_SAID else f"{line[: _MOST_SAID - 1]}…"
