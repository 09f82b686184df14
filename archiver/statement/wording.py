"""The statement about a range for people: as text for a terminal, and as one page of HTML for print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from archiver import coverage
from archiver.language import Language
from archiver.logs import visible
from archiver.model import Window
from archiver.statement.answer import SourceStatement, Statement, Verdict
from archiver.store.read.status import Hole
from archiver.zones import Calendar


class StatementWording:
    """A statement in one language, with its instants in one zone."""

    def __init__(self, language: Language, calendar: Calendar) -> None:
        self._language, self._calendar = language, calendar

    def verdict(self, verdict: Verdict) -> str:
        """One word or two."""
        say = self._language.say
        return {"complete": say("complete"), "partly": say("partly"), "not": say("not archived")}[verdict]

    def asked(self, statement: Statement) -> str:
        """The range that was asked for."""
        say, at = self._language.say, self._calendar.said
        match statement.from_ms, statement.to_ms:
            case None, None:
                return say("the whole archive")
            case int(from_ms), None:
                return say("from {begins} on", begins=at(from_ms))
            case None, int(to_ms):
                return say("up to {ends}", ends=at(to_ms))
            case from_ms, to_ms:
                return self.range(Window(from_ms or 0, to_ms or 0))

    def first_line(self, statement: Statement) -> str:
        """The answer in one sentence: what of the range is archived."""
        say, asked = self._language.say, self.asked(statement)
        if statement.verdict == "complete":
            return say("ARCHIVED: {asked}, without a gap.", asked=asked)
        if statement.verdict == "partly":
            return say("PARTLY ARCHIVED: {asked}; not all of it is covered.", asked=asked)
        return say("NOT ARCHIVED: {asked}; nothing of it is covered.", asked=asked)

    def gaps(self, statement: Statement) -> list[str]:
        """What of the range is not archived, a line each, by app and source."""
        lines = []
        for source in statement.sources:
            name = f"{source.coverage.app} ({source.coverage.source})"
            lines += [f"{name}: {text}" for text in self._gaps(source)]
        return lines or ([] if statement.sources else [self._language.say("the archive has no app yet")])

    def facts(self, source: SourceStatement) -> list[tuple[str, str]]:
        """What is known of one source in this range, as pairs of a name and its value."""
        say, at, claim = self._language.say, self._calendar.said, source.coverage
        facts = [
            (say("verdict"), self.verdict(source.verdict)),
            (say("archived"), self._ranges(source.covered)),
            *((say("not archived"), text) for text in self._gaps(source)),
        ]
        if claim.audited_until_ms > claim.origin_ms:
            audited = say("up to {ends}", ends=at(claim.audited_until_ms))
            facts.append((say("audited"), audited))
        else:
            facts.append((say("audited"), say("not yet")))
        late = self._language.plural("{number} message", "{number} messages", claim.late_arrivals)
        if claim.worst_lateness_ms is not None:
            late += say(", the worst {length}", length=self._language.length(claim.worst_lateness_ms))
        waiting = self._language.plural("{number} record", "{number} records", claim.quarantined)
        facts += [
            (say("arrived late"), late),
            (say("in quarantine"), waiting),
            (say("the source's claim"), coverage.in_words(claim, self._language, self._calendar)),
        ]
        return facts

    def drawn(self, source: SourceStatement) -> Iterator[tuple[Hole, str]]:
        """What of the range one source does not have, in order of time, with the reason in words."""
        for hole in sorted([*source.outside, *source.holes], key=lambda hole: hole.window):
            yield hole, self._why(source, hole)
        for window in source.doubtful:
            why = self._language.say("it rests on an order of the server that proved false (unproven)")
            yield Hole(window, "unproven", None), why

    def range(self, window: Window) -> str:
        """From when to when."""
        at = self._calendar.said
        return self._language.say("{begins} to {ends}", begins=at(window.lo_ms), ends=at(window.hi_ms))

    def _gaps(self, source: SourceStatement) -> Iterator[str]:
        for hole, why in self.drawn(source):
            yield f"{self.range(hole.window)}: {why}"

    def _why(self, source: SourceStatement, hole: Hole) -> str:
        say, at, claim = self._language.say, self._calendar.said, source.coverage
        reason = visible(hole.reason or say("no reason was given"))
        match hole.state:
            case "before_beginning":
                return say("the archive begins at {begins}", begins=at(claim.complete_from_ms))
            case "not_yet":
                return say("archived up to {ends} so far", ends=at(claim.complete_until_ms))
            case "accepted":
                who = visible(hole.accepted_by or say("nobody known"))
                when = "" if hole.accepted_ms is None else at(hole.accepted_ms)
                return say("lost; accepted by {who} on {when}: {reason}", who=who, when=when, reason=reason)
            case "expired":
                return say("lost: {reason}", reason=reason)
            case "stuck":
                return say("it cannot be fetched: {reason}", reason=reason)
            case _:
                return say("no window covers this range")

    def _ranges(self, windows: Sequence[Window]) -> str:
        return "; ".join(map(self.range, windows)) or self._language.say("nothing")


def text(statement: Statement, wording: StatementWording) -> Iterator[str]:
    """Lines for a terminal."""
    yield wording.first_line(statement)
    yield from (f"  {line}" for line in wording.gaps(statement) if not statement.sources)
    for source in statement.sources:
        yield ""
        yield f"{source.coverage.app} ({source.coverage.source})"
        for name, value in wording.facts(source):
            yield f"  {name}: {value}"


_STYLE = """
body{font:15px/1.6 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;max-width:50rem;
  margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
.verdict{border-left:6px solid #888;padding:.4rem .8rem;font-weight:600}
.complete{border-color:#2a7}.partly{border-color:#c80}.not{border-color:#c33}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;margin:0}
dt{color:#555}dd{margin:0;overflow-wrap:anywhere}
footer{margin-top:2rem;color:#555;font-size:.85rem}
@media print{body{margin:0;max-width:none}section{break-inside:avoid}}
"""


def page(statement: Statement, wording: StatementWording, language: Language, written: str) -> str:
    """One page of HTML without scripts; `written`: when and by which host and program it was made."""
    title = language.say("Statement of archival")
    html = [
        f'<!DOCTYPE html>\n<html lang="{"zh-CN" if language.name == "zh" else "en"}"><head><meta charset="utf-8">',
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">""",
        f"<title>{escape(title)}: {escape(wording.asked(statement))}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="verdict {statement.verdict}">{escape(wording.first_line(statement))}</p>',
        *(f"<p>{escape(line)}</p>" for line in wording.gaps(statement) if not statement.sources),
    ]
    for source in statement.sources:
        facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in wording.facts(source))
        name = f"{source.coverage.app} ({source.coverage.source})"
        html.append(f"<section><h2>{escape(name)}</h2><dl>{facts}</dl></section>")
    return "\n".join([*html, f"<footer>{escape(written)}</footer></body></html>\n"])
