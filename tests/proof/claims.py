"""The oracles of the wider worlds: O1 to O12 for one source among several, hourly ones too, and four more.

O13 the statement in words is what the tables say, and no weakness that the tables know is missing in it. O14 what was
beyond retention, or could not be had, is a hole and not closed; and nothing else is a hole. O15 once the troubles end,
W comes to what is due, or a hole says why not, and can be accepted. O16 exit codes are what is due.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from archiver import coverage, status
from archiver.model import HOUR_MS, MINUTE_MS, Window
from archiver.pull.run import Outcome
from archiver.store.schema import iso
from archiver.timeline import EPS_MS, hour_floor
from tests.proof.hours import Filed, HourFiles
from tests.proof.oracles import _SUMS, TILING, Ask, Falsified, Oracles
from tests.proof.provider import Record

if TYPE_CHECKING:
    from tests.proof.wide import Settings, Side, WideWorld

_OF_SOURCE = "windows", "watermarks", "sources", "pages", "runs", "late_arrivals"
_OF_APP = "messages", "message_revisions", "quarantine"
_DISORDER = """SELECT 1 FROM (
    SELECT m.timestamp_ms - lag(m.timestamp_ms)
        OVER (PARTITION BY p.window_id, p.fence ORDER BY p.id, m.position) AS step
    FROM messages m JOIN pages p ON p.id = m.page_id JOIN windows w ON w.id = p.window_id
    WHERE w.source = 'cursor' AND m.timestamp_ms >= w.lo_ms AND m.timestamp_ms < w.hi_ms
) WHERE step < 0"""
"""Whether what one walk brought new within its window came in any other order than by its stamps."""
NODES_MS = 3_000
"""How far a node's clock, and a date without its milliseconds, may lie beside the truth."""


def scoped(ask: Ask, app: str, source: str) -> Ask:
    """Asks as if the database held this source alone."""
    app_id = f"(SELECT id FROM main.apps WHERE name = '{app}')"
    parts = [f"{name} AS (SELECT * FROM main.{name} WHERE app_id = {app_id})" for name in _OF_APP]
    parts += [
        f"{name} AS (SELECT * FROM main.{name} WHERE app_id = {app_id} AND source = '{source}')" for name in _OF_SOURCE
    ]
    beginning = f"WITH {', '.join(parts)} "
    return lambda sql: ask(beginning + sql)


class Began(NamedTuple):
    """What was so when a pull began."""

    settings: Settings
    now_ms: int
    database_ms: int
    server_lied: bool
    falls: int


class Claims(Oracles):
    """Watches one side of a wider world."""

    def __init__(self, world: WideWorld, side: Side) -> None:
        plan = side.plan
        super().__init__(
            world.seed,
            scoped(world.ask, plan.app, plan.kind),
            side.provider,  # type: ignore[arg-type]
            plan.settings.settle_ms,
            plan.settings.audits_ms,
        )
        self.world, self.side = world, side
        self.hourly = isinstance(side.provider, HourFiles)
        self.last_reason: str | None = None
        self._offsets = {plan.settings.offset_ms} | {settings.offset_ms for _, settings in plan.changes}
        self._seen: set[tuple[int, ...]] = set()
        self._holes: set[tuple[Any, ...]] = set()
        self._lied_since: int | None = None
        self._pulled_under_lie = 0

    def fail(self, oracle: str, what: str) -> NoReturn:
        raise Falsified(oracle, self.seed, f"[{self.world.wide.kind}] {self.side.name}: {what}", "WIDE")

    # What the world says beforehand

    def before_pull(self, settings: Settings) -> Began:
        world = self.world
        self.audits_ms, self.settle_ms = settings.audits_ms, settings.settle_ms
        return Began(settings, world.clock.now_ms, world.database_ms(), world.server_lies(), self._falls)

    def forget(self) -> None:
        """The database has fallen back: what it claims now is compared with the truth, not with what it claimed."""
        self.mark = None
        self._seen, self._holes = set(), set()
        self._closed = set(self._all("SELECT lo_ms, hi_ms, fence FROM windows WHERE pass = 1 AND state = 'closed'"))
        self._stored = {row[0] for row in self._all("SELECT msg_id FROM messages")}

    def zone_was_wrong(self) -> bool:
        """Whether hours may have been read under wrong names at some time."""
        if not isinstance(self.provider, HourFiles):
            return False
        nature = self.provider.nature
        return self._offsets != {nature.offset_ms} or nature.later_offset_ms != nature.offset_ms

    def _excused(self) -> bool:
        """Hours read under wrong names count as read until something proves it: at rest nothing is excused."""
        return self.zone_was_wrong() and not self._at_rest

    _at_rest = False

    # After every commit

    def after_commit(self) -> None:
        found = self._all("SELECT complete_from_ms, complete_until_ms, audited_until_ms FROM watermarks")
        if not found:
            return
        mark = found[0][0], found[0][1], found[0][2]
        trusted = bool(self._all("SELECT order_trusted FROM sources")[0][0])
        if self.mark is not None and mark != self.mark:
            fell = mark[1] < self.mark[1] or mark[0] > self.mark[0]
            if fell and (trusted or not self._trusted) and not self.zone_was_wrong():
                self.fail("O3", f"the claim fell from {self.mark} to {mark} without a reopening")
            self._falls += fell
        if mark != self.mark:
            self._check_claim(mark, trusted)
        self.mark, self._trusted = mark, trusted

    def _check_claim(self, mark: tuple[int, int, int], trusted: bool) -> None:
        """O1, for the claim itself."""
        missing = self._missing(mark[0], mark[1])
        if not missing or self._excused():
            return
        query = "SELECT lo_ms, hi_ms, lag_ms, by_order, unproven, state FROM windows WHERE pass = 1 ORDER BY lo_ms"
        windows = self._all(query)
        lows = [row[0] for row in windows]
        for record in missing:
            lo_ms, hi_ms, lag_ms, by_order, unproven, state = windows[bisect_right(lows, record.stamp_ms) - 1]
            if record.lateness_ms <= lag_ms and state != "accepted" and not self._lies_before_origin(record):
                where = f"window {self.hour(lo_ms)}..{self.hour(hi_ms)} ({state}) at {self.hour(self.now_ms)}"
                # Once the order has proved false, the claim lists the window as unproven: O13 sees to that.
                self._excuse(record, "O1", where, bool(by_order and (trusted or unproven)))

    def _lies_before_origin(self, record: Record) -> bool:
        """Whether it lies in the file before the first that an archive has which begins where the retention ends."""
        if not isinstance(record, Filed) or record.filed_ms >= self._origin_ms():
            return False
        before = self._all("SELECT 1 FROM windows WHERE cause = 'before_first_contact'")
        return bool(before) and record.stamp_ms < self._origin_ms() + EPS_MS

    def _missing(self, from_ms: int, until_ms: int) -> list[Record]:
        stored = {row[0] for row in self._all("SELECT msg_id FROM messages")}
        quarantined = {row[0] for row in self._all("SELECT raw FROM quarantine")}
        return [
            record
            for record in self.provider.records
            if from_ms <= record.stamp_ms < until_ms
            and record.msg_id not in stored
            and not quarantined.intersection(record.raws)
        ]

    def _excuse(self, record: Record, oracle: str, where: str, by_order: bool) -> None:
        if by_order and getattr(self.provider.nature, "order", "ascending") != "ascending":
            self.unproven += 1
            return
        filed = f" filed {self.hour(record.filed_ms)}" if hasattr(record, "filed_ms") else ""
        if isinstance(self.provider, HourFiles) and self.provider.file_of(record) in self.provider.cut:
            filed += ", its file once cut between two members,"
        told = f"stamped {self.hour(record.stamp_ms)}{filed} visible {self.hour(record.visible_ms)} ({record.msg_id})"
        self.fail(oracle, f"{where} is claimed without a record {told}")

    @property
    def now_ms(self) -> int:
        return self.world.clock.now_ms

    @staticmethod
    def hour(ms: int) -> str:
        """As people read it, in hours from the world's beginning."""
        return f"{(ms - 1_793_491_200_000) / HOUR_MS:+.2f}h"

    # After every pull

    def after_pull_of(self, mine: bool, began: Began, outcome: Outcome | None, source: Any, *, whole: bool) -> None:
        """`mine`: the pull was of this side; the others must not have been touched."""
        if mine:
            self.last_reason = None if outcome is None else f"exit {outcome.exit_code}: {outcome.reason}"
        if not self._all("SELECT 1 FROM sources"):
            return
        self.after_commit()
        if self.mark is not None:
            self._check_claim(self.mark, self._trusted)
        self._check_rows()
        self._check_sums()
        self._check_tiles()
        self._check_watermark()
        clean = mine and outcome is not None and outcome.exit_code == 0
        walks = getattr(source, "walks", None) if clean else None
        if walks and False in walks and self._trusted and whole:
            self.fail("O9", "a walk showed disorder, and the order is still trusted")
        if whole and self._trusted and self._all(_DISORDER):
            self.fail("O9", "the pages of one walk show disorder, and the order is still trusted")
        if clean and self._falls > self._told:
            self.fail("O3", "the claim fell without a word in the log")
        self._falls = self._told = 0
        self._check_late()
        self._check_fences()
        if mine:
            self._check_lost(began)
        if mine and outcome is not None and whole:
            self._check_audited()
            self._check_exit(began, outcome)
            self._check_doubt(began)
            self._check_lie(began, outcome)
            self._check_time_to_loss(began, outcome)
        if mine and whole and self.world.draw.random() < 0.2:
            self.check_words()

    def _check_rows(self) -> None:
        """O2 and O4; a message may have come by the app's other source."""
        truth: dict[str, list[Record]] = {}
        for side in self.world.sides:
            if side.plan.app == self.side.plan.app:
                for record in side.provider.records:
                    truth.setdefault(record.msg_id, []).append(record)
        for msg_id, timestamp_ms, raw in self._all("SELECT msg_id, timestamp_ms, raw FROM messages"):
            records = truth[msg_id]
            if timestamp_ms != records[0].stamp_ms:
                self.fail("O2", f"{records[0]} is stored with the stamp {timestamp_ms}")
            if not any(raw in record.raws for record in records):
                self.fail("O4", f"{records[0]} is stored with other bytes")
        for (raw,) in self._all("SELECT raw FROM quarantine WHERE page_id <> 0"):  # 0: a damaged file as it came
            if not any(raw in record.raws for record in self.provider.records if not record.readable):
                self.fail("O4", f"what is in quarantine was never served as unreadable: {raw!r}")

    def _check_sums(self) -> None:
        """O6."""
        for table in ("pages", "windows", "runs"):
            if self._all(f"SELECT 1 FROM {table} WHERE {_SUMS}"):
                self.fail("O6", f"the sum rule is broken in {table}")
        columns = ("received", "new", "known", "changed", "quarantined", "outside")
        sums = ", ".join(f"coalesce(sum(p.{name}), 0)" for name in columns)
        own = ", ".join(f"w.{name}" for name in columns)
        grouped = f"SELECT {own}, w.pages, {sums}, count(p.id) FROM windows w LEFT JOIN pages p ON p.window_id = w.id"
        for row in self._all(f"{grouped} GROUP BY w.id"):
            if row[:7] != row[7:]:
                self.fail("O6", f"a window counts {row[:7]}, its pages {row[7:]}")
        every = self.world.ask("SELECT sum(new), sum(changed), sum(quarantined) FROM pages")[0]
        tables = "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM message_revisions)"
        found = self.world.ask(f"{tables}, (SELECT coalesce(sum(seen), 0) FROM quarantine WHERE page_id <> 0)")[0]
        if found != tuple(value or 0 for value in every):
            self.fail("O6", f"tables hold {found}, pages counted {every}")
        received = self._all("SELECT coalesce(sum(received), 0) FROM pages")[0][0]
        if received > self.provider.rows_served:
            self.fail("O6", f"{received} rows counted, {self.provider.rows_served} served")

    def _check_tiles(self) -> None:
        """O7: pass 1 from the origin on, or further back; other passes wherever they begin."""
        rows = self._all("SELECT pass, lo_ms, hi_ms FROM windows ORDER BY pass, lo_ms")
        for before, after in pairwise(rows):
            if before[0] == after[0] and before[2] != after[1]:
                told = [(self.hour(row[1]), self.hour(row[2])) for row in (before, after)]
                self.fail("O7", f"windows of pass {after[0]} do not touch: {told}")
        first = [row[1] for row in rows if row[0] == 1]
        if first and first[0] > self._origin_ms():
            self.fail("O7", f"pass 1 begins at {first[0]}, not at the origin {self._origin_ms()}")

    def _origin_ms(self) -> int:
        return int(self._all("SELECT origin_ms FROM sources")[0][0])

    def _check_watermark(self) -> None:
        """O8; what was audited may be less than what the windows would bear, never more."""
        origin_ms = from_ms = self._origin_ms()
        until_ms = self._reach(1, origin_ms)
        back = {row[1]: row[0] for row in self._tiles(1)}
        while from_ms in back:
            from_ms = back[from_ms]
        assert self.mark is not None
        if self.mark[:2] != (from_ms, until_ms):
            claimed, true = [self.hour(ms) for ms in self.mark[:2]], [self.hour(from_ms), self.hour(until_ms)]
            self.fail("O8", f"the watermark says {claimed}, the windows {true}")

    def _tiles(self, pass_no: int) -> list[tuple[int, ...]]:
        states = ", ".join(f"'{state}'" for state in TILING)
        live = "cause <> 'before_first_contact'"
        return self._all(f"SELECT lo_ms, hi_ms FROM windows WHERE pass = {pass_no} AND state IN ({states}) AND {live}")

    def _check_late(self) -> None:
        """O10, for what this source brought."""
        closed = set(self._all("SELECT lo_ms, hi_ms, fence FROM windows WHERE pass = 1 AND state = 'closed'"))
        still = closed & self._closed
        rows = self._all("SELECT m.msg_id, m.timestamp_ms FROM messages m JOIN pages p ON p.id = m.page_id")
        noted = {row[0] for row in self._all("SELECT msg_id FROM late_arrivals")}
        for msg_id, timestamp_ms in rows:
            if msg_id in self._stored or msg_id in noted:
                continue
            if any(lo_ms <= timestamp_ms < hi_ms for lo_ms, hi_ms, _ in still):
                self.fail("O10", f"{msg_id} came late and nobody was told")
        self._closed, self._stored = closed, {row[0] for row in rows}

    def _check_lost(self, began: Began) -> None:
        """O14, for what has come to its end since it was looked at last."""
        columns = "lo_ms, hi_ms, fence, state, lag_ms, walk0_ms, pass"
        rows = self._all(f"SELECT {columns} FROM windows WHERE cause <> 'before_first_contact'")
        states = {row[0]: row[3] for row in rows if row[6] == 1}
        for lo_ms, hi_ms, fence, state, lag_ms, walk0_ms, pass_no in rows:
            known = (pass_no, lo_ms, hi_ms, fence)
            if known in self._seen or state not in ("closed", "presumed_empty", "expired"):
                continue
            self._seen.add(known)
            where = f"window {self.hour(lo_ms)}..{self.hour(hi_ms)} of pass {pass_no}"
            told = f"{where} is {state} at {self.hour(self.now_ms)}"
            if state == "expired":
                self._check_expired(lo_ms, hi_ms, began.settings.retention_ms, told)
                continue
            self._check_kept(began, Window(lo_ms, hi_ms), walk0_ms, told)
            if pass_no == 1 and state == "closed" and lag_ms < began.settings.settle_ms and self._alone():
                self.fail("O14", f"{told} by a lag of {lag_ms} ms, and settle was {began.settings.settle_ms} ms")
            if pass_no == 1 and state == "closed" and self.hourly and not self.zone_was_wrong():
                self._check_evidence(lo_ms, hi_ms, lag_ms, states, told)

    def _alone(self) -> bool:
        """No other process, with other settings perhaps, works here meanwhile; and no commit is forgotten."""
        return not self.world.mishaps.other_process and not self.world.wide.forgets

    def _check_kept(self, began: Began, window: Window, walk0_ms: int | None, told: str) -> None:
        """What was asked for when all of it was beyond retention proves nothing, whatever the database's clock says."""
        retention_ms = began.settings.retention_ms
        if retention_ms is None or began.server_lied:
            return
        walked_ms = window.hi_ms if walk0_ms is None else walk0_ms
        asked = [ms for ms in self.side.asked_ms.get(window.lo_ms, []) if ms >= window.hi_ms]
        if self.hourly and not self.zone_was_wrong():
            walked_ms = max(walked_ms, min(asked, default=walked_ms))
        if window.hi_ms < walked_ms - retention_ms:
            self.fail("O14", f"{told}: walked {self.hour(walked_ms)}, beyond the retention")

    def _check_expired(self, lo_ms: int, hi_ms: int, retention_ms: int | None, told: str) -> None:
        if retention_ms is None:
            self.fail("O14", f"{told}, and nothing ever expires here")
            return
        shortest = min([retention_ms, *(each.retention_ms for _, each in self.side.plan.changes if each.retention_ms)])
        edge_ms = hi_ms - 2 * HOUR_MS if self.hourly else hi_ms - 20 * MINUTE_MS
        if edge_ms > self.now_ms - shortest and not self._is_spoilt(lo_ms, hi_ms):
            self.fail("O14", f"{told}, although the provider has some of it still")
        if lo_ms > self.now_ms - shortest + 2 * HOUR_MS and not self._is_spoilt(lo_ms, hi_ms):
            self.fail("O14", f"{told}, although the provider has it still")

    def _is_spoilt(self, lo_ms: int, hi_ms: int) -> bool:
        if not isinstance(self.provider, HourFiles):
            return False
        return any(lo_ms - HOUR_MS < bad_ms < hi_ms + HOUR_MS for bad_ms in self.provider.nature.spoilt)

    def _check_evidence(self, lo_ms: int, hi_ms: int, lag_ms: int, states: dict[int, str], told: str) -> None:
        """An hour is closed by its own file and the next, each read whole at the lag, or known as empty."""
        assert isinstance(self.provider, HourFiles)
        if self._clocks_lie():
            return
        # The first moments behind a lost file may have been cut off, so a window need not begin with its hour.
        for file_ms in (lo_ms // HOUR_MS * HOUR_MS, hi_ms):
            if file_ms == hi_ms and states.get(hi_ms) == "presumed_empty":
                continue
            read = self.provider.read.get(file_ms, [])
            if not any(at_ms >= file_ms + HOUR_MS + lag_ms for at_ms in read):
                seen = [self.hour(at_ms) for at_ms in read]
                at = f"file {self.hour(file_ms)} was had at {seen} only, lag {lag_ms / HOUR_MS} h"
                self.fail("O14", f"{told}, but {at} (next hour: {states.get(hi_ms)})")

    def _clocks_lie(self) -> bool:
        return bool(self.world.wide.server_lies or self.world.wide.database_lies)

    def _check_audited(self) -> None:
        """O11: what the longest audit covers, and was visible by then, is there, unless pass 1 lists it as lost."""
        assert self.mark is not None
        counts = "SELECT p.lag_ms FROM main.passes p JOIN watermarks m ON p.app_id = m.app_id AND p.source = m.source"
        found = self._all(f"{counts} AND p.number = m.audited_pass")
        longest = found[0][0] if found else 0  # by the settings of whoever began last
        origin_ms = self._origin_ms()
        if not longest or self.mark[2] <= origin_ms or self._excused():
            return
        looked = "SELECT w.lo_ms, w.hi_ms, w.by_order FROM windows w"
        lag = (
            f"EXISTS (SELECT 1 FROM main.passes p WHERE p.app_id = w.app_id AND p.source = w.source"
            f" AND p.number = w.pass AND p.lag_ms >= {longest})"
        )
        walked = self._all(f"{looked} WHERE w.pass > 1 AND w.cause = 'live' AND w.state = 'closed' AND {lag}")
        states = "('accepted', 'presumed_empty', 'expired')"
        lost = self._all(f"SELECT lo_ms, hi_ms, 0 FROM windows WHERE pass = 1 AND state IN {states}")
        lost += [(*row, 0) for row in self._unaudited()]
        reach_ms = origin_ms
        while reach_ms < self.mark[2]:
            over = [hi_ms for lo_ms, hi_ms, _ in [*walked, *lost] if lo_ms <= reach_ms < hi_ms]
            if not over:
                told = f"{self.hour(reach_ms)} was never looked at with a lag of {longest / HOUR_MS} h"
                self.fail("O11", f"audited until {self.hour(self.mark[2])}, but {told}")
            reach_ms = max(over)
        for record in self._missing(origin_ms, self.mark[2]):
            if record.lateness_ms <= longest and not any(lo <= record.stamp_ms < hi for lo, hi, _ in lost):
                by_order = any(lo <= record.stamp_ms < hi and flag for lo, hi, flag in walked)
                self._excuse(record, "O11", f"the audit until {self.hour(self.mark[2])}", by_order and self._trusted)

    def _unaudited(self) -> list[tuple[int, ...]]:
        """What an audit came too late for, and says so."""
        return self._all("SELECT lo_ms, hi_ms FROM windows WHERE pass > 1 AND state = 'skipped' AND unproven")

    def _unaudited_within(self) -> bool:
        """Whether what counts as audited has such a gap that is no hole of pass 1."""
        assert self.mark is not None
        if not self.audits_ms:
            return False
        until_ms = self.mark[2]
        lost = [(hole[0], hole[1]) for hole in self.holes()]
        pass_no = self._all("SELECT audited_pass FROM watermarks")[0][0]
        where = f"pass = {pass_no} AND state = 'skipped' AND unproven AND lo_ms < {until_ms}"
        gaps = self._all(f"SELECT lo_ms, hi_ms FROM windows WHERE {where}") if pass_no else []
        return any(not any(lo <= gap[0] and gap[1] <= hi for lo, hi in lost) for gap in gaps)

    # O13, O15, O16

    def holes(self) -> list[tuple[int, int, str, str]]:
        states = "('expired', 'stuck', 'accepted')"
        where = f"pass = 1 AND state IN {states} AND cause <> 'before_first_contact'"
        found = self._all(f"SELECT lo_ms, hi_ms, state, coalesce(reason, '') FROM windows WHERE {where} ORDER BY lo_ms")
        return [(row[0], row[1], row[2], row[3]) for row in found]

    def _due_ms(self, began: Began) -> int:
        """Up to where everything was due for sure when a pull began."""
        now_ms = min(began.now_ms, began.database_ms) - NODES_MS
        due_ms = now_ms - began.settings.settle_ms - EPS_MS
        if self.hourly:  # an hour is closed with its neighbour
            due_ms = hour_floor(due_ms, began.settings.offset_ms) - HOUR_MS
        return due_ms

    def _check_exit(self, began: Began, outcome: Outcome) -> None:
        """O16: by the holes and the zone; and, where the server's clock is right, by what is due."""
        forgot = self.world.counts["commits forgotten"] and not self.world.calm
        if self.mark is None or forgot:
            return
        code, told = outcome.exit_code, f"exit {outcome.exit_code} ({outcome.reason}) at {self.hour(self.now_ms)}"
        hole = [row for row in self.holes() if row[2] != "accepted"]
        stuck = [row for row in hole if row[2] == "stuck" and not self._is_spoilt(row[0], row[1])]
        if stuck and self.world.wide.outage_only:
            self.fail("O15", f"an outage makes {stuck[0]} stuck")
        if code == 0 and hole:
            self.fail("O16", f"{told}, with the holes {hole[:3]}")
        if code == 3 and not hole:
            self.fail("O16", f"{told}, without a hole")
        if code == 2 and not self.zone_was_wrong():
            self.fail("O16", f"{told}, although the zone is right")
        if code not in (0, 2, 3, 4, 75):
            self.fail("O16", told)
        if not began.server_lied and not self.world.server_lies():
            self._check_due(began, code, told)

    def check_asked(self, pass_no: int, outcome: Outcome) -> None:
        """O16, for an audit that somebody asked for: done means that all was looked at, and nothing was missing."""
        if outcome.exit_code != 0 or self.world.counts["commits forgotten"]:
            return
        where = f"pass = {pass_no} AND (state <> 'closed' OR new > 0)"
        for lo_ms, hi_ms, state, new in self._all(f"SELECT lo_ms, hi_ms, state, new FROM windows WHERE {where}"):
            told = f"{self.hour(lo_ms)}..{self.hour(hi_ms)} is {state} with {new} messages that were missing"
            self.fail("O16", f"an audit that was asked for says that it is done, but {told}")

    def _check_due(self, began: Began, code: int, told: str) -> None:
        assert self.mark is not None
        if code not in (2, 4) and self._zone_is_proven_wrong(began):
            self.fail("O16", f"{told}, although many messages show that the zone is wrong")
        due_ms = self._due_ms(began)
        if code == 0 and self.mark[1] < due_ms:
            self.fail("O16", f"{told}, but W is {self.hour(self.mark[1])} and {self.hour(due_ms)} is due")
        latest_ms = max(self.now_ms, self.world.database_ms()) - began.settings.settle_ms
        if code == 75 and self.world.calm and self.mark[1] >= latest_ms:
            self.fail("O16", f"{told}, but W is {self.hour(self.mark[1])}")

    def _zone_is_proven_wrong(self, began: Began) -> bool:
        """Whether what was read under this zone shows by far that it is wrong: some files, many messages, none fits.

        Where more than a quarter of what they hold came from other hours, late messages look the same.
        """
        if not isinstance(self.provider, HourFiles):
            return False
        nature = self.provider.nature
        files = self.provider.named.get(began.settings.offset_ms, {})
        if nature.offset_at(began.now_ms) == began.settings.offset_ms:
            return False
        if nature.later_offset_ms != nature.offset_ms:  # since the cluster changed its names
            return False
        plain, messages = (sum(getattr(file, name) for file in files.values()) for name in ("plain", "messages"))
        much = len(files) >= 4 and plain >= 30 and 4 * plain > 3 * messages
        return much and not any(file.right for file in files.values())

    def _check_doubt(self, began: Began) -> None:
        """O14: while every file that speaks of the zone speaks against it, W does not pass them: for a day."""
        changed = self.side.plan.changes or self.world.calm or self.now_ms > self.world.wide.pulls_at[0] + 20 * HOUR_MS
        if changed or not isinstance(self.provider, HourFiles) or self.mark is None:
            return
        nature, offset_ms = self.provider.nature, began.settings.offset_ms
        files = self.provider.named.get(offset_ms, {})
        wrong = nature.offset_ms == nature.later_offset_ms != offset_ms
        if not wrong or not files or any(file.right for file in files.values()):
            return
        named_ms = max(self._origin_ms(), min(files) + nature.offset_ms - offset_ms)
        if self.mark[1] > named_ms:
            told = f"{self.hour(named_ms)}, whose file speaks against the zone, and none speaks for it"
            self.fail("O14", f"W is {self.hour(self.mark[1])}, beyond {told}")

    def _check_lie(self, began: Began, outcome: Outcome) -> None:
        """A server's clock that stands still or counts in seconds must not look well for hours."""
        standing = any(
            isinstance(lie.says, str) and lie.from_ms + 3 * HOUR_MS <= began.now_ms < lie.until_ms
            for lie in self.world.wide.server_lies
        )
        self._pulled_under_lie = self._pulled_under_lie + 1 if standing and not self.world.calm else 0
        if self._pulled_under_lie < 2 or outcome.exit_code != 0 or self.mark is None:
            return
        if self.mark[1] >= began.now_ms - began.settings.settle_ms - 4 * HOUR_MS:
            return  # the Date header is right, and all really is well
        report = self._report()
        if not report.overdue_seconds and "clock" not in coverage.in_words(report).lower():
            self.fail("O13", "the server's clock has told nonsense for hours, and all looks well")

    def _check_time_to_loss(self, began: Began, outcome: Outcome) -> None:
        """O13: by the server's clock, whatever the database's says; asked where it was wrong, as asking takes long."""
        lied = began.server_lied or self.world.server_lies() or self.world.database_ms() == self.now_ms
        if lied or outcome.exit_code not in (0, 3) or began.settings.retention_ms is None or self.mark is None:
            return
        true_ms = began.settings.retention_ms - (self.now_ms - self.mark[1])
        report = self._report()
        told_s = report.time_to_loss_seconds
        assert told_s is not None
        if report.clock_problem:  # one of the clocks jumped: the worse one counts, and the words say so
            return
        if abs(told_s - true_ms / 1000) > HOUR_MS / 1000:
            self.fail("O13", f"time to loss is told as {told_s / 3600:.1f} h, and is {true_ms / HOUR_MS:.1f} h")

    def _report(self) -> status.SourceReport:
        plan = self.side.plan
        for report in status.report(self.world.store, [], every_ms=MINUTE_MS):
            if (report.app, report.source) == (plan.app, plan.kind):
                return report
        raise AssertionError

    def check_words(self) -> None:
        """O13."""
        if self.mark is None:
            return
        report = self._report()
        entry, words = report.to_json(), coverage.in_words(report)
        holes = self.holes()
        (late,) = self._all("SELECT count(*) FROM late_arrivals")[0]
        known = {
            "complete_from_ms": self.mark[0],
            "complete_until_ms": self.mark[1],
            "audited_until_ms": self.mark[2],
            "late_arrivals": late,
            "order_trusted": self._trusted,
        }
        for name, value in known.items():
            if entry[name] != value:
                self.fail("O13", f"{name} is {entry[name]} in the status and {value} in the tables")
        listed = [(hole["lo_ms"], hole["hi_ms"], hole["state"]) for hole in entry["holes"]]
        if listed != [hole[:3] for hole in holes]:
            self.fail("O13", f"the status lists the holes {listed}, the tables {holes}")
        if any(not hole[3] for hole in holes):
            self.fail("O13", f"a hole without a reason: {holes}")
        said = ["order"] if not self._trusted else []
        (unproven,) = self._all("SELECT count(*) FROM windows WHERE pass = 1 AND unproven")[0]
        said += ["unproven"] if unproven else []
        if self.mark[0] != self.mark[1]:
            accepted = sum(1 for hole in holes if hole[2] == "accepted")
            (presumed,) = self._all("SELECT count(*) FROM windows WHERE pass = 1 AND state = 'presumed_empty'")[0]
            said += [iso(self.mark[0]) or "", iso(self.mark[1]) or "", f"late arrivals observed: {late}"]
            said += ["unaudited"] if self._unaudited_within() else []
            said += [f"{accepted} accepted"] * bool(accepted) + [f"{presumed} hours presumed"] * bool(presumed)
        for text in said:
            if text.lower() not in words.lower():
                self.fail("O13", f"{text!r} is missing in: {words}")

    def lacking_now(self) -> str:
        """O15: what is due and not complete, a while after the troubles ended."""
        settings = self.world._settings_now(self.side)
        if self.mark is None:
            return "nothing was ever begun"
        now_ms = min(self.now_ms, self.world.database_ms()) - 10 * MINUTE_MS
        grain = 2 * HOUR_MS if self.hourly else 0
        if self.mark[1] < now_ms - settings.settle_ms - EPS_MS - grain:
            lag = f"settle {settings.settle_ms / HOUR_MS} h"
            return f"W is {self.hour(self.mark[1])} at {self.hour(self.now_ms)}, {lag}"
        longest = max(settings.audits_ms, default=0)
        kept = settings.retention_ms is None or longest < settings.retention_ms
        if longest and kept and self.mark[2] < now_ms - longest - EPS_MS - longest // 10 - grain:
            return f"audited until {self.hour(self.mark[2])} at {self.hour(self.now_ms)}, lag {longest / HOUR_MS} h"
        return ""

    def check_holes(self) -> None:
        """O15: what is a hole after the troubles is one for a reason."""
        for lo_ms, hi_ms, state, reason in self.holes():
            if state == "stuck" and not self._is_spoilt(lo_ms, hi_ms) and not self.zone_was_wrong():
                self.fail("O15", f"window {self.hour(lo_ms)}..{self.hour(hi_ms)} is stuck for ever: {reason}")

    def at_rest(self) -> None:
        self._at_rest = True
        assert self.mark is not None
        self._check_claim(self.mark, self._trusted)
        self.check_words()
