"""One source of one app in simulated time, on a real database: who pulls when, and what may be claimed after it.

The providers are those of the worlds, without their troubles; the product's own reader, `Pull` and store run here.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from archiver import coverage, review, status
from archiver.errors import ProviderUnavailable
from archiver.model import HOUR_MS, MINUTE_MS, Page, Pass, Window
from archiver.pull import plan
from archiver.pull.run import Outcome, Pull, PullOptions
from archiver.service import alerts
from archiver.sources.easemob.cursor import CursorSource
from archiver.sources.easemob.hourly import HourlySource
from archiver.store import apps
from archiver.store.engine import open_store
from tests.fixtures.databases import Database
from tests.proof.hours import Filed, HourFiles, HourNature, HourTrouble
from tests.proof.provider import Clock, Nature, Provider, Record, Trouble

APP = "claim#app"
T0 = 1_793_491_200_000
"""A full hour of every whole zone: 2026-11-01T00:00:00Z."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says of the source; any of it may change between two pulls."""

    settle_ms: int
    audits_ms: tuple[int, ...] = ()
    retention_ms: int | None = None
    page_size: int = 100
    offset_ms: int = 8 * HOUR_MS
    start_ms: int = T0
    early_ms: int | None = None

    @property
    def passes(self) -> tuple[Pass, ...]:
        early = () if self.early_ms is None else (Pass(0, self.early_ms),)
        return (*early, Pass(1, self.settle_ms), *(Pass(pass_no, lag) for pass_no, lag in enumerate(self.audits_ms, 2)))


class Pages(Provider):
    """A provider of pages; `bad_ms`: no query can be answered whose range has this millisecond in it.

    `saw`: called with each page that is given away.
    """

    bad_ms: int | None = None
    bad: Sequence[int] = ()
    """As `bad_ms`, but such a page alone cannot be had, and others of the same query can."""
    saw: Callable[[Page], None] = staticmethod(lambda _: None)

    def fetch_page(self, query: dict[str, str]) -> tuple[Page, str | None]:
        words = query["ql"].split()
        lo_ms, hi_ms = int(words[5]), int(words[9]) if len(words) > 9 else 1 << 60
        if self.bad_ms is not None and lo_ms < self.bad_ms < hi_ms and query["limit"] != "1":
            raise ProviderUnavailable("simulated: 500")
        page, cursor = super().fetch_page(query)
        if any(message.timestamp_ms in self.bad for message in page.messages):
            raise ProviderUnavailable("simulated: 500")
        self.saw(page)
        return page, cursor


def message(number: int, stamp_ms: int, shown_ms: int | None = None) -> Record:
    """A message `m<number>`; `shown_ms`: when a query shows it first, if not at its stamp."""
    shown_ms = stamp_ms if shown_ms is None else shown_ms
    return Record(number, f"m{number}", stamp_ms, shown_ms, shown_ms - stamp_ms, (_raw(number, stamp_ms),))


def filed(
    nature: HourNature, number: int, stamp_ms: int, *, filed_ms: int | None = None, grown_ms: int | None = None
) -> Filed:
    """A message `m<number>`, filed by its stamp or at `filed_ms`, in a file that has it from `grown_ms` on."""
    filed_ms = stamp_ms if filed_ms is None else filed_ms
    shown_ms = nature.visible_ms(filed_ms, filed_ms if grown_ms is None else grown_ms)
    raws = (_raw(number, stamp_ms),)
    return Filed(number, f"m{number}", stamp_ms, shown_ms, shown_ms - stamp_ms, raws, filed_ms=filed_ms)


def _raw(number: int, stamp_ms: int) -> bytes:
    body = {"msg_id": f"m{number}", "timestamp": stamp_ms, "from": "a", "to": "b", "chat_type": "chat"}
    return json.dumps(body | {"payload": {"bodies": [{"type": "txt", "msg": f"{number}"}]}}).encode()


class Archive:
    """An archive of one source. After each pull the claim is held against what the provider has shown."""

    def __init__(self, database: Database, clock: Clock, provider: Pages | HourFiles, settings: Settings) -> None:
        self.database, self.clock, self.provider, self.settings = database, clock, provider, settings
        self.store = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"), clock.database_ms)
        self.kind = "hourly" if isinstance(provider, HourFiles) else "cursor"
        self.stop = Event()
        """Stops the pull that is at work."""
        self.excused: set[str] = set()
        """What no archive can know of: hidden by an order that looks sorted."""

    # What somebody does

    def configure(self, **changes: Any) -> None:
        """Other settings from now on."""
        self.settings = replace(self.settings, **changes)

    def pull(self, **ways: Any) -> Outcome:
        """One pull by a process of its own."""
        options = PullOptions(origin_ms=self.settings.start_ms, ahead=False, **ways)
        self.stop = Event()
        outcome = Pull(self.store, self._source(), options, stop=self.stop).run()
        assert self.unlisted() == [], f"claimed, and neither stored nor listed; W is T0 + {hours_of(self.until_ms)} h"
        return outcome

    def pull_each(self, every_ms: int, times: int, **ways: Any) -> list[int]:
        """Wait and pull, so many times; gives the exit codes."""
        codes = []
        for _ in range(times):
            self.clock.now_ms += every_ms
            codes.append(self.pull(**ways).exit_code)
        return codes

    def pull_until(self, until_ms: int, every_ms: int = HOUR_MS) -> int:
        """Wait and pull until then; gives the last exit code."""
        return self.pull_each(every_ms, max(1, -(-(until_ms - self.clock.now_ms) // every_ms)))[-1]

    def audit(self, lo_ms: int, hi_ms: int) -> Outcome:
        """Look again at a range, as `archiver audit` does."""
        with self.store.write() as tx:
            key = apps.find(tx, APP, self.kind)
            assert key is not None
            offset_ms = self.settings.offset_ms if self.kind == "hourly" else None
            pass_no = plan.plan_audit(tx, key, Window(lo_ms, hi_ms), offset_ms)
        return self.pull(live=False, audit=pass_no, command="audit")

    def backfill(self, from_ms: int) -> Outcome:
        """Reach further back, as `archiver backfill` does."""
        with self.store.write() as tx:
            key = apps.find(tx, APP, self.kind)
            assert key is not None
            assert plan.request_backfill(tx, key, from_ms, None)
        return self.pull(live=False, backfill=True, command="backfill")

    def accept(self, window: Window) -> int:
        return review.accept(self.store, window, "the provider has lost it", "tester")

    def accept_all(self) -> Window:
        """Accept all that is lost or stuck now, as one range; gives it."""
        lost = [hole for hole in self.holes() if hole[2] != "accepted"]
        whole = Window(min(hole[0] for hole in lost), max(hole[1] for hole in lost))
        assert self.accept(whole) >= len(lost)
        return whole

    def _source(self) -> CursorSource | HourlySource:
        own, provider = self.settings, self.provider
        if isinstance(provider, Pages):
            lower = provider.nature.lower_only
            return CursorSource(APP, own.passes, own.retention_ms, own.page_size, lower, provider.fetch_page)
        return HourlySource(
            *(APP, own.passes, own.retention_ms, own.page_size, own.offset_ms),
            *(provider.fetch_link, provider.download, self.clock.database_ms),
            clock=lambda: self.clock.now_ms / 1000,
        )

    # What the archive says

    @property
    def mark(self) -> tuple[int, int, int]:
        """From when and until when it is complete, and until when it is audited."""
        names = "complete_from_ms, complete_until_ms, audited_until_ms"
        found = self.database.rows(f"SELECT {names} FROM watermarks")
        return (found[0][0], found[0][1], found[0][2]) if found else (0, 0, 0)

    @property
    def from_ms(self) -> int:
        return self.mark[0]

    @property
    def until_ms(self) -> int:
        return self.mark[1]

    @property
    def audited_ms(self) -> int:
        return self.mark[2]

    def report(self) -> status.SourceReport:
        configured = [status.Configured(APP, self.kind, self.settings.start_ms)]
        (report,) = status.report(self.store, configured, every_ms=MINUTE_MS)
        return report

    def status(self) -> dict[str, Any]:
        return self.report().to_json()

    def words(self) -> str:
        return coverage.in_words(self.report())

    def coverage(self) -> Mapping[str, Any]:
        (report,) = coverage.report(self.store)
        return report.to_json()

    def alarms(self, overdue_ms: int = 15 * MINUTE_MS) -> dict[str, str]:
        """What the program's own alarms say is wrong, and how grave that is."""
        found = alerts.findings([self.report()], {}, overdue_ms=overdue_ms, files=False)
        return {each.name.removeprefix("Archiver"): each.severity for each in found}

    def holes(self) -> list[tuple[int, int, str]]:
        return [(hole["lo_ms"], hole["hi_ms"], hole["state"]) for hole in self.status()["holes"]]

    def holes_in_sql(self) -> list[tuple[int, int, str]]:
        """The view, as a third party reads it."""
        return self.database.rows("SELECT lo_ms, hi_ms, state FROM coverage_holes ORDER BY lo_ms")

    def states(self, pass_no: int = 1) -> Counter[str]:
        rows = self.database.rows('SELECT state FROM windows WHERE "pass" = ?', pass_no)
        return Counter(row[0] for row in rows)

    def stored(self) -> set[str]:
        return {row[0] for row in self.database.rows("SELECT msg_id FROM messages")}

    # What is true

    def truth(self, lo_ms: int, hi_ms: int) -> set[str]:
        return {record.msg_id for record in self.provider.records if lo_ms <= record.stamp_ms < hi_ms}

    def unlisted(self) -> list[str]:
        """What the claim covers, was shown within the lag of its window, is not stored, and lies in no range listed."""
        from_ms, until_ms, _ = self.mark
        query = 'SELECT lo_ms, hi_ms, lag_ms, state, unproven FROM windows WHERE "pass" = 1 ORDER BY lo_ms'
        windows = self.database.rows(query)
        lows = [row[0] for row in windows]
        stored = self.stored() | self.excused
        found = []
        for record in self.provider.records:
            if from_ms <= record.stamp_ms < until_ms and record.msg_id not in stored:
                _, _, lag_ms, state, unproven = windows[bisect_right(lows, record.stamp_ms) - 1]
                listed = unproven or state in ("expired", "stuck", "accepted", "presumed_empty")
                if not listed and record.visible_ms <= record.stamp_ms + lag_ms:
                    found.append(record.msg_id)
        return found


Make = Callable[..., Archive]


def pages_archive(
    database: Database, records: Iterable[Record], *, now_ms: int, nature: Nature | None = None, **settings: Any
) -> Archive:
    """An archive of pages; it settles within two minutes unless it is said otherwise."""
    clock = Clock(now_ms)
    provider = Pages(random.Random(1), clock, nature or Nature(eager_end=True), Trouble())
    provider.keep(list(records))
    return Archive(database, clock, provider, Settings(**{"settle_ms": 2 * MINUTE_MS} | settings))


def hours_archive(
    database: Database, records: Iterable[Filed], *, now_ms: int, nature: HourNature, **settings: Any
) -> Archive:
    """An archive of hourly files; it settles within three hours unless it is said otherwise."""
    clock = Clock(now_ms)
    provider = HourFiles(random.Random(1), clock, nature, HourTrouble())
    provider.keep(list(records))
    kept = {"settle_ms": 3 * HOUR_MS, "retention_ms": nature.retention_ms}
    return Archive(database, clock, provider, Settings(**kept | settings))


def hours_of(ms: int) -> float:
    """An instant as people read it: hours from T0."""
    return round((ms - T0) / HOUR_MS, 3)
